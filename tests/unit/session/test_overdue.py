"""Since when a query runs, and what becomes of one that is overdue."""

import pytest
import structlog

from dbproxy.net.direct import monotonic
from dbproxy.session.client import Client
from dbproxy.session.overdue import begun_at, sweep_overdue
from tests.support import speech
from tests.unit.session.fakes import make_client, make_server, sent


def running(**settings: object) -> Client:
    """A client whose query runs."""
    client = make_client(**settings)
    make_server(client.pool)
    client.data_received(speech.query("SELECT pg_sleep(100)"))
    return client


def test_query_begins_when_it_came_and_the_next_of_a_pipeline_with_the_answer_before():
    client = running()
    server = client.server
    assert begun_at(client, server) == client.inbound.arrived
    client.data_received(speech.query("SELECT 2"))
    server.data_received(speech.rows("1") + speech.INTRANS)
    assert begun_at(client, server) == server.loan.answered_at >= client.inbound.arrived


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({"query_timeout": 10}, "query_timeout"),
        ({"transaction_timeout": 10}, "transaction_timeout"),
        ({}, ""),
    ],
)
def test_only_what_is_over_its_own_limit_is_ended(settings: dict[str, object], limit: str):
    client = running(**settings)
    now = monotonic()
    with structlog.testing.capture_logs() as lines:
        sweep_overdue(client.pool, now + 9)
        assert not client.pool.stats.limits
        sweep_overdue(client.pool, now + 11)
    assert dict(client.pool.stats.limits) == ({limit: 1} if limit else {})
    assert [line["limit"] for line in lines if line["event"] == "limit reached"] == [limit] * bool(limit)
    assert client.closed == (limit == "transaction_timeout")


def test_transaction_ends_before_its_query_would():
    client = running(query_timeout=10, transaction_timeout=10)
    sweep_overdue(client.pool, monotonic() + 11)
    assert b"25P04" in sent(client)


def test_client_that_holds_a_server_and_has_nothing_open_is_not_overdue():
    client = running(query_timeout=10, transaction_timeout=10, mode="session")
    client.server.data_received(speech.rows("1") + speech.IDLE)
    later = monotonic() + 1000
    sweep_overdue(client.pool, later)
    assert not client.closed
    assert client.server.loan.xact_start == later
