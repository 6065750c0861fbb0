"""RELOAD, PAUSE, KILL and the others do what PgBouncer's do, or say why not."""

import asyncio

import pytest

from dbproxy.admin.actions import ACTIONS
from dbproxy.admin.show import SHOWS
from dbproxy.errors import CommandFailed, ConfigurationError, QueryCanceled
from dbproxy.pool.states import TESTED
from tests.unit.admin.house import FakeHouse, records


@pytest.fixture
def house() -> FakeHouse:
    return FakeHouse()


async def perform(house: FakeHouse, verb: str, argument: str = "") -> None:
    await ACTIONS[verb](house, argument)


async def test_pause_closes_what_is_idle_and_returns(house: FakeHouse) -> None:
    pool = house.add_pool()
    server = house.add_server(pool)
    await perform(house, "pause")
    assert house.paused
    assert server.closed
    assert pool.size() == 0


async def test_pause_returns_only_when_the_last_server_is_back(house: FakeHouse) -> None:
    pool = house.add_pool()
    server = house.lend(house.add_client(pool))
    pausing = asyncio.ensure_future(perform(house, "pause"))
    await asyncio.wait([pausing], timeout=0.1)
    assert not pausing.done()
    house.answer(server)
    await asyncio.wait_for(pausing, 5)
    assert server.closed


async def test_pause_returns_only_when_replication_has_ended(house: FakeHouse) -> None:
    house.add_replication("other")
    replication = house.add_replication("app")
    pausing = asyncio.ensure_future(perform(house, "pause", "app"))
    await asyncio.wait([pausing], timeout=0.1)
    assert (pausing.done(), replication.closed) == (False, False)
    replication.disconnect("KILL_CLIENT")
    await asyncio.wait_for(pausing, 5)


async def test_reconnect_ends_replication_which_is_never_free(house: FakeHouse) -> None:
    one, other = house.add_replication("app"), house.add_replication("other")
    await perform(house, "reconnect", "app")
    assert (one.walsender.closed, other.walsender.closed) == (True, False)
    await perform(house, "reconnect")
    assert other.closed


async def test_pause_of_one_database_leaves_the_others_alone(house: FakeHouse) -> None:
    paused, other = house.add_pool("app"), house.add_pool("other")
    house.add_server(paused)
    server = house.add_server(other)
    await perform(house, "pause", "app")
    assert (paused.paused, other.paused, server.closed) == (True, False, False)


async def test_pause_that_is_taken_back_says_so(house: FakeHouse) -> None:
    house.lend(house.add_client(house.add_pool()))
    pausing = asyncio.ensure_future(perform(house, "pause", "app"))
    await asyncio.sleep(0)
    await perform(house, "resume", "app")
    with pytest.raises(QueryCanceled, match="PAUSE was ended"):
        await asyncio.wait_for(pausing, 5)


@pytest.mark.parametrize("verb", ["pause", "kill"])
async def test_paused_proxy_is_not_paused_again(house: FakeHouse, verb: str) -> None:
    await perform(house, "pause")
    with pytest.raises(CommandFailed, match="already suspended/paused"):
        await perform(house, verb)


async def test_resume_takes_a_pause_back(house: FakeHouse) -> None:
    await perform(house, "pause")
    await perform(house, "resume")
    assert not house.paused


async def test_resume_of_what_is_not_paused_is_an_error(house: FakeHouse) -> None:
    with pytest.raises(CommandFailed, match="pooler is not paused/suspended"):
        await perform(house, "resume")
    with pytest.raises(CommandFailed, match="database app is not paused"):
        await perform(house, "resume", "app")


@pytest.mark.parametrize("verb", ["pause", "resume", "kill", "reconnect", "disable", "enable"])
@pytest.mark.parametrize("console", ["dbproxy", "pgbouncer"])
async def test_console_is_no_database_to_act_upon(house: FakeHouse, verb: str, console: str) -> None:
    with pytest.raises(CommandFailed, match=f"cannot {verb} admin db: {console}"):
        await perform(house, verb, console)


