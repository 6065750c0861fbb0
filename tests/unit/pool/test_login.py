"""Opening a server: what it says at login, and what those who wait are told when it fails."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from dbproxy.auth.exchange import KeyCache
from dbproxy.auth.server_login import Credentials
from dbproxy.errors import ConfigurationError, ProtocolViolation, ServerRefused, ServerUnavailable
from dbproxy.pool.backend import Backend
from dbproxy.pool.login import Target, explain, log_in
from dbproxy.wire import build

TARGET = Target("db.internal", 5432, "db.internal:5432", "shop", "app", None)
OK = (ord("R"), b"\0\0\0\0")
READY = (ord("Z"), b"I")
TIMEOUT = 15.0  # seconds


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


async def test_server_that_asks_for_another_login_than_is_allowed_is_left():
    cleartext = (ord("R"), b"\0\0\0\3")
    for required, said in (("scram-sha-256", cleartext), ("!password", cleartext), ("!none", OK)):
        one = server(said, OK, READY)
        with pytest.raises(ServerRefused, match="require_auth"):
            await log_in(one, replace(TARGET, require_auth=required), KeyCache())
        assert len(one.written) == 1  # nothing behind the start-up message


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


def negotiation(version: int, *options: str) -> tuple[int, bytes]:
    return ord("v"), build.negotiate_protocol_version(version, options)[5:]


async def test_server_may_speak_an_older_protocol_than_it_was_asked_for():
    newer = replace(TARGET, minors=(0, 2))
    one = server(negotiation(0), OK, (ord("K"), b"\0\0\0\7key!"), READY)
    await log_in(one, newer, KeyCache())
    assert one.written == [build.startup_message({"user": "app", "database": "shop"}, minor=2)]
    long = server(OK, (ord("K"), b"\0\0\0\7" + bytes(32)), READY)
    await log_in(long, newer, KeyCache())
    assert long.backend.key == bytes(32)


async def test_server_that_speaks_an_older_protocol_than_is_demanded_will_not_do():
    with pytest.raises(ServerUnavailable, match=r"min_protocol_version is 3\.2"):
        await log_in(server(negotiation(0), OK, READY), replace(TARGET, minors=(2, 2)), KeyCache())


@pytest.mark.parametrize("told", [negotiation(2), negotiation(3), negotiation(0, "_pq_.unasked")])
async def test_server_that_negotiates_what_was_not_asked_for_is_not_believed(told: tuple[int, bytes]):
    with pytest.raises(ProtocolViolation, match="not asked for"):
        await log_in(server(told, OK, READY), replace(TARGET, minors=(0, 2)), KeyCache())


def test_refusal_that_stays_is_told_as_it_is():
    refused = ServerRefused("no such database", sqlstate="3D000")
    assert explain(refused, TIMEOUT, TARGET.address) is refused


@pytest.mark.parametrize("sqlstate", ["57P03", "57P01", "53300"])
def test_refusal_that_passes_is_no_reason_to_turn_clients_away(sqlstate: str):
    told = explain(ServerRefused("not now", sqlstate=sqlstate, hint="wait"), TIMEOUT, TARGET.address)
    assert isinstance(told, ServerUnavailable)
    assert (told.message, told.hint) == ("db.internal:5432: not now", "wait")


def test_address_is_told_once():
    told = explain(ConfigurationError(f"{TARGET.address} asks for md5", hint="do"), TIMEOUT, TARGET.address)
    assert (told.message, told.hint) == ("db.internal:5432 asks for md5", "do")


def test_what_the_system_says_is_told_with_the_address():
    told = explain(ConnectionRefusedError(111, "Connection refused"), TIMEOUT, TARGET.address)
    assert told.message == "cannot connect to the server at db.internal:5432: Connection refused"
    late = explain(TimeoutError(), TIMEOUT, TARGET.address)
    assert "server_connect_timeout (15 s)" in late.message
    assert "connect_timeout (2 s)" in explain(TimeoutError(), TIMEOUT, TARGET.address, 2.0).message


def test_target_hides_its_credentials():
    secret: Credentials = "hunter2"  # type: ignore[assignment]
    assert "hunter2" not in repr(Target("h", 1, "h:1", "d", "u", secret))
