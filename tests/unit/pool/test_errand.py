"""Something of our own on a server: in its turn, with its answer as a value or an error, and nothing left behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from dbproxy.errors import FeatureNotSupported, ServerLost, ServerRefused, ServerUnavailable
from dbproxy.pool.errand import Errand
from dbproxy.pool.parameters import NOTHING
from dbproxy.pool.server import Server
from dbproxy.pool.states import ACTIVE, IDLE
from dbproxy.sql.statement import LOCKS
from tests.support import speech
from tests.support.speech import columns, complete, error, parameter_status, query, row, rows
from tests.unit.pool.fakes import FakeClient, FakePool

READY = speech.IDLE
LOCKING = "BEGIN PERFORM pg_advisory_lock(1); END"


def make_pool(**settings: Any) -> tuple[FakePool, Server]:
    """With one server, which is idle."""
    fake = FakePool(**{"size": 1, "min_pool_size": 1, "reserve_size": 0, "read_functions": False, **settings})
    fake.pool.open_more(0)
    return fake, fake.connect()


async def until(condition: Callable[[], Any]) -> None:
    while not condition():  # noqa: ASYNC110 - the errand's task takes its turns
        await asyncio.sleep(0)


async def next_query(server: Server) -> bytes:
    """What is sent next."""
    transport: Any = server.transport
    await until(lambda: transport.written)
    written: bytes = transport.take()
    return written


@asynccontextmanager
async def start(work: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """The errand, under way; it does not outlive the test."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# --- an answer ----------------------------------------------------------------------------------------------


async def test_rows_are_returned_and_the_server_goes_back():
    fake, server = make_pool()
    async with start(Errand(fake.pool).run("SELECT a")) as task:
        assert await next_query(server) == query("SELECT a")
        assert server.state == ACTIVE
        server.data_received(columns("a") + row("1") + row("2") + complete() + READY)
        assert await task == [[b"1"], [b"2"]]
    assert server.state == IDLE


async def test_errand_is_no_query_of_a_client():
    """Neither it nor its failure is counted, nor a slow one taken for a slow query."""
    fake, server = make_pool()
    fake.pool.tenant.slow_after = 0.0
    async with start(Errand(fake.pool).run("SELECT a")) as task:
        await next_query(server)
        server.data_received(error("42P01", "missing") + READY)
        with pytest.raises(ServerRefused):
            await task
    stats = fake.pool.tenant.stats
    assert (stats.query_count, stats.xact_count, stats.slow_query_count, stats.error_count) == (0, 0, 0, 0)


async def test_answer_that_comes_byte_by_byte_is_read_whole():
    fake, server = make_pool()
    async with start(Errand(fake.pool).run("SELECT a")) as task:
        await next_query(server)
        for byte in columns("a") + row("1") + row("2") + complete() + READY:
            server.data_received(bytes([byte]))
        assert await task == [[b"1"], [b"2"]]


async def test_failure_is_raised_in_postgresqls_words_and_the_server_goes_back():
    fake, server = make_pool()
    async with start(Errand(fake.pool).run("SELECT a")) as task:
        await next_query(server)
        server.data_received(error("42703", 'column "a" does not exist') + READY)
        with pytest.raises(ServerRefused, match='column "a" does not exist') as caught:
            await task
    assert caught.value.sqlstate == "42703"
    assert server.state == IDLE


async def test_what_an_errand_did_is_no_clients_to_answer_for():
    fake, server = make_pool()
    server.dialogue.statements.unnamed = b"SELECT 1\0\0\0"
    async with start(Errand(fake.pool).run("SELECT pg_advisory_xact_lock(1)")) as task:
        await next_query(server)
        server.dialogue.traces.note(LOCKS)
        server.data_received(rows("") + READY)
        await task
    assert server.dialogue.traces.effects == 0
    assert server.dialogue.statements.unnamed is None
    assert server.trail.last is None


async def test_errand_goes_on_while_its_server_takes_no_more():
    fake, server = make_pool()
    async with start(Errand(fake.pool).run("SELECT a")) as task:
        await next_query(server)
        server.pause_writing()
        server.resume_writing()
        server.data_received(rows("1") + READY)
        assert await task == [[b"1"]]


# --- its turn -----------------------------------------------------------------------------------------------


async def test_errand_waits_behind_those_who_came_before():
    fake, server = make_pool()
    holder, first = FakeClient("holder"), FakeClient("first")
    fake.lend(holder)
    fake.lend(first)
    async with start(Errand(fake.pool).run("SELECT a")) as task:
        await until(lambda: len(fake.pool.waiting) == 2)
        server.release(1.0)
        assert first.server is server
        server.release(2.0)
        await next_query(server)
        server.data_received(rows("1") + READY)
        assert await task == [[b"1"]]


async def test_errand_is_told_at_once_that_no_server_can_be_reached():
    fake, unreachable = FakePool(), ServerUnavailable("cannot connect")
    async with start(Errand(fake.pool).run("SELECT a")) as task:
        await until(lambda: fake.pool.waiting)
        fake.pool.open_failed(unreachable, 0)
        with pytest.raises(ServerUnavailable) as caught:
            await task
    assert caught.value is unreachable


async def test_errand_that_is_given_up_waits_no_more():
    fake = FakePool()
    async with start(Errand(fake.pool).run("SELECT a")):
        await until(lambda: fake.pool.waiting)
    assert not fake.pool.waiting
    assert fake.connect().state == IDLE