async def test_database_that_cannot_exist_is_named(house: FakeHouse) -> None:
    house.settings = house.settings.model_copy(update={"primary": type(house.settings.primary)()})
    with pytest.raises(CommandFailed, match="no such database: other"):
        await perform(house, "pause", "other")


async def test_kill_ends_clients_and_servers_and_leaves_the_database_paused(house: FakeHouse) -> None:
    pool = house.add_pool()
    idle, active = house.add_client(pool), house.add_client(pool)
    bystander = house.add_client(house.add_pool("other"))
    server = house.lend(active)
    resetting = house.add_server(pool)
    pool.move(resetting, TESTED)
    await perform(house, "kill", "app")
    assert idle.closed
    assert b"57P01" in active.transport.written
    assert server.closed
    assert resetting.closed
    assert (pool.paused, bystander.closed) == (True, False)
    assert pool.size() == 0


async def test_reconnect_replaces_servers_when_they_are_free(house: FakeHouse) -> None:
    pool = house.add_pool()
    lent = house.lend(house.add_client(pool))
    idle = house.add_server(pool)
    await perform(house, "reconnect", "app")
    assert (idle.closed, lent.closed) == (True, False)
    house.answer(lent)
    assert lent.closed


async def test_reload_reads_the_settings_again(house: FakeHouse) -> None:
    await perform(house, "reload")
    assert house.reloads == 1


async def test_bad_settings_fail_a_reload_with_every_mistake(house: FakeHouse) -> None:
    house.bad_settings = ConfigurationError("dbproxy.toml:3: pool.size: must be a whole number")
    with pytest.raises(CommandFailed) as raised:
        await perform(house, "reload")
    assert (raised.value.sqlstate, raised.value.severity) == ("F0000", "ERROR")
    assert raised.value.detail == house.bad_settings.message


async def test_client_that_is_killed_is_told_and_no_other_is(house: FakeHouse) -> None:
    pool = house.add_pool()
    first, other = house.add_client(pool), house.add_client(pool)
    await perform(house, "kill_client", str(first.id))
    assert b"57P01" in first.transport.written
    assert b"admin forced disconnect" in first.transport.written
    assert (first.closed, other.closed) == (True, False)


async def test_console_session_is_no_client_to_kill(house: FakeHouse) -> None:
    login = house.add_login("admin", "pgbouncer")
    with pytest.raises(CommandFailed, match="client not found"):
        await perform(house, "kill_client", str(login.identity.id))


async def test_disabled_database_is_shown_and_enabled_again(house: FakeHouse) -> None:
    house.add_pool()
    await perform(house, "disable", "app")
    assert [row["disabled"] for row in records(SHOWS["databases"](house))] == [1]
    await perform(house, "enable", "app")
    assert [row["disabled"] for row in records(SHOWS["databases"](house))] == [0]


async def test_wait_close_returns_when_the_last_that_is_to_be_replaced_is_closed(house: FakeHouse) -> None:
    pool, other = house.add_pool(), house.add_pool("other")
    server, elsewhere = house.lend(house.add_client(pool)), house.lend(house.add_client(other))
    await asyncio.wait_for(perform(house, "wait_close"), 5)  # nothing is to be replaced
    await perform(house, "reconnect")
    waiting = asyncio.ensure_future(perform(house, "wait_close", "app"))
    await asyncio.wait([waiting], timeout=0.1)
    assert not waiting.done()
    house.answer(server)
    await asyncio.wait_for(waiting, 5)
    assert not elsewhere.closed


@pytest.mark.parametrize(
    ("argument", "awaited"), [("", ""), ("WAIT_FOR_CLIENTS", "clients"), ("wait_for_servers", "servers")]
)
async def test_shutdown_is_left_to_the_proxy(house: FakeHouse, argument: str, awaited: str) -> None:
    await perform(house, "shutdown", argument)
    assert house.shutdowns == [awaited]


async def test_proxy_that_shuts_down_is_not_resumed(house: FakeHouse) -> None:
    await perform(house, "pause")
    house.stopping = True
    with pytest.raises(CommandFailed, match="pooler is shutting down"):
        await perform(house, "resume")
