"""What the demo starts: a primary, its replicas, the proxy; and how all of it ends.

An exception, Ctrl-C's included, may come at any moment: what was started is on the stack or, where it comes
between start and stack, ended at exit (demo.postgres). If we are killed, watchers end it (demo.process).
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dbproxy.config import load
from dbproxy.demo.interrupts import ignore_signals
from dbproxy.demo.postgres import Postgres, create_primary
from dbproxy.demo.proxy import Proxy, check_addresses, choose_environment

USER = DATABASE = "demo"
REPLICAS = ("replica1", "replica2")
ACCOUNTS, BALANCE = 1000, 100
SCHEMA = f"""
CREATE TABLE accounts (id int PRIMARY KEY, owner text NOT NULL, balance int NOT NULL CHECK (balance >= 0));
INSERT INTO accounts SELECT id, 'owner ' || id % 50, {BALANCE} FROM generate_series(1, {ACCOUNTS}) AS id;
CREATE TABLE transfers (source int NOT NULL, target int NOT NULL, amount int NOT NULL);
CREATE TABLE visits (at timestamptz NOT NULL DEFAULT now());
"""  # noqa: S608  # our own numbers


@dataclass(frozen=True)
class Stage:
    """Everything that runs."""

    primary: Postgres
    replicas: tuple[Postgres, ...]
    proxy: Proxy
    password: str

    @property
    def servers(self) -> tuple[Postgres, ...]:
        return self.primary, *self.replicas

    def dsn(self, dbname: str = DATABASE) -> str:
        """How an application reaches the proxy."""
        host = f"[{self.proxy.host}]" if ":" in self.proxy.host else self.proxy.host
        return f"postgresql://{USER}:{self.password}@{host}:{self.proxy.port}/{dbname}"

    def processes(self) -> set[int]:
        """Every process: the proxy's, and all that the servers themselves know of."""
        found = {self.proxy.pid, *(server.pid for server in self.servers)}
        for server in self.servers:
            found.update(map(int, server.psql("SELECT pid FROM pg_stat_activity").split()))
        return found

    def folders(self) -> set[Path]:
        return {Path(self.proxy.folder.name), *(server.socket_dir for server in self.servers)}


@contextmanager
def set_stage(environ: Mapping[str, str]) -> Iterator[Stage]:
    """All of it, running; afterwards no process and no folder is left."""
    environment = choose_environment(environ)
    check_addresses(load(None, environment))
    with ExitStack() as stack:
        try:
            primary = stack.enter_context(create_primary())
            password = secrets.token_hex(8)
            create_database(primary, password)
            replicas = tuple(stack.enter_context(primary.create_replica(name)) for name in REPLICAS)
            url = primary.dsn(DATABASE, USER, password)
            urls = ",".join(replica.dsn(DATABASE, USER, password) for replica in replicas)
            hosts = {"DATABASE_URL": url, "DATABASE_READ_REPLICAS": urls}
            proxy = stack.enter_context(Proxy({**environment, **hosts}))
            yield Stage(primary, replicas, proxy, password)
        finally:
            ignore_signals()  # impatience would not hasten the end


def create_database(primary: Postgres, password: str) -> None:
    primary.psql(f"CREATE ROLE {USER} LOGIN PASSWORD '{password}'")
    primary.psql(f"CREATE DATABASE {DATABASE} OWNER {USER}")
    primary.psql(f"SET ROLE {USER}; {SCHEMA}", DATABASE)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, and so alive
        return True
    return True
