"""Opening a server: what it says at login, and what those who wait are told when it fails."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from dbproxy.auth.exchange import KeyCache
from dbproxy.auth.server_login import Credentials
from dbproxy.config import PoolSettings
from dbproxy.errors import ProtocolViolation, ServerRefused, ServerUnavailable
from dbproxy.pool.backend import Backend
from dbproxy.pool.login import Target, explain, log_in
from dbproxy.wire import build

TARGET = Target("db.internal", 5432, "db.internal:5432", "shop", "app", None)
OK = (ord("R"), b"\0\0\0\0")
READY = (ord("Z"), b"I")
POOL: Any = SimpleNamespace(settings=PoolSettings())


def server(*messages: tuple[int, bytes] | None) -> Any:
    """One that has said this already; None is its end."""
    mailbox: asyncio.Queue[Any] = asyncio.Queue()
    for message in messages:
        mailbox.put_nowait(message)
    written: list[bytes] = []
    backend = Backend()
    backend.mailbox = mailbox
    return SimpleNamespace(backend=backend, write=written.append, written=written)


def status(name: str, value: str) -> tuple[int, bytes]:
    return ord("S"), build.parameter_status(name, value)[5:]


def failure(**fields: str) -> tuple[int, bytes]:
    return ord("E"), build.error_response_fields(fields)[5:]


async def test_login_keeps_what_the_server_says_of_itself():
    one = server(OK, status("TimeZone", "UTC"), (ord("K"), b"\0\0\0\7key!"), READY)
    await log_in(one, TARGET, KeyCache())
    assert one.written == [build.startup_message({"user": "app", "database": "shop"})]
    assert (one.backend.pid, one.backend.key, one.backend.parameters) == (7, b"key!", {"TimeZone": "UTC"})
    assert one.backend.mailbox is None


async def test_what_came_together_with_the_welcome_is_heard():
    one = server(OK, READY, status("TimeZone", "UTC"))
    await log_in(one, TARGET, KeyCache())
    assert one.backend.parameters == {"TimeZone": "UTC"}


async def test_server_that_closes_with_its_welcome_has_not_let_us_in():
    with pytest.raises(ServerUnavailable, match="closed the connection during login"):
        await log_in(server(OK, READY, None), TARGET, KeyCache())


async def test_server_that_shuts_down_with_its_welcome_has_not_let_us_in():
    shutdown = failure(S="FATAL", C="57P01", M="terminating connection")
    with pytest.raises(ServerRefused, match="terminating connection"):
        await log_in(server(OK, READY, shutdown, None), TARGET, KeyCache())


async def test_server_that_closes_before_it_is_ready():
    for said in ([None], [OK, None], [OK, status("a", "b"), None]):
        with pytest.raises(ServerUnavailable, match="closed the connection"):
            await log_in(server(*said), TARGET, KeyCache())


async def test_server_that_is_ready_without_having_authenticated_us_is_not_believed():
    with pytest.raises(ProtocolViolation, match="before it had authenticated"):
        await log_in(server(READY), TARGET, KeyCache())


async def test_refusal_is_in_postgresqls_own_words():
    with pytest.raises(ServerRefused) as caught:
        await log_in(
            server(failure(C="3D000", M="no such database", D="detail", H="hint")), TARGET, KeyCache()
        )
    error = caught.value
    assert (error.sqlstate, error.message, error.detail, error.hint) == (
        "3D000",
        "no such database",
        "detail",
        "hint",
    )


def test_refusal_that_stays_is_told_as_it_is():
    refused = ServerRefused("no such database", sqlstate="3D000")
    assert explain(refused, POOL, TARGET) is refused


@pytest.mark.parametrize("sqlstate", ["57P03", "57P01", "53300"])
def test_refusal_that_passes_is_no_reason_to_turn_clients_away(sqlstate: str):
    told = explain(ServerRefused("not now", sqlstate=sqlstate, hint="wait"), POOL, TARGET)
    assert isinstance(told, ServerUnavailable)
    assert (told.message, told.hint) == ("db.internal:5432: not now", "wait")


def test_what_the_system_says_is_told_with_the_address():
    told = explain(ConnectionRefusedError(111, "Connection refused"), POOL, TARGET)
    assert told.message == "cannot connect to the server at db.internal:5432: Connection refused"
    late = explain(TimeoutError(), POOL, TARGET)
    assert "server_connect_timeout (15 s)" in late.message


def test_target_hides_its_credentials():
    secret: Credentials = "hunter2"  # type: ignore[assignment]
    assert "hunter2" not in repr(Target("h", 1, "h:1", "d", "u", secret))
