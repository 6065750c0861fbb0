"""Which host answers a client, what stays with it, and what is sent again elsewhere."""

import pytest

from dbproxy.cache.commit import Unplaced
from dbproxy.cache.fence import Fence
from dbproxy.errors import AdminShutdown, QueryWaitTimeout, ServerLost, ServerRefused, ServerUnavailable
from dbproxy.session.client import Client
from dbproxy.session.wait import MOVE, NOT
from dbproxy.sql.statement import WRITES
from dbproxy.wire import build
from tests.support import speech
from tests.unit.cache.fakes import ITEMS, Knowledge
from tests.unit.session.fakes import OK, ask, lend, make_client, make_router, make_server, query, routed, sent

READ, OTHER_READ, WRITE = map(build.query, ("SELECT 1", "SELECT now()", "INSERT INTO t VALUES (1)"))
ROWS = speech.rows("1") + speech.IDLE
READ_ONLY = {"V": "ERROR", "C": "25006", "M": "cannot execute INSERT in a read-only transaction"}
SHUTDOWN = {"V": "FATAL", "C": "57P01", "M": "terminating connection due to administrator command"}
SYNTAX = {"V": "ERROR", "C": "42601", "M": "syntax error"}
LOST = ServerLost("the connection was lost")


@pytest.fixture
def stage() -> tuple:
    """A client, an idle server of the primary, and one of the replica."""
    return routed()


# --- where to -------------------------------------------------------------------------------------------------


def test_read_is_answered_by_a_replica_and_a_write_by_the_primary(stage: tuple):
    client, primary, replica = stage
    ask(client, READ)
    assert client.server is replica
    replica.data_received(ROWS)
    ask(client, WRITE)
    assert client.server is primary
    assert (sent(replica), sent(primary)) == (READ, WRITE)


def test_reads_in_one_chunk_with_a_write_go_with_it(stage: tuple):
    client, primary, replica = stage
    ask(client, READ, WRITE)
    assert client.server is primary
    assert (sent(replica), sent(primary)) == (b"", READ + WRITE)


def test_client_waits_at_the_pool_of_the_replica_that_was_chosen(stage: tuple):
    client, _, replica = stage
    replica.close("gone")
    ask(client, READ)
    assert client.inbound.room is replica.pool
    assert list(replica.pool.waiting) == [client]
    assert not client.pool.waiting


def test_statement_that_was_rescued_often_enough_goes_to_the_primary_at_once(stage: tuple):
    client, primary, replica = stage
    for _ in range(3):
        ask(client, READ)
        replica.data_received(speech.error(READ_ONLY["C"], READ_ONLY["M"]) + speech.IDLE)
        primary.data_received(ROWS)
    sent(primary)
    ask(client, READ)
    assert sent(primary) == READ


def test_client_that_came_before_there_were_replicas_does_not_miss_what_it_has_committed():
    router = make_router()
    client, primary = make_client(router.primary), make_server(router.primary)
    make_server(router.pool_of(router.cluster.member("replica1")))
    make_server(router.pool_of(router.cluster.member("replica2")))
    ask(client, WRITE)
    primary.data_received(OK)
    client.route.begin(router)
    ask(client, READ)
    assert client.server is primary


# --- what stays -----------------------------------------------------------------------------------------------


def test_read_goes_to_the_replica_that_still_answers(stage: tuple):
    client, _, replica = stage
    ask(client, READ)
    ask(client, OTHER_READ)
    assert sent(replica) == READ + OTHER_READ


def test_read_waits_behind_another_if_their_replica_is_too_old_for_it():
    client, primary, replica = routed(consistency="global")
    tenant = client.pool.tenant
    tenant.fence = fence = Fence()
    fence.learn(Knowledge(), fence.alterations)
    fence.whole.last.lost_at = 0.0
    first, second = (build.query(f"SELECT * FROM {name}") for name in ("others", "items"))
    ask(client, first)
    assert client.server is replica
    commit = Unplaced()  # by somebody else
    commit.add(fence.find(ITEMS).last)
    ask(client, second)
    assert sent(replica) == first
    replica.data_received(ROWS)
    assert sent(primary) == second


