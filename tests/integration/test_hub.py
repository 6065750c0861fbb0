"""One connection listens for all: notifications as real PostgreSQL sends them, losses included."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

import psycopg
import pytest

from dbproxy.app.janitor import Janitor
from dbproxy.app.proxy import Proxy
from dbproxy.config.load import load
from dbproxy.errors import ProxyError
from dbproxy.net.listen import listen_tcp
from dbproxy.session import deadlines
from dbproxy.session.hub import Hub
from dbproxy.session.startup import Login
from tests.support.listening import Ear
from tests.support.postgres import PASSWORD, Database, connect

SERVERS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'dbproxy LISTEN'"
ODD_NAMES = ["A b", 'say "no"', "ü" * 31, "x" * 63, "select", "; --", "\\", "日本", "'", "%s $1", "\n", "🐘"]


@asynccontextmanager
async def running(url: str) -> AsyncIterator[Proxy]:
    """A proxy on this loop, its janitor awake."""
    proxy = Proxy(load(None, {"DATABASE_URL": url}))
    proxy.tasks.spawn(Janitor(proxy).run())
    try:
        yield proxy
    finally:
        for hub in proxy.hubs:
            hub.close()
        for pool in proxy.all_pools():
            for server in pool.servers():
                server.close("the test is over")
        await proxy.tasks.end()


@pytest.fixture
async def proxy(database: Database) -> AsyncIterator[Proxy]:
    async with running(database.dsn) as proxy:
        yield proxy


@pytest.fixture
def hub(proxy: Proxy, database: Database) -> Hub:
    return proxy.find_hub(database.name, "app")


@pytest.fixture
async def notifier(database: Database) -> AsyncIterator[psycopg.AsyncConnection]:
    """A connection past the proxy."""
    async with await psycopg.AsyncConnection.connect(database.dsn, autocommit=True) as connection:
        yield connection


async def notify(connection: psycopg.AsyncConnection, channel: str, payload: str = "") -> None:
    await connection.execute("SELECT pg_notify(%s, %s)", [channel, payload])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # plain numbers and lists: nothing to await
            await asyncio.sleep(0.005)


async def listens(connection: psycopg.AsyncConnection) -> int:
    """How many connections of hubs the server has."""
    row = await (await connection.execute(f"SELECT count(*) {SERVERS}")).fetchone()
    assert row is not None
    return int(row[0])


async def terminate(hub: Hub, connection: psycopg.AsyncConnection) -> None:
    """End the hub's connection; return once the hub knows."""
    losses = hub.losses
    await connection.execute(f"SELECT pg_terminate_backend(pid) {SERVERS}")
    await until(lambda: hub.losses > losses)


async def test_notifications_come_in_the_order_of_commit(
    hub: Hub, database: Database, notifier: psycopg.AsyncConnection
) -> None:
    ear = Ear()
    await hub.hear(["a", "b"])
    hub.subscribe(ear, ["a", "b"])
    async with await psycopg.AsyncConnection.connect(database.dsn) as late:
        await notify(late, "a", "begun first")
        await notify(late, "b", "still the same transaction")
        await notify(notifier, "b", "committed first")
    await ear.has(3)
    assert ear.payloads == ["committed first", "begun first", "still the same transaction"]


async def test_thousands_are_told_over_one_connection(hub: Hub, notifier: psycopg.AsyncConnection) -> None:
    ears = [Ear() for _ in range(3000)]
    await asyncio.gather(*(hub.hear(["everybody", f"own {n % 500}"]) for n in range(len(ears))))
    for n, ear in enumerate(ears):
        hub.subscribe(ear, ["everybody", f"own {n % 500}"])
    for n in range(10):
        await notify(notifier, "everybody", str(n))
    await notify(notifier, "own 7", "for six")
    for n, ear in enumerate(ears):
        own = ["for six"] if n % 500 == 7 else []
        await ear.has(10 + len(own))
        assert ear.payloads == [*map(str, range(10)), *own]
    assert await listens(notifier) == 1


async def test_a_terminated_connection_is_opened_again_and_everybody_told(
    hub: Hub, notifier: psycopg.AsyncConnection
) -> None:
    ears = [Ear() for _ in range(100)]
    await hub.hear([f"channel {n}" for n in range(100)])
    for n, ear in enumerate(ears):
        hub.subscribe(ear, [f"channel {n}"])
    for losses in range(1, 3):
        await terminate(hub, notifier)
        for ear in ears:
            await ear.has(notices=losses)
        for n in range(100):
            await notify(notifier, f"channel {n}", str(losses))
        for ear in ears:
            await ear.has(losses)
    assert all(ear.payloads == ["1", "2"] and len(ear.notices) == 2 for ear in ears)
    assert ears[0].notices[0].body.fields["C"] == "01000"
    assert hub.losses == 2


