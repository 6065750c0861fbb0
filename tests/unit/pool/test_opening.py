"""A connection of a pool's own, once it is open: how old it gets, and what the pool hears of one that was not had."""

import structlog

from dbproxy.errors import ServerUnavailable
from dbproxy.pool.opening import JITTER, fail, limit_age
from tests.unit.pool.fakes import FakePool, fill


def test_servers_opened_together_are_not_closed_together():
    servers = fill(FakePool(size=20), *map(str, range(20)))
    ends = set()
    for server in servers:
        limit_age(server, 100.0)
        ends.add(server.upkeep.expires_at)
        age = server.upkeep.expires_at - server.backend.connected_at
        assert 100.0 * (1 - JITTER) <= age <= 100.0
    assert len(ends) > 1


def test_server_without_a_lifetime_never_is_too_old():
    (server,) = fill(FakePool(), "a")
    limit_age(server, 0.0)
    assert server.upkeep.expires_at == float("inf")


def test_pool_and_log_are_told_why_there_is_no_server():
    pool = FakePool().pool
    pool.expect()
    failure = ServerUnavailable("nobody answers")
    failure.detail_log = "for the log alone"
    with structlog.testing.capture_logs() as lines:
        fail(pool, "db:5432", failure)
    assert pool.last_error is failure
    (line,) = [line for line in lines if line["event"] == "server login failed"]
    assert (line["error"], line["address"]) == ("nobody answers", "db:5432")
    assert line["detail"] == "for the log alone"