def test_write_waits_until_the_replica_is_done(stage: tuple):
    client, primary, replica = stage
    ask(client, READ)
    ask(client, WRITE)
    assert client.inbound.wait == MOVE
    assert (sent(replica), sent(primary)) == (READ, b"")
    replica.data_received(ROWS)
    assert client.inbound.wait == NOT
    assert (sent(replica), sent(primary)) == (b"", WRITE)


def test_what_comes_behind_what_waits_waits_behind_it(stage: tuple):
    client, primary, replica = stage
    ask(client, READ)
    ask(client, WRITE)
    ask(client, OTHER_READ)
    assert sent(replica) == READ
    replica.data_received(ROWS)
    assert sent(primary) == WRITE + OTHER_READ


def test_reads_ahead_of_a_write_in_one_chunk_wait_with_it(stage: tuple):
    client, primary, replica = stage
    ask(client, READ)
    ask(client, OTHER_READ, WRITE)
    assert sent(replica) == READ
    replica.data_received(ROWS)
    assert sent(primary) == OTHER_READ + WRITE


def test_read_stays_with_the_primary_that_still_answers_a_write(stage: tuple):
    client, primary, replica = stage
    ask(client, WRITE)
    ask(client, READ)
    assert (sent(primary), sent(replica)) == (WRITE + READ, b"")


@pytest.mark.parametrize("asks", [True, False])
def test_write_behind_a_read_on_the_primary_is_asked_about_where_positions_count(stage: tuple, asks: bool):
    client, primary, _ = stage
    client.route.judge.router.cluster.disable("replica1", 102.0)
    ask(client, READ)
    assert not primary.dialogue.traces.effects & WRITES
    client.pool.tenant.commits.asks = asks
    ask(client, WRITE)
    assert bool(primary.dialogue.traces.effects & WRITES) is asks


def test_statement_that_is_only_prepared_has_written_nothing(stage: tuple):
    client, primary, replica = stage
    client.pool.tenant.commits.asks = True
    ask(client, build.parse("write", "INSERT INTO t VALUES (1)"), speech.SYNC)
    primary.data_received(speech.PARSE_COMPLETE + speech.IDLE)
    assert client.server is None  # nothing was asked of ours
    assert client.route.reader.wrote_at == 0.0
    ask(client, READ)
    assert client.server is replica


def test_what_follows_in_a_transaction_on_the_primary_stays_there(stage: tuple):
    client, primary, replica = stage
    query(client, "BEGIN")
    primary.data_received(speech.complete("BEGIN") + speech.INTRANS)
    sent(primary)
    ask(client, READ)
    assert (sent(primary), sent(replica)) == (READ, b"")


# --- an answer that another host is to give --------------------------------------------------------------------


@pytest.mark.parametrize(("fields", "may"), [(READ_ONLY, True), (SHUTDOWN, True), (SYNTAX, False)])
def test_only_what_the_primary_would_not_have_said_is_rescued(stage: tuple, fields: dict, may: bool):
    client, _, replica = stage
    ask(client, READ)
    assert client.route.may_rescue(replica, fields) is may


@pytest.mark.parametrize(
    ("fields", "may"),
    [(SHUTDOWN, True), ({**SHUTDOWN, "V": "ERROR"}, False), (READ_ONLY, False), (SYNTAX, False)],
)
def test_of_the_primary_only_its_end_is(stage: tuple, fields: dict, may: bool):
    client, primary, _ = stage
    ask(client, WRITE)
    assert client.route.may_rescue(primary, fields) is may


def test_nothing_in_a_transaction_is_rescued_that_cannot_move(stage: tuple):
    client, primary, _ = stage
    query(client, "BEGIN")
    primary.data_received(speech.complete("BEGIN") + speech.INTRANS)
    ask(client, READ)
    assert not client.route.may_rescue(primary, SHUTDOWN)


def test_rescued_request_is_answered_by_the_primary_and_its_client_sees_only_that(stage: tuple):
    client, primary, replica = stage
    ask(client, READ)
    replica.data_received(speech.error(READ_ONLY["C"], READ_ONLY["M"]) + speech.IDLE)
    assert client.server is primary
    assert sent(client) == b""
    primary.data_received(ROWS)
    assert sent(client) == ROWS


