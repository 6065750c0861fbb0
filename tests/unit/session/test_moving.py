"""A transaction on a replica: how far what comes goes with it, and how it moves to the primary."""

import pytest

from dbproxy.pool.server import Server
from dbproxy.session.client import Client
from dbproxy.session.wait import MOVE, NOT
from dbproxy.wire import build
from tests.support import speech
from tests.unit.session.fakes import ask, routed, sent

BEGIN, READ, LOCK, COMMIT = map(
    build.query, ("BEGIN READ ONLY", "SELECT now()", "SELECT nextval('s')", "COMMIT")
)
ROLLBACK = build.query("ROLLBACK")
WRITE = build.query("INSERT INTO t VALUES (1)")
BEGUN = speech.complete("BEGIN") + speech.INTRANS
ENDED = speech.complete("COMMIT") + speech.IDLE
ROLLED_BACK = speech.complete("ROLLBACK") + speech.IDLE
ROWS = speech.rows("1") + speech.INTRANS
BEHIND = {"V": "ERROR", "C": "42P01", "M": "relation does not exist"}
FAILED = speech.error("42P01", "relation does not exist") + speech.INERROR


@pytest.fixture
def stage() -> tuple[Client, Server, Server]:
    """A client that has begun a transaction on the replica."""
    client, primary, replica = routed()
    ask(client, BEGIN)
    assert client.server is replica
    replica.data_received(BEGUN)
    for link in (client, replica):
        sent(link)
    return client, primary, replica


def test_reads_stay_in_the_transaction(stage: tuple):
    client, primary, replica = stage
    ask(client, READ)
    replica.data_received(ROWS)
    ask(client, READ)
    assert (sent(replica), sent(primary)) == (READ + READ, b"")


def test_its_end_is_carried_out_where_it_began(stage: tuple):
    client, _, replica = stage
    ask(client, COMMIT)
    replica.data_received(ENDED)
    assert (sent(replica), sent(client)) == (COMMIT, ENDED)
    assert client.server is None
    assert client.route.mover.opening is None


def test_what_comes_behind_its_end_waits_for_that_and_goes_elsewhere(stage: tuple):
    client, primary, replica = stage
    ask(client, COMMIT, WRITE)
    assert client.inbound.wait == MOVE
    assert sent(replica) == COMMIT
    replica.data_received(ENDED)
    assert client.inbound.wait == NOT
    assert sent(primary) == WRITE


def test_one_that_has_only_begun_moves_for_what_no_standby_does(stage: tuple):
    client, primary, replica = stage
    ask(client, LOCK)
    assert sent(replica) == ROLLBACK
    assert sent(primary) == b""
    replica.data_received(ROLLED_BACK)
    assert client.server is primary
    assert sent(primary) == BEGIN + LOCK


def test_client_does_not_see_that_it_has_moved(stage: tuple):
    client, primary, replica = stage
    ask(client, LOCK)
    replica.data_received(ROLLED_BACK)
    primary.data_received(BEGUN + ROWS)
    assert sent(client) == ROWS


def test_one_that_has_read_does_not_move(stage: tuple):
    client, primary, replica = stage
    ask(client, READ)
    replica.data_received(ROWS)
    sent(replica)
    ask(client, LOCK)
    assert (sent(replica), sent(primary)) == (LOCK, b"")


def test_what_stands_ahead_of_it_in_the_chunk_is_carried_out_first(stage: tuple):
    client, primary, replica = stage
    show = build.query("SHOW work_mem")
    ask(client, show, LOCK)
    assert sent(replica) == show
    replica.data_received(ROWS)
    assert sent(replica) == ROLLBACK
    replica.data_received(ROLLED_BACK)
    assert sent(primary) == BEGIN + show + LOCK


def test_end_behind_a_flush_is_over_with_a_sync_of_ours(stage: tuple):
    client, _, replica = stage
    ask(client, build.parse("", "COMMIT"), speech.bind(), speech.execute(), speech.FLUSH)
    replica.data_received(speech.PARSE_COMPLETE + speech.BIND_COMPLETE + speech.complete("COMMIT"))
    sent(replica)
    ask(client, build.parse("", "SELECT 2"), speech.bind(), speech.execute(), speech.SYNC)
    assert client.inbound.wait == MOVE
    assert sent(replica) == speech.SYNC


@pytest.mark.parametrize(
    ("fields", "may"),
    [(BEHIND, True), ({**BEHIND, "V": "FATAL"}, False)],
)
def test_first_read_that_failed_may_move(stage: tuple, fields: dict, may: bool):
    client, _, replica = stage
    ask(client, READ)
    assert client.route.mover.can_move(replica, fields) is may


def test_read_with_another_behind_it_may_not(stage: tuple):
    client, _, replica = stage
    ask(client, READ)
    ask(client, READ)
    assert not client.route.mover.can_move(replica, BEHIND)


def test_first_read_that_failed_is_carried_out_on_the_primary(stage: tuple):
    client, primary, replica = stage
    ask(client, READ)
    sent(replica)
    replica.data_received(FAILED)
    assert sent(replica) == ROLLBACK
    replica.data_received(ROLLED_BACK)
    assert sent(primary) == BEGIN + READ
    primary.data_received(BEGUN + ROWS)
    assert sent(client) == ROWS


@pytest.fixture
def failed(stage: tuple) -> tuple[Client, Server, Server]:
    """A later read of the transaction has failed."""
    client, _, replica = stage
    ask(client, READ)
    replica.data_received(ROWS)
    ask(client, READ)
    replica.data_received(FAILED)
    for link in (client, replica):
        sent(link)
    return stage


@pytest.mark.parametrize("message", [LOCK, ROLLBACK, READ])
def test_what_a_failed_one_is_asked_for_is_refused_or_ends_it_there(failed: tuple, message: bytes):
    client, primary, replica = failed
    ask(client, message)
    assert (sent(replica), sent(primary)) == (message, b"")


def test_what_a_failed_one_is_followed_by_may_write(failed: tuple):
    client, primary, replica = failed
    chain = build.query("ROLLBACK AND CHAIN")
    ask(client, chain)
    assert chain not in sent(replica)
    replica.data_received(ROLLED_BACK)
    assert sent(primary) == BEGIN + build.query("ROLLBACK TO dbproxy_failed") + chain


def test_what_is_discarded_up_to_a_sync_moves_nothing(stage: tuple):
    client, primary, replica = stage
    ask(client, build.parse("", "SELEC"), speech.FLUSH)
    replica.data_received(speech.error("42601", "syntax error"))
    sent(replica)
    ask(client, build.parse("", "SELECT nextval('s')"), speech.bind(), speech.execute())
    assert client.inbound.wait == NOT
    assert sent(primary) == b""


def test_later_one_that_failed_is_its_clients(stage: tuple):
    client, primary, replica = stage
    ask(client, READ)
    replica.data_received(ROWS)
    ask(client, READ)
    sent(client)
    replica.data_received(FAILED)
    assert sent(client) == FAILED
    assert sent(primary) == b""
