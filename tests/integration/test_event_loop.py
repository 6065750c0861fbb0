"""What waits for the sockets can be chosen, and serves all the same."""

import psycopg
import pytest

from tests.support.postgres import Database
from tests.support.serving import serving


@pytest.mark.parametrize("loop", ["dbproxy", "uvloop"])
def test_either_loop_serves_clients_that_share_a_server(module_database: Database, loop: str) -> None:
    with (
        serving(module_database, {"listen.event_loop": loop, "pool.size": 1}) as proxy,
        psycopg.connect(proxy.dsn(), autocommit=True) as one,
        psycopg.connect(proxy.dsn(), autocommit=True) as two,
    ):
        for number in range(3):
            for client in (one, two):
                assert client.execute("SELECT %s::int", [number]).fetchone() == (number,)
        rows = one.execute(
            "SELECT string_agg(repeat('x', 1000), '') FROM generate_series(1, 1000)"
        ).fetchone()
        assert rows == ("x" * 1_000_000,)