def test_requests_behind_the_one_that_failed_are_sent_again_with_it(stage: tuple):
    client, primary, replica = stage
    ask(client, READ)
    ask(client, OTHER_READ)
    replica.data_received(ROWS)
    assert sent(client) == ROWS
    replica.data_received(speech.error(READ_ONLY["C"], READ_ONLY["M"]) + speech.IDLE)
    assert sent(primary) == OTHER_READ


# --- a host that is lost --------------------------------------------------------------------------------------


def test_read_goes_on_elsewhere_if_nothing_of_its_answer_was_seen(stage: tuple):
    client, primary, replica = stage
    ask(client, READ)
    assert client.route.may_go_on(replica, told=False)
    replica.close("connection lost")
    assert sent(primary) == READ
    assert client.route.host is None


def test_answer_that_has_begun_is_not_begun_again(stage: tuple):
    client, _, replica = stage
    ask(client, READ)
    replica.data_received(speech.columns("a") + speech.row("1"))
    assert not client.route.may_go_on(replica, told=False)


def test_server_that_has_told_why_is_believed(stage: tuple):
    client, _, replica = stage
    ask(client, READ)
    assert not client.route.may_go_on(replica, told=True)


def test_write_is_not_sent_again(stage: tuple):
    client, primary, _ = stage
    ask(client, WRITE)
    assert not client.route.may_go_on(primary, told=False)
    primary.close("connection lost")
    assert client.closed


def test_client_without_replicas_does_not_go_on():
    client = make_client()
    server = lend(client)
    assert not client.route.survives(LOST, told=False)
    assert client.server is server


def test_read_costs_one_primary_and_not_another(stage: tuple):
    client, primary, _ = stage
    client.route.judge.router.cluster.disable("replica1", 102.0)
    ask(client, READ)
    assert client.server is primary
    assert client.route.may_go_on(primary, told=False)
    client.route.survives(LOST, told=False)
    assert not client.route.may_go_on(primary, told=False)


def test_nothing_is_lost_with_a_server_that_only_has_to_say_where_its_commit_is(stage: tuple):
    client, primary, _ = stage
    ask(client, WRITE)
    assert not client.route.is_done_with(primary)
    primary.data_received(OK)
    client.server = primary
    primary.dialogue.traces.effects, primary.dialogue.traces.unplaced = 0, True
    assert client.route.is_done_with(primary)
    primary.dialogue.traces.pins = frozenset({"temp"})
    assert not client.route.is_done_with(primary)


# --- a host that cannot be had --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "replaced"),
    [(ServerUnavailable("down"), True), (ServerRefused("no"), True), (AdminShutdown("bye"), False)],
)
def test_replica_that_cannot_be_had_is_replaced(stage: tuple, error: Exception, replaced: bool):
    client, _, replica = stage
    replica.close("gone")
    ask(client, READ)
    assert (client.route.find_unreachable(error) is not None) is replaced


def test_primary_is_replaced_by_nobody(stage: tuple):
    client, primary, _ = stage
    primary.close("gone")
    ask(client, WRITE)
    assert client.route.find_unreachable(ServerUnavailable("down")) is None


def test_host_that_could_not_be_had_is_avoided_and_the_request_goes_on(stage: tuple):
    client, primary, replica = stage
    replica.close("gone")
    ask(client, READ)
    host = client.route.host
    replica.pool.waiting.remove(client)
    client.refuse(ServerUnavailable("down"))
    assert client.route.reader.avoided is host
    assert sent(primary) == READ


def test_request_that_is_refused_leaves_no_detour_to_the_next(stage: tuple):
    client, primary, replica = stage
    ask(client, READ)
    primary.close("gone")
    replica.close("connection lost")  # the client waits for the primary
    assert client.route.detours == 1
    client.pool.leave(client)
    client.refuse(QueryWaitTimeout("no server"))
    assert (client.route.detours, client.route.reader.avoided) == (0, None)


def test_loan_that_is_over_leaves_nothing_to_be_sent_again(stage: tuple):
    client: Client = stage[0]
    ask(client, READ)
    host = client.route.host
    assert host.load.active == 1
    client.route.leave_host()
    assert host.load.active == 0
    assert client.route.host is None
    assert client.route.batch.size() == 0
    assert not client.routed