async def test_hearing_survives_a_connection_that_is_killed_all_the_time(
    hub: Hub, notifier: psycopg.AsyncConnection
) -> None:
    ear = Ear()
    await hub.hear(["a"])
    hub.subscribe(ear, ["a"])
    for n in range(3):
        await until(lambda: not hub.subscriptions.misled)
        hearing = asyncio.ensure_future(hub.hear([f"other {n}"]))
        await terminate(hub, notifier)
        await hearing
    await until(lambda: not hub.subscriptions.misled)
    await notify(notifier, "a", "after")
    await ear.has(1)
    assert ear.payloads == ["after"]


async def test_who_comes_and_goes_hears_everything_or_is_told(
    hub: Hub, notifier: psycopg.AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On few channels, which are given up as soon as nobody uses them."""
    monkeypatch.setattr(deadlines, "UNUSED_LIMIT", 0.0)

    async def come_and_go(n: int) -> int:
        ear, channel = Ear(), f"channel {n % 3}"
        await hub.hear([channel])
        hub.subscribe(ear, [channel])
        deadlines.sweep_hub(hub, monotonic())
        await notify(notifier, channel, str(n))
        async with asyncio.timeout(10):
            while str(n) not in ear.payloads and not ear.notices:
                await ear.has_more()
        hub.leave(ear)
        deadlines.sweep_hub(hub, monotonic())
        return not ear.notices

    heard = 0
    for _ in range(20):
        heard += sum(await asyncio.gather(*map(come_and_go, range(10))))
    assert heard
    assert not hub.subscriptions.names


async def test_an_unused_channel_is_unlistened(
    hub: Hub, notifier: psycopg.AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "UNUSED_LIMIT", 0.0)
    monkeypatch.setattr(deadlines, "RELEASE_AFTER", 0.0)
    ear = Ear()
    await hub.hear(["kept", "unused"])
    hub.subscribe(ear, ["kept"])
    await until(lambda: list(hub.channels) == ["kept"] and hub.receiver and not hub.receiver.sent)
    await notify(notifier, "unused")
    await notify(notifier, "kept")
    await ear.has(1)
    assert hub.received == 1
    hub.leave(ear)
    await until(lambda: hub.pool is None)
    while await listens(notifier):
        pass
    await hub.hear(["kept"])


@pytest.mark.parametrize("size", [0, 1, 7999])
async def test_payloads_of_any_size(hub: Hub, notifier: psycopg.AsyncConnection, size: int) -> None:
    ear = Ear()
    await hub.hear(["a"])
    hub.subscribe(ear, ["a"])
    for letter in "xyz":
        await notify(notifier, "a", letter * size)
    await ear.has(3)
    assert ear.payloads == [letter * size for letter in "xyz"]


async def test_odd_names_are_heard_as_they_are(hub: Hub, notifier: psycopg.AsyncConnection) -> None:
    ears = {name: Ear() for name in ODD_NAMES}
    await hub.hear(ODD_NAMES)
    for name, ear in ears.items():
        hub.subscribe(ear, [name])
        await notify(notifier, name, f"for {name}")
    for name, ear in ears.items():
        await ear.has(1)
        assert ear.heard == [(name, f"for {name}")]


async def test_in_another_encoding_texts_are_utf8_and_a_name_that_has_no_letters_there_fails_alone(
    database: Database,
) -> None:
    name = f"{database.name}_latin1"
    with connect(database.server) as admin:
        options = "ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        admin.execute(f"CREATE DATABASE {name} OWNER app {options}")  # type: ignore[arg-type]
    try:
        async with running(database.server.dsn(name, "app", PASSWORD)) as proxy:
            hub, ear = proxy.find_hub(name, "app"), Ear()
            bad = asyncio.ensure_future(hub.hear(["日本"]))
            await hub.hear(["ü"])
            with pytest.raises(ProxyError) as caught:
                await bad
            assert caught.value.sqlstate == "22P05"
            hub.subscribe(ear, ["ü"])
            with psycopg.connect(database.server.dsn(name), autocommit=True) as notifier:
                notifier.execute("SELECT pg_notify('ü', 'é')")
            await ear.has(1)
            assert ear.heard == [("ü", "é")]
    finally:
        with connect(database.server) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


async def test_a_client_knows_its_own_notifications(proxy: Proxy, hub: Hub, database: Database) -> None:
    listener = await listen_tcp(lambda: Login(proxy), ["127.0.0.1"], 0, 100, "listen.port")
    port = listener.sockets[0].getsockname()[1]
    ear = Ear()
    await hub.hear(["a"])
    hub.subscribe(ear, ["a"])
    async with await psycopg.AsyncConnection.connect(
        f"host=127.0.0.1 port={port} dbname={database.name} user=app password={PASSWORD}", autocommit=True
    ) as client:
        await notify(client, "a")
        await ear.has(1)
        assert ear.pids == [client.info.backend_pid]
    listener.close()
