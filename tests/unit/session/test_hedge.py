"""A read that leaves a replica which has not begun to answer: what may, and what its client gets."""

import pytest

from dbproxy.net.direct import monotonic
from dbproxy.pool.states import CLOSED
from dbproxy.routing.hedging import TIMES
from dbproxy.routing.rescue import HEDGED, SILENT
from dbproxy.session.hedge import (
    find_read,
    is_kept_waiting,
    is_owed,
    leave,
    leave_queue,
    may_hedge,
    slow_reads,
)
from dbproxy.wire import build
from tests.support import speech
from tests.unit.session.fakes import ask, routed, sent

READ, OTHER_READ, WRITE = map(build.query, ("SELECT 1", "SELECT now()", "INSERT INTO t VALUES (1)"))
ROWS = speech.rows("1") + speech.IDLE
FOREVER = float("inf")


@pytest.fixture
def stage() -> tuple:
    """A client, an idle server of the primary, and one of the replica."""
    return routed()


def test_what_a_replica_has_not_begun_to_answer_is_owed(stage: tuple):
    client, _, replica = stage
    before = monotonic()
    ask(client, READ)
    assert is_owed(client, replica, FOREVER)
    assert not is_owed(client, replica, before)


def test_request_behind_another_is_owed_since_that_was_answered(stage: tuple):
    client, _, replica = stage
    ask(client, READ, OTHER_READ)
    between = monotonic()
    replica.data_received(ROWS)
    assert is_owed(client, replica, FOREVER)
    assert not is_owed(client, replica, between)


def test_what_has_begun_is_not_owed(stage: tuple):
    client, _, replica = stage
    ask(client, READ)
    replica.data_received(speech.columns("a"))
    assert not is_owed(client, replica, FOREVER)


def test_what_the_primary_answers_is_not_owed(stage: tuple):
    client, primary, _ = stage
    ask(client, WRITE)
    assert not is_owed(client, primary, FOREVER)


def test_request_of_which_only_a_part_has_come_goes_on_behind_it(stage: tuple):
    client, primary, replica = stage
    ask(client, READ)
    client.data_received(WRITE[:7])
    leave(client, replica, HEDGED, monotonic())
    assert sent(primary) == READ
    client.data_received(WRITE[7:])
    assert sent(primary) == WRITE


def test_read_is_sent_to_another_host_and_its_server_is_closed(stage: tuple):
    client, primary, replica = stage
    ask(client, READ)
    host = client.route.host
    leave(client, replica, HEDGED, monotonic() + 1)
    assert replica.state == CLOSED
    assert client.server is primary
    assert sent(primary) == READ
    assert host.load.active == 0
    assert host.load.latency > 1, "balancing keeps off it"
    primary.data_received(ROWS)
    assert sent(client) == ROWS


def test_read_is_hedged_once(stage: tuple):
    client, _, replica = stage
    ask(client, READ)
    assert may_hedge(client, 1.0)
    leave(client, replica, HEDGED, monotonic())
    assert not may_hedge(client, 1.0)


def test_statement_that_is_slow_by_itself_is_not_hedged(stage: tuple):
    client, _, _ = stage
    ask(client, READ)
    for _ in range(TIMES):
        slow_reads(client).note(find_read(client), 1.0)
    assert not may_hedge(client, 1.0)


def test_client_that_waits_for_a_server_of_a_replica_goes_to_another_host(stage: tuple):
    client, primary, replica = stage
    pool = replica.pool
    replica.close("gone")
    ask(client, READ)
    assert is_kept_waiting(client)
    leave_queue(client, pool, SILENT, monotonic())
    assert not pool.waiting
    assert sent(primary) == READ


def test_client_that_waits_for_the_primary_is_not_sent_elsewhere(stage: tuple):
    client, primary, _ = stage
    primary.close("gone")
    ask(client, WRITE)
    assert not is_kept_waiting(client)
