"""A primary and two replicas, each of which says who it is, and a proxy that routes between them."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count

import psutil
import psycopg

from dbproxy.demo.postgres import Postgres
from tests.support.postgres import Database, connect, create_cluster, create_database, wait_for_replay
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.two_servers import open_client

REPLICAS = {"replica1", "replica2"}
HOST = "SHOW test.host"  # which server answers: a read
SETTINGS = {
    "pool.size": 3,
    "auth.type": "trust",
    "auth.admin_users": "app",
    "health.lag_interval": "20ms",
    "routing.slow_start": "0s",
    "routing.balancing": "random",  # both are asked, however fast they are
}
TABLES = "CREATE TABLE items (id int PRIMARY KEY, name text); CREATE TABLE ready (); GRANT ALL ON items, ready TO app"
READY = "SELECT current_setting('test.host') FROM (SELECT count(*) FROM ready) AS r"  # takes the catalog


@contextmanager
def create_hosts(
    *, replicas: Mapping[str, str] | None = None, **settings: str | int
) -> Iterator[list[Postgres]]:
    """The primary and its replicas, as `REPLICAS` names them; `settings` are all hosts', `replicas` theirs alone."""
    with create_cluster(**{"test.host": "primary"}, **settings) as primary, ExitStack() as stack:
        names = sorted(REPLICAS)
        given = [{"test.host": name, **(replicas or {})} for name in names]
        created = [
            stack.enter_context(primary.create_replica(name, settings=own))
            for name, own in zip(names, given, strict=True)
        ]
        yield [primary, *created]


def urls(database: Database, replicas: Sequence[Postgres]) -> str:
    """As DATABASE_READ_REPLICAS has them."""
    return ",".join(replica.dsn(database.name, database.user, database.password) for replica in replicas)


def family(server: Postgres) -> list[int]:
    """The process ids of the postmaster and all its children."""
    return [server.pid, *(child.pid for child in psutil.Process(server.pid).children(recursive=True))]


@contextmanager
def routing(
    hosts: list[Postgres],
    settings: Mapping[str, object] | None = None,
    *,
    config: str = "",
    entry: str = "",
) -> Iterator[Proxy]:
    """A proxy in front of a new database with a table `items`, once both replicas answer reads of `entry`.

    In `config` DATABASE stands for that database's name.
    """
    primary, *replicas = hosts
    with create_database(primary) as database:
        with connect(primary, database.name) as owner:
            owner.execute(TABLES)
        for replica in replicas:
            wait_for_replay(primary, replica)
        config = config.replace("DATABASE", database.name)
        with serving(
            database, {**SETTINGS, "replicas": urls(database, replicas), **(settings or {})}, config=config
        ) as running:
            if "replicas" not in (settings or {}):
                wait_for_replicas(running.dsn(entry))
            yield running


def host(client: psycopg.Connection, sql: str = HOST) -> str:
    row = client.execute(sql).fetchone()
    assert row is not None
    return str(row[0])


def hosts_of(client: psycopg.Connection, sql: str = HOST, times: int = 40) -> set[str]:
    """Who answers when it is asked again and again."""
    return {host(client, sql) for _ in range(times)}


def wait_for_replicas(dsn: str, timeout: float = 10) -> None:
    """Return once every replica answers reads, and the catalog has been read: what is known to read writes nothing."""
    deadline = time.monotonic() + timeout
    missing = set(REPLICAS)
    known = 0
    with open_client(dsn) as client:
        while missing:
            missing.discard(host(client, "/* dbproxy: replica */ SHOW test.host"))
            assert time.monotonic() < deadline, f"never asked: {missing}"
            time.sleep(0.005)  # another process: asked, not awaited
        turns = count()
        while known < 3:  # in a row: a probe of the primary may come in between
            one, two = (f"{READY} WHERE {next(turns)} >= 0" for _ in range(2))  # anew: answers may be kept
            host(client, f"/* dbproxy: primary */ {one}")
            known = known + 1 if host(client, two) in REPLICAS else 0
            assert time.monotonic() < deadline, "the catalog is not read"
            time.sleep(0.02)  # another process: asked, not awaited


def wait_for_answer(client: psycopg.Connection, sql: str = HOST, timeout: float = 30) -> None:
    """Return once a replica answers: it has what the client has done."""
    deadline = time.monotonic() + timeout
    while host(client, sql) not in REPLICAS:
        assert time.monotonic() < deadline, f"the primary answers all the time: {sql}"
        time.sleep(0.005)  # another process: asked, not awaited
