"""Real PostgreSQL for tests: one cluster with users for each way to log in, a database for each test."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from dbproxy.demo.installation import Installation
from dbproxy.demo.postgres import Postgres, create_primary

PASSWORD = "secret"
USERS = {  # user: how PostgreSQL asks for its password
    "app": "scram-sha-256",
    "app_md5": "md5",
    "app_password": "password",
    "app_trust": "trust",
}
PLACES = (("host", "127.0.0.1/32"), ("local", ""))  # TCP and Unix socket, as pg_hba.conf has them


@dataclass(frozen=True)
class Database:
    """A database that only this test knows; `user` owns it, the others of `USERS` act as the owner."""

    server: Postgres
    name: str
    user: str = "app"
    password: str = PASSWORD

    @property
    def dsn(self) -> str:
        return self.server.dsn(self.name, self.user, self.password)


def create_cluster(installation: Installation | None = None, **settings: str | int | bool) -> Postgres:
    """A primary with `USERS`."""
    rules = [f"{kind} all {user} {address} {USERS[user]}" for user in USERS for kind, address in PLACES]
    primary = create_primary(installation=installation, hba=rules, settings=settings)
    with connect(primary) as connection:
        for user, method in USERS.items():
            _create_user(connection, user, "md5" if method == "md5" else "scram-sha-256")
    return primary


HAS_ACTIVE_SLOT = "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE database = %s AND active)"


@contextmanager
def create_database(server: Postgres) -> Iterator[Database]:
    """A new database, dropped afterwards with whatever is connected to it."""
    database = Database(server, f"test_{secrets.token_hex(4)}")
    name = sql.Identifier(database.name)
    with connect(server) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER app").format(name))
    try:
        yield database
    finally:
        with connect(server) as connection:
            while connection.execute(HAS_ACTIVE_SLOT, [database.name]).fetchone() == (True,):
                time.sleep(
                    0.01
                )  # a server process whose proxy has ended: PostgreSQL does not end it for a DROP
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@contextmanager
def connect(server: Postgres, dbname: str = "postgres") -> Iterator[psycopg.Connection]:
    """The superuser's connection, past any proxy; each statement commits by itself."""
    with psycopg.connect(server.dsn(dbname), autocommit=True) as connection:
        yield connection


def wait_for_replay(primary: Postgres, replica: Postgres, timeout: float = 10) -> None:
    """Return once the replica shows all that the primary has committed so far."""
    with connect(primary) as at_primary, connect(replica) as at_replica:
        written = at_primary.execute("SELECT pg_current_wal_lsn()").fetchone()
        deadline = time.monotonic() + timeout
        while at_replica.execute("SELECT pg_last_wal_replay_lsn() >= %s", written).fetchone() != (True,):
            assert time.monotonic() < deadline, (
                f"{replica.name} did not reach {written}: {replica.log()[-2000:]}"
            )
            time.sleep(0.01)


def fill_page(connection: psycopg.Connection, statement: str) -> None:
    """Execute it until the record of its commit ends where a page of the WAL does, and the WAL with it."""

    def find_end() -> int:
        row = connection.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
        assert row is not None
        return int(row[0])

    padding, begin = 1000, find_end()
    for turn in range(200):
        with connection.transaction():
            connection.execute(statement.encode())
            connection.execute("SELECT pg_logical_emit_message(true, '', repeat('x', %s))", [padding])
        end = find_end()
        if end % 8192 in (24, 40):  # behind the next page's header
            return
        besides = end - begin - padding  # more or less: there may be a page's header or two
        padding, begin = 1000 + (-end - besides - 1000 - turn % 8 * 8) % 8192, end
    raise AssertionError("something else writes there")


def _create_user(connection: psycopg.Connection, user: str, encryption: str) -> None:
    connection.execute(sql.SQL("SET password_encryption = {}").format(encryption))
    connection.execute(sql.SQL("CREATE USER {} PASSWORD {}").format(sql.Identifier(user), PASSWORD))
    if user != "app":
        connection.execute(sql.SQL("GRANT app TO {}").format(sql.Identifier(user)))