async def test_server_of_an_errand_that_is_given_up_is_not_lent_with_its_reply_due():
    fake, server = make_pool()
    async with start(Errand(fake.pool).run("SELECT pg_sleep(9)")):
        await next_query(server)
    assert server.closed
    assert fake.cancelled == [server]


async def test_errand_that_is_given_up_as_it_is_served_gives_the_server_back():
    fake = FakePool()
    async with start(Errand(fake.pool).run("SELECT a")) as task:
        await until(lambda: fake.pool.waiting)
        server = fake.connect()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert server.state == IDLE


# --- a loss -------------------------------------------------------------------------------------------------


async def test_loss_of_its_server_is_raised():
    fake, server = make_pool()
    async with start(Errand(fake.pool).run("SELECT a")) as task:
        await next_query(server)
        server.connection_lost(None)
        with pytest.raises(ServerLost):
            await task


async def test_server_that_is_lost_as_it_is_served_is_told_of():
    fake = FakePool()
    async with start(Errand(fake.pool).run("SELECT a")) as task:
        await until(lambda: fake.pool.waiting)
        fake.connect().connection_lost(None)
        with pytest.raises(ServerLost):
            await task


# --- a client's settings ------------------------------------------------------------------------------------


async def test_settings_are_judged_by_what_a_server_reports_under_them():
    fake, server = make_pool()
    fake.pool.welcome.update({"TimeZone": "UTC", "DateStyle": "ISO"})
    server.backend.parameters.update(fake.pool.welcome)
    settings = fake.pool.tenant.parameter_sets.find({"timezone": "Asia/Tokyo"})
    async with start(Errand(fake.pool).judge(settings)) as task:
        assert b"Asia/Tokyo" in await next_query(server)
        told = parameter_status("TimeZone", "Asia/Tokyo")
        server.data_received(columns("set_config") + row("Asia/Tokyo") + told + complete() + READY)
        await task
    assert settings.reported == {"TimeZone": "Asia/Tokyo"}
    assert server.dialogue.settings is settings
    assert fake.pool.welcome["TimeZone"] == "UTC"


async def test_settings_that_postgresql_refuses_are_not_taken_for_the_servers():
    fake, server = make_pool()
    settings = fake.pool.tenant.parameter_sets.find({"timezone": "nowhere"})
    before = server.dialogue.settings
    async with start(Errand(fake.pool).judge(settings)) as task:
        await next_query(server)
        server.data_received(error("22023", "invalid value for parameter") + READY)
        with pytest.raises(ServerRefused):
            await task
    assert server.dialogue.settings is before
    assert settings.reported is None


# --- functions ----------------------------------------------------------------------------------------------


async def test_functions_are_read_ahead_of_the_first_judgement():
    fake, server = make_pool(read_functions=True)
    tenant = fake.pool.tenant
    async with start(Errand(fake.pool).judge(tenant.parameter_sets.find({}))) as task:
        assert b"pg_proc" in await next_query(server)
        found = row(b"locks".hex(), LOCKING.encode().hex())
        server.data_received(columns("name", "source") + found + complete() + READY)
        await task
    assert tenant.routines.known == {"locks": (LOCKS, frozenset())}
    assert tenant.knows_routines()
    assert not tenant.routines.sets_unseen


async def test_functions_that_set_settings_are_reason_to_expect_it_unseen():
    fake, server = make_pool()
    async with start(Errand(fake.pool).refresh_routines()) as task:
        await next_query(server)
        found = row(b"tune".hex(), b"BEGIN SET jit = off; END".hex())
        server.data_received(columns("name", "source") + found + complete() + READY)
        await task
    assert fake.pool.tenant.routines.sets_unseen


# --- a plan -------------------------------------------------------------------------------------------------


async def test_plan_is_asked_for_under_the_sessions_settings_in_one_query():
    fake, server = make_pool()
    settings = fake.pool.tenant.parameter_sets.find({"timezone": "Asia/Tokyo"})
    async with start(
        Errand(fake.pool).explain("SET LOCAL a = 1; ", "SELECT b", settings, generic=False)
    ) as task:
        assert b"Asia/Tokyo" in await next_query(server)
        server.data_received(complete() + READY)
        assert await next_query(server) == query("SET LOCAL a = 1; EXPLAIN (FORMAT JSON) SELECT b")
        server.data_received(complete("SET") + columns("plan") + row("[]") + complete("EXPLAIN") + READY)
        assert await task == [[b"[]"]]
    assert server.dialogue.settings is settings
    assert server.state == IDLE


@pytest.mark.parametrize(
    ("version", "known"), [("15.4 (Debian 15.4-1)", False), ("16.0", True), ("18beta1", True), ("", False)]
)
async def test_statement_with_parameters_is_planned_from_postgresql_16_on(version: str, known: bool):
    fake, server = make_pool()
    server.backend.parameters["server_version"] = version
    async with start(Errand(fake.pool).explain("", "SELECT $1", NOTHING, generic=True)) as task:
        if known:
            assert await next_query(server) == query("EXPLAIN (GENERIC_PLAN, FORMAT JSON) SELECT $1")
            server.data_received(columns("plan") + row("[]") + complete("EXPLAIN") + READY)
            await task
        else:
            with pytest.raises(FeatureNotSupported):
                await task
    assert server.state == IDLE
