"""Memory stays bounded whatever passes through (promise 7 of docs/architecture.md).

What is sent faster than it can go, or is not read, waits in its sender.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.support.blocking_client import BlockingClient
from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving, wait_until
from tests.support.speech import FLUSH, SYNC, bind, close, execute, parse, query, row

MIB = 1 << 20
ROOM = 50_000_000
SAMPLES = 0.01  # seconds between two looks at the proxy's memory
LINE = b"x" * 1023 + b"\n"
ENDLESS = "SELECT repeat('x', 1000) FROM generate_series(1, 10000) AS a, generate_series(1, 10000) AS b"
MANY = 100_000
LAST = ("D", row("the end")[5:])


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    settings = {"pool.size": 2, "pool.reserve_size": 0, "auth.type": "trust", "slow_query.enabled": False}
    with serving(module_database, settings) as running:
        with psycopg.connect(
            running.dsn()
        ) as connection:  # what is made once is there before anything is measured
            connection.execute("SELECT repeat('x', 1000000)")
        yield running


@pytest.fixture
def client(proxy: Proxy, module_database: Database) -> Iterator[BlockingClient]:
    with BlockingClient(proxy.host, proxy.port, user="app", database=module_database.name) as connected:
        yield connected


@contextmanager
def bounded(proxy: Proxy) -> Iterator[None]:
    """Meanwhile the proxy's memory grows by no more than `ROOM`."""
    before = peak = proxy.rss()
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(SAMPLES):
            peak = max(peak, proxy.rss())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert max(peak, proxy.rss()) - before <= ROOM, f"from {before / MIB:.0f} to {peak / MIB:.0f} MiB"


@contextmanager
def sending(client: BlockingClient, data: bytes) -> Iterator[None]:
    """Send it all, however long it takes until it is taken, while something else is done."""
    sender = threading.Thread(target=client.send, args=(data,))
    sender.start()
    try:
        yield
    finally:
        sender.join()


def others_are_served(proxy: Proxy) -> None:
    with psycopg.connect(proxy.dsn(), autocommit=True) as other:
        for number in range(100):
            assert other.execute("SELECT %s::int", [number]).fetchone() == (number,)


def sizes(normal: int, soak: int) -> pytest.MarkDecorator:
    """In MiB."""
    long = pytest.param(soak * MIB, marks=[pytest.mark.soak, pytest.mark.timeout(600)], id=f"{soak} MiB")
    return pytest.mark.parametrize("size", [pytest.param(normal * MIB, id=f"{normal} MiB"), long])


@sizes(128, 1024)
def test_copy_in_and_out(proxy: Proxy, size: int):
    block = LINE * (MIB // len(LINE))
    with psycopg.connect(proxy.dsn()) as connection, connection.cursor() as cursor, bounded(proxy):
        cursor.execute("CREATE TEMP TABLE heap (data text) ON COMMIT DROP")
        with cursor.copy("COPY heap FROM STDIN") as copy:
            for _ in range(size // MIB):
                copy.write(block)
        with cursor.copy("COPY heap TO STDOUT") as copy:
            assert sum(map(len, copy)) == size


@sizes(64, 300)
def test_one_huge_value_in_and_out(proxy: Proxy, size: int):
    value = b"x" * size
    with psycopg.connect(proxy.dsn()) as connection, bounded(proxy):
        row = connection.execute("SELECT %b::bytea", [value], binary=True).fetchone()
        assert row == (value,)


@pytest.mark.parametrize(
    "sql",
    [ENDLESS, f"COPY ({ENDLESS}) TO STDOUT", f"SELECT repeat('x', {100 * MIB})"],
    ids=["rows", "copy", "value"],
)
def test_client_that_does_not_read_its_answer(
    proxy: Proxy, module_database: Database, client: BlockingClient, sql: str
):
    stuck = "EXISTS (SELECT FROM pg_stat_activity WHERE query = %s AND wait_event = 'ClientWrite')"
    with bounded(proxy):
        client.send(query(sql))
        wait_until(module_database, stuck, [sql])  # the proxy reads no more
        others_are_served(proxy)
        client.vanish()
        wait_until(module_database, f"NOT {stuck}", [sql])
        others_are_served(proxy)


@pytest.mark.parametrize(
    ("flood", "answer"),
    [
        pytest.param(
            (parse("s", "SELECT 1") + close("s")) * MANY + SYNC, {"1": MANY, "3": MANY}, id="parse and close"
        ),
        pytest.param(SYNC * MANY, {}, id="sync"),
        pytest.param(FLUSH * MANY + SYNC, {}, id="flush"),
        pytest.param(parse("", "SELECT 1") * MANY + SYNC, {"1": MANY}, id="parse"),
        pytest.param(
            parse("", "SELECT 1") + (bind() + execute()) * MANY + SYNC,
            {"1": 1, "2": MANY, "D": MANY, "C": MANY},
            id="bind and execute",
        ),
        pytest.param(
            query("SELECT repeat('x', 1000)") * (MANY // 10),
            {"T": MANY // 10, "D": MANY // 10, "C": MANY // 10},
            id="query",
        ),
    ],
)
def test_flood(proxy: Proxy, client: BlockingClient, flood: bytes, answer: dict[str, int]):
    """Others are served while nothing is read; then every message is answered."""
    with bounded(proxy), sending(client, flood + query("SELECT 'the end'")):
        others_are_served(proxy)
        found: Counter[str] = Counter()
        while LAST not in (replies := client.read_until_ready()):
            found.update(kind for kind, _ in replies)
        assert found == answer
