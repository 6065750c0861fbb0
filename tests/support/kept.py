"""Whether a read was answered from what the proxy keeps, or carried out: told by who has executed what."""

import time
from collections.abc import Callable

import psycopg
from psycopg.rows import dict_row

from tests.support.proxy import Proxy

SETTINGS = {"cache.mode": "on", "cache.verify": 0, "cache.ttl": "1h"}
PATIENCE = 40.0


class Kept:
    """Of one proxy; `settings` are those that it runs with. Statements are told apart by part of their text."""

    def __init__(self, proxy: Proxy) -> None:
        self.console = psycopg.connect(
            proxy.dsn("dbproxy"), autocommit=True, cursor_factory=psycopg.ClientCursor, row_factory=dict_row
        )

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, *_: object) -> None:
        self.console.close()

    def count(self, part: str) -> int:
        """How often servers have executed it."""
        rows = self.console.execute("SHOW QUERIES LIMIT 1000").fetchall()
        executed = (row for row in rows if row["role"] != "cache")
        return sum(row["calls"] for row in executed if part.lower() in row["text"].lower())

    def is_hit(self, client: psycopg.Connection, sql: str, part: str = "", **how: bool) -> bool:
        before = self.count(part or sql)
        client.execute(sql, **how).fetchall()
        return self.count(part or sql) == before

    def wait(self, client: psycopg.Connection, sql: str, part: str = "", **how: bool) -> list[tuple]:
        """Ask until the answer is one that is kept."""
        self.until(lambda: self.is_hit(client, sql, part, **how))
        return client.execute(sql, **how).fetchall()

    def explain(self, sql: str) -> str:
        return "\n".join(row["cache"] for row in self.console.execute(f"EXPLAIN CACHE {sql}"))

    def until(self, condition: Callable[[], bool]) -> None:
        until(condition)


def enter(proxy: Proxy, **how: object) -> psycopg.Connection:
    """Somebody who reads or writes, each statement a transaction."""
    return psycopg.connect(proxy.dsn(), autocommit=True, **how)  # type: ignore[arg-type]


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it has not come to that"
        time.sleep(0.01)  # other processes: asked, not awaited
