"""A pool of two: a client is sent to the other server, or seen to keep its own; what a session looks like from inside.

The proxy has to run with `SETTINGS`; the servers are asked for on its console.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg

from tests.support.proxy import Proxy

SETTINGS = {"pool.size": 2, "pool.reserve_size": 0, "auth.admin_users": "app"}
PID = "SELECT pg_backend_pid()"

# By what they show: all of it is a new session's own business. What a library is to PostgreSQL, loaded once, it stays
# for the connection, as the name of a custom setting does ('' where a fresh connection has NULL).
LOOKS = {
    "settings": "SELECT name, setting FROM pg_settings WHERE name NOT LIKE 'plpgsql.%'",
    "custom": "SELECT nullif(current_setting('custom.one', true), ''), nullif(current_setting('custom.two', true), '')",
    "users": "SELECT current_user, session_user, current_setting('role')",
    "locks": "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
    "prepared": "SELECT name, statement, from_sql FROM pg_prepared_statements WHERE name NOT LIKE 'dbproxy_%'",
    "cursors": "SELECT name FROM pg_cursors WHERE name <> '' ORDER BY name",
    "channels": "SELECT pg_listening_channels() AS channel ORDER BY channel",
    "temporary": "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() ORDER BY relname",
}


def open_client(dsn: str, **parameters: Any) -> psycopg.Connection:
    """One whose statements are those of the test: in autocommit, and none prepared by the driver."""
    return psycopg.connect(dsn, autocommit=True, prepare_threshold=None, **parameters)


def look(client: psycopg.Connection, *names: str) -> dict[str, list[Any]]:
    """What the session looks like."""
    return {name: client.execute(LOOKS[name]).fetchall() for name in names or LOOKS}


def assert_alike(one: dict[str, list[Any]], other: dict[str, list[Any]]) -> None:
    """Fail with what is different, and only that."""
    for name, rows in one.items():
        differing = set(rows) ^ set(other[name])
        if differing:
            raise AssertionError(f"{name}: {sorted(differing, key=str)}")


def pid(client: psycopg.Connection) -> int:
    row = client.execute(PID).fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def elsewhere(proxy: Proxy, client: psycopg.Connection) -> Iterator[None]:
    """Inside, the client is lent the server that it was not lent now."""
    last = pid(client)
    with ExitStack() as stack:
        holders = [stack.enter_context(psycopg.connect(proxy.dsn())) for _ in range(2)]
        for holder in holders:
            if pid(holder) == last:
                kept = holder
        for holder in holders:
            if holder is not kept:
                holder.commit()
        assert pid(client) != last
        yield


def look_elsewhere(proxy: Proxy, client: psycopg.Connection, *names: str) -> dict[str, list[Any]]:
    """What the session looks like on the other server."""
    with elsewhere(proxy, client):
        return look(client, *names)


def kept_servers(proxy: Proxy) -> int:
    """How many servers are lent just now: nobody is in a transaction, so they are pinned."""
    with psycopg.connect(proxy.dsn("pgbouncer"), autocommit=True, prepare_threshold=None) as console:
        cursor = console.execute("SHOW SERVERS")
        names = [column.name for column in cursor.description or ()]
        return sum(bool(row[names.index("link")]) for row in cursor.fetchall())


def wait_for_kept(proxy: Proxy, number: int) -> None:
    """Return once so many servers are lent; what a transaction left is asked behind its answer."""
    until(lambda: kept_servers(proxy) == number, f"{number} servers lent")


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.005)  # another process: asked, not awaited


def vanish(client: psycopg.Connection) -> None:
    """Close its socket without a word, as a process does that is killed."""
    with socket.socket(fileno=os.dup(client.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
    client.close()
