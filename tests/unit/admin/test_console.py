"""A console session as its client sees it, message by message."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import pytest

from dbproxy.admin.console import QUEUE_LIMIT, READY, Console
from dbproxy.admin.table import BATCH
from dbproxy.errors import AdminShutdown
from dbproxy.observe.querystats import QueryStats
from dbproxy.wire import build, messages
from dbproxy.wire.codes import Backend
from tests.unit.admin.house import FakeHouse, settings


class Session:
    """A console and what it wrote."""

    def __init__(self, house: FakeHouse, user: str = "admin") -> None:
        self.house = house
        self.login = house.add_login(user, "pgbouncer")
        self.transport: Any = self.login.transport
        self.console = self.login.heir = Console(self.login, house)

    async def ask(self, query: str) -> list[Any]:
        """The messages that answer one Query, but for ReadyForQuery."""
        self.transport.written = b""
        self.console.data_received(build.query(query))
        await self.until(lambda: self.transport.written.endswith(READY))
        return split_messages(self.transport.written)[:-1]

    async def error(self, query: str) -> dict[str, str]:
        *_, last = await self.ask(query)
        assert last.kind == Backend.ERROR_RESPONSE
        return dict(last.body.fields)

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - the console's task takes its turns
                await asyncio.sleep(0)


def split_messages(data: bytes) -> list[Any]:
    found = []
    while data:
        size = 1 + int.from_bytes(data[1:5], "big")
        found.append(messages.BACKEND_MESSAGE.parse(data[:size]))
        data = data[size:]
    return found


@pytest.fixture
def house() -> FakeHouse:
    return FakeHouse(settings(DBPROXY_AUTH__STATS_USERS="stats"))


@pytest.fixture
async def session(house: FakeHouse) -> AsyncIterator[Session]:
    session = Session(house)
    yield session
    session.console.disconnect("the test is over")


def tags(answer: list[Any]) -> list[str]:
    return [message.body.tag for message in answer if message.kind == Backend.COMMAND_COMPLETE]


async def test_show_answers_with_a_table(session: Session) -> None:
    answer = await session.ask("show version;")
    assert [message.kind for message in answer] == [*b"TDC"]
    assert tags(answer) == ["SHOW"]


async def test_select_is_show_for_drivers_that_probe(session: Session) -> None:
    assert tags(await session.ask("SELECT VERSION")) == ["SHOW"]


@pytest.mark.parametrize("query", ["", ";", " ; "])
async def test_empty_query_is_answered_as_postgresql_answers_it(session: Session, query: str) -> None:
    assert [message.kind for message in await session.ask(query)] == [Backend.EMPTY_QUERY_RESPONSE]


async def test_several_statements_are_answered_in_turn(session: Session) -> None:
    assert tags(await session.ask("SHOW STATE; RELOAD; SHOW LISTS")) == ["SHOW", "RELOAD", "SHOW"]


async def test_error_ends_the_query_and_not_the_session(session: Session) -> None:
    answer = await session.ask("SHOW STATE; nonsense; RELOAD")
    assert tags(answer) == ["SHOW"]
    assert session.house.reloads == 0
    assert tags(await session.ask("SHOW STATE")) == ["SHOW"]


@pytest.mark.parametrize(
    "query",
    [
        "nonsense",
        "SHOW nonsense",
        "RELOAD now",
        "SELECT 1 + 1",
        "VACUUM",
        "BEGIN",
        "DISABLE HOST",
        "enable host",
        "DRAIN app",
        "PROBE replica1",
        "EXPLAIN ROUTE",
        "EXPLAIN SELECT 1",
    ],
)
async def test_what_it_does_not_know_is_quoted_with_a_way_out(session: Session, query: str) -> None:
    fields = await session.error(query)
    assert (fields["S"], fields["C"]) == ("ERROR", "08P01")
    assert fields["M"] == f"invalid command '{query}', use SHOW HELP;"


async def test_help_is_a_notice(session: Session) -> None:
    notice, complete = await session.ask("SHOW HELP")
    fields = dict(notice.body.fields)
    assert (fields["S"], fields["M"]) == ("NOTICE", "Console usage")
    assert "PAUSE [<db>]" in fields["D"]
    assert complete.body.tag == "SHOW"


async def test_settings_that_drivers_set_are_ignored_with_a_notice(session: Session) -> None:
    notice, complete = await session.ask("SET client_encoding = 'UTF8'")
    assert dict(notice.body.fields)["M"] == "SET ignored"
    assert complete.body.tag == "SET"


@pytest.mark.parametrize(
    "key",
    [
        "pool_size",
        "listen.port",
        "pool.statement_cache_size",
        "primary.url",
        "auth.admin_users",
        "routing.plugin",
    ],
)
async def test_other_settings_are_not_set_here(session: Session, key: str) -> None:
    assert (await session.error(f"SET {key} = 3"))["M"] == "SET failed"


async def test_pools_settings_are_set_by_both_names(session: Session) -> None:
    notice, complete = await session.ask("SET default_pool_size = 7")
    assert dict(notice.body.fields)["M"] == "pool.size is 7 until the next RELOAD; it was 50"
    assert complete.body.tag == "SET default_pool_size=7"
    await session.ask("SET pool.query_wait_timeout TO '3s'; SET slow_query.threshold = '1s'")
    found = session.house.settings
    assert (found.pool.size, found.pool.query_wait_timeout, found.slow_query.threshold) == (7, 3.0, 1.0)


@pytest.mark.parametrize(
    "query",
    [
        "RELOAD",
        "PAUSE",
        "PAUSE app",
        "RESUME",
        "KILL",
        "RECONNECT",
        "SET a = b",
        "SET routing = off",
        "DISABLE HOST primary",
        "DRAIN HOST primary",
        "ENABLE HOST primary",
        "PROBE",
    ],
)
async def test_stats_user_may_only_look(house: FakeHouse, query: str) -> None:
    session = Session(house, "stats")
    assert (await session.error(query))["M"] == "admin access needed"
    assert (house.reloads, house.paused) == (0, False)
    assert tags(await session.ask("SHOW POOLS")) == ["SHOW"]
    assert tags(await session.ask("SET datestyle = ISO")) == ["SET"]
    session.console.disconnect("the test is over")


async def test_routing_is_set_until_the_next_reload(session: Session) -> None:
    notice, complete = await session.ask("SET routing = 'observe'")
    assert dict(notice.body.fields)["M"] == "routing.mode is observe until the next RELOAD; it was on"
    assert complete.body.tag == "SET routing=observe"
    assert session.house.settings.routing.mode == "observe"
    await session.ask("SET routing.percent = 5; SET routing.slow_start = '60s'")
    assert session.house.settings.routing.percent == 5
    assert session.house.settings.routing.slow_start == 60
    notice, _ = await session.ask("SET routing.percent = '5'")
    assert dict(notice.body.fields)["M"] == "routing.percent has this value already"


async def test_levels_of_the_log_are_set_until_the_next_reload(session: Session) -> None:
    notice, _ = await session.ask("SET log.pool = 'debug'")
    assert dict(notice.body.fields)["M"] == "log.pool is debug until the next RELOAD; it was ''"
    await session.ask("SET log = 'warning'; SET slow_query = '50ms'; SET slow_query.explain = 'reads'")
    found = session.house.settings
    assert (found.log.level, found.log.areas()) == ("warning", {"pool": "debug"})
    assert (found.slow_query.threshold, found.slow_query.explain) == (0.05, "reads")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("log.format", "log.format is not changed here: change the configuration and restart."),
        ("auth.admin_users", "auth.admin_users is not changed here: change the configuration and RELOAD."),
        ("log.pol", "log.pol is no setting. Did you mean log.pool?"),
        ("pool.nothing_of_the_kind", "pool.nothing_of_the_kind is no setting. What can be SET: "),
    ],
)
async def test_what_cannot_be_set_is_told_apart_and_what_to_do(
    session: Session, key: str, reason: str
) -> None:
    told = await session.error(f"SET {key} = 'json'")
    assert (told["M"], told["H"].startswith(reason)) == ("SET failed", True)


async def test_query_that_is_not_known_is_told_by_its_id(session: Session) -> None:
    session.house.query_stats = QueryStats(100, 1 << 20, monotonic())
    assert (await session.error("SHOW QUERY zzz"))["M"] == "no such query: zzz"


@pytest.mark.parametrize(
    ("query", "advice"),
    [
        ("SET log.pool = 'loud'", "must be '', 'debug', 'info', 'warning' or 'error'"),
        ("SET routing = 'maybe'", "must be 'off', 'observe' or 'on'"),
        ("SET routing.percent = 101", "must be at most 100"),
        ("SET routing.percent = half", "must be a whole number from 0 up, such as 50"),
    ],
)
async def test_a_bad_value_changes_nothing_and_is_told_what_would_be_right(
    session: Session, query: str, advice: str
) -> None:
    before = session.house.settings
    assert (await session.error(query))["M"].endswith(f" failed: {advice}")
    assert session.house.settings is before


async def test_set_that_is_refused_names_what_can_be_set(session: Session) -> None:
    assert "routing.percent" in (await session.error("SET routing.nonsense = 1"))["H"]


async def test_an_order_to_a_host_that_is_not_there_names_those_that_are(session: Session) -> None:
    assert (await session.error("DRAIN HOST moon"))["M"] == 'there is no host "moon"; there are primary'
    assert tags(await session.ask("DISABLE HOST primary; PROBE")) == ["DISABLE HOST", "PROBE"]
    assert session.house.cluster.members[0].state == "disabled"
    assert tags(await session.ask("DRAIN HOST primary; ENABLE HOST primary")) == ["DRAIN HOST", "ENABLE HOST"]
    assert session.house.cluster.members[0].order == ""


async def test_explain_route_answers_with_lines(session: Session) -> None:
    _, first, last, complete = await session.ask("EXPLAIN ROUTE SELECT 1")
    assert list(first.body["values"]) == [b"A replica may answer it: it is a read."]
    assert list(last.body["values"]) == [b"There are no replicas: everything goes to the primary."]
    assert complete.body.tag == "EXPLAIN"


async def test_explain_route_of_what_is_no_text_is_answered(session: Session) -> None:
    assert tags(await session.ask("EXPLAIN ROUTE SELECT '\udcff'")) == ["EXPLAIN"]


async def test_right_to_act_is_that_of_the_settings_now(session: Session) -> None:
    session.house.settings = settings(DBPROXY_AUTH__ADMIN_USERS="somebody_else")
    assert (await session.error("PAUSE"))["M"] == "admin access needed"


async def test_bug_in_a_command_ends_this_session_alone(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session.house, "process", None)
    session.console.data_received(build.query("RELOAD"))
    await session.until(lambda: session.console.closed)
    (error,) = split_messages(session.transport.written)
    assert dict(error.body.fields)["M"] == "internal error in the proxy"
    assert len(session.house.registry) == 0


@pytest.mark.parametrize(
    "message", [build.parse("", "SHOW POOLS"), build.describe_statement(""), build.sync(), build.flush()]
)
async def test_extended_protocol_ends_the_session(session: Session, message: bytes) -> None:
    session.console.data_received(message)
    await session.until(lambda: session.console.closed)
    (error,) = split_messages(session.transport.written)
    fields = dict(error.body.fields)
    assert (fields["S"], fields["C"]) == ("FATAL", "08P01")
    assert fields["M"] == "extended query protocol not supported by admin console"
    assert session.transport.closed


async def test_unknown_message_ends_the_session(session: Session) -> None:
    session.console.data_received(b"d\0\0\0\4")
    await session.until(lambda: session.console.closed)
    assert b"unsupported packet type for admin console: 100" in session.transport.written


async def test_message_without_end_ends_the_session(session: Session) -> None:
    session.console.data_received(b"Q\x3f\xff\xff\xff")
    assert session.console.closed
    assert b"is over the limit" in session.transport.written


async def test_query_may_come_in_pieces(session: Session) -> None:
    query = build.query("SHOW STATE")
    for at in range(len(query)):
        session.console.data_received(query[at : at + 1])
    await session.until(lambda: session.transport.written.endswith(READY))
    assert tags(split_messages(session.transport.written)[:-1]) == ["SHOW"]


async def test_terminate_leaves_once(session: Session) -> None:
    session.console.data_received(build.terminate())
    await session.until(lambda: session.console.closed)
    session.console.connection_lost(None)
    session.console.disconnect("again")
    assert session.transport.closed
    assert session.house.registry.disconnects == {"client closed the connection": 1}
    assert len(session.house.registry) == 0


async def test_shutdown_is_told_to_the_console(session: Session) -> None:
    error = AdminShutdown("terminating connection due to administrator command")
    session.console.disconnect(error.message, error)
    assert b"57P01" in session.transport.written
    assert session.transport.closed


async def test_pause_that_waits_is_taken_back_by_a_cancel_request(session: Session) -> None:
    house = session.house
    pool = house.add_pool()
    house.lend(house.add_client(pool))
    asking = asyncio.ensure_future(session.error("PAUSE"))
    await session.until(lambda: house.paused)
    session.console.cancel()
    fields = await asking
    assert fields["C"] == "57014"
    assert not house.paused


async def test_wait_close_that_waits_is_over_with_a_cancel_request(session: Session) -> None:
    house = session.house
    house.lend(house.add_client(house.add_pool()))
    await session.ask("RECONNECT")
    asking = asyncio.ensure_future(session.error("WAIT_CLOSE"))
    await session.until(lambda: session.console.action is not None)
    session.console.cancel()
    assert (await asking)["C"] == "57014"
    assert tags(await session.ask("SHOW STATE")) == ["SHOW"]


async def test_cancel_request_at_rest_changes_nothing(session: Session) -> None:
    await session.ask("PAUSE")
    session.console.cancel()
    assert session.house.paused


async def test_administrator_who_leaves_during_a_pause_leaves_it_in_force(session: Session) -> None:
    house = session.house
    house.lend(house.add_client(house.add_pool()))
    session.console.data_received(build.query("PAUSE"))
    await session.until(lambda: house.paused)
    session.console.connection_lost(None)
    await session.until(session.console.task.done)
    assert house.paused


async def test_flood_behind_a_waiting_command_is_not_read(session: Session) -> None:
    house = session.house
    server = house.lend(house.add_client(house.add_pool()))
    session.console.data_received(build.query("PAUSE"))
    await session.until(lambda: house.paused)
    for _ in range(QUEUE_LIMIT + 1):
        session.console.data_received(build.query("SHOW STATE"))
    assert not session.transport.reading
    house.answer(server)
    await session.until(lambda: session.transport.written.count(READY) == QUEUE_LIMIT + 2)
    assert session.transport.reading


async def test_long_table_waits_for_a_client_that_does_not_read(session: Session) -> None:
    pool = session.house.add_pool()
    for _ in range(3 * BATCH):
        session.house.add_client(pool)
    session.console.data_received(build.query("SHOW CLIENTS"))
    await session.until(lambda: session.transport.written)
    session.console.pause_writing()
    for _ in range(20):
        await asyncio.sleep(0)
    held = len(session.transport.written)
    assert not session.transport.written.endswith(READY)
    for client in [login.client for login in session.house.registry][::2]:
        client and client.connection_lost(None)
    session.console.resume_writing()
    await session.until(lambda: session.transport.written.endswith(READY))
    assert len(session.transport.written) > held
    rows = len(split_messages(session.transport.written)) - 4
    assert 3 * BATCH // 2 <= rows < 3 * BATCH, "those who are there, and who was told before he left"
