"""Servers that break the protocol: the connection is closed, its client told so, and nobody else is harmed."""

import asyncio
import contextlib
from typing import Any

import pytest

from dbproxy.wire import build
from tests.support.house import House
from tests.support.scripted_server import Backend, ScriptedServer, refuse
from tests.support.speech import (
    BIND_COMPLETE,
    IDLE,
    PARSE_COMPLETE,
    SYNC,
    TERMINATE,
    bind,
    columns,
    complete,
    describe,
    execute,
    parameter_types,
    parse,
    query,
    rows,
)


def message(kind: str, payload: bytes = b"") -> bytes:
    return kind.encode() + (4 + len(payload)).to_bytes(4, "big") + payload


TYPE = b"\0" * 18  # of a column: what follows its name
READY = [message("Z"), message("Z", b"II"), message("Z", b"\0"), message("Z", b"X")]
TAGS = [message("C", tag) for tag in (b"", b"SELECT 1", b"C", b"R", b"D", b"\0", b"C\0", b"D\0")]
ERRORS = [
    message("E"),
    message("E", b"SERROR\0"),
    message("E", b"SERROR"),
    message("E", b"S"),
    message("E", b"Mx\0\0more"),
]
SETTINGS = [
    message("S"),
    message("S", b"a"),
    message("S", b"a\0"),
    message("S", b"a\0b"),
    message("S", b"a\0b\0c"),
]
SHAPES = [
    message("T"),
    message("T", b"\0"),
    message("T", b"\0\1"),
    message("T", b"\0\1a"),
    message("T", b"\0\1a\0"),
    message("T", b"\0\1a\0" + TYPE[:-1]),
    message("T", b"\0\2a\0" + TYPE),
    message("T", b"\xff\xffa\0" + TYPE),
    message("t"),
    message("t", b"\0"),
]


async def is_closed(house: House, client: Any, server: Any, log: list[Any]) -> None:
    found = await client.receive()
    while found.kind != "E" or found.body.fields["C"] not in ("08006", "08007"):
        found = await client.receive()
    assert "was lost: " in found.text
    await client.hears_the_end()
    await house.until(lambda: house.pool.size() == 0)
    (line,) = [line for line in log if line["event"] == "server closed"]
    assert "malformed" in line["reason"] or "the server sent" in line["reason"]
    other = await house.client()
    other.send(query("SELECT 2"))
    fresh = await house.server.accept()
    await fresh.answers(rows("2"), IDLE, to=query("SELECT 2"))
    await other.receives(rows("2"), IDLE)


@pytest.mark.parametrize("bad", [*READY, *TAGS, *ERRORS, *SETTINGS])
async def test_malformed_answer_to_a_query(house: House, log: list[Any], bad: bytes):
    client, server = await house.pair()
    client.send(query("SELECT 1"))
    await server.receives(query("SELECT 1"))
    server.send(bad)
    await is_closed(house, client, server, log)


@pytest.mark.parametrize("bad", [*READY, *TAGS, *ERRORS])
async def test_malformed_answer_to_a_batch(house: House, log: list[Any], bad: bytes):
    client, server = await house.pair()
    client.send(parse("", "SELECT 1"), bind(""), execute(), SYNC)
    await server.receives(parse("", "SELECT 1"), bind(""), execute(), SYNC)
    server.send(PARSE_COMPLETE, BIND_COMPLETE, *([complete()] if bad in READY else []), bad)
    await is_closed(house, client, server, log)


@pytest.mark.parametrize("bad", SHAPES)
async def test_malformed_description(house: House, log: list[Any], bad: bytes):
    client, server = await house.pair()
    client.send(parse("s", "SELECT 1"), describe("s"), SYNC)
    ours = (await server.receive()).body.name
    await server.receives(describe(ours), SYNC)
    if bad[:1] == b"T":
        server.send(PARSE_COMPLETE, parameter_types(), bad)
    else:
        server.send(PARSE_COMPLETE, bad, columns("a"))
    await is_closed(house, client, server, log)


@pytest.mark.parametrize(
    "bad",
    [
        message("D"),
        message("D", b"\0"),
        message("D", b"\0\1"),
        message("D", b"\0\1\0\0\0"),
        message("D", b"\0\1\0\0\0\2x"),
        message("D", b"\0\1\0\0\0\1x"),
        message("D", b"\0\1\0\0\0\4abcd"),
        message("D", b"\0\1\0\0\0\2zz"),
        message("D", b"\0\2\0\0\0\4" + b"7b7d"),
        message("D", b"\0\1\xff\xff\xff\xff"),
        message("D", b"\xff\xff\0\0\0\0"),
    ],
)
async def test_malformed_answer_to_a_question_of_ours(house: House, log: list[Any], bad: bytes):
    client, server = await house.pair()
    client.send(query("SET work_mem = '1MB'"))
    await server.answers(complete("SET"), IDLE, to=query("SET work_mem = '1MB'"))
    await client.receives(complete("SET"), IDLE)
    await server.audited()
    server.send(columns("a"), bad, complete(), IDLE)
    await is_closed(house, client, server, log)


@pytest.mark.parametrize(
    "bad",
    [
        message("A"),
        message("A", b"\0\0\0\1"),
        message("A", b"\0\0\0\1x"),
        message("A", b"\0\0\0\1x\0"),
        message("A", b"\0\0\0\1x\0y"),
    ],
)
async def test_malformed_notification(house: House, log: list[Any], bad: bytes):
    client, _ = await house.pair()
    client.send(query("LISTEN news"))
    hub = await house.server.accept()
    await hub.answers(complete("LISTEN"), IDLE, to=query('LISTEN "news"'))
    hub.send(bad)
    await hub.receives(TERMINATE)
    await hub.hears_the_end()
    assert [line["reason"] for line in log if line["event"] == "server closed"] == [
        "malformed NotificationResponse message"
    ]


LOGINS = [
    *READY,
    *ERRORS,
    *SETTINGS,
    message("R"),
    message("R", b"\0"),
    message("K"),
    message("K", b"\0\0\0\1"),
]


@pytest.mark.parametrize("bad", LOGINS)
async def test_malformed_answer_to_a_login(enter, server: ScriptedServer, log: list[Any], bad: bytes):
    server.greeting = refuse(build.authentication_ok(), bad)
    house = await enter({"pool.server_login_retry": "0s"})
    client = await house.dial()
    client.send(build.startup_message({"user": "app", "database": "shop"}))
    await house.until(lambda: any(line["event"] == "server login failed" for line in log))
    (line, *_) = [line for line in log if line["event"] == "server login failed"]
    assert "malformed" in line["error"]


@pytest.mark.parametrize("answer", [rows("zz"), rows("1"), rows("7b7d"), rows("5b5d"), rows("ff"), rows("")])
@pytest.mark.parametrize("question", ["pool.follow_defaults", "pool.read_functions", "target_session_attrs"])
async def test_nonsense_of_a_server_about_itself_is_told(
    enter, server: ScriptedServer, log: list[Any], question: str, answer: bytes
):
    """What it gives new sessions, what its functions do, whether it is a standby."""

    async def talk_nonsense(backend: Backend) -> None:
        backend.send(build.authentication_ok(), build.backend_key_data(1, b"key!"), IDLE)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            while (await backend.receive()).kind == "Q":
                backend.send(answer, IDLE)

    server.greeting = talk_nonsense
    url = f"postgresql://app@127.0.0.1:{server.port}/shop"
    asked = (
        {"primary.url": f"{url}?target_session_attrs=read-write"} if "." not in question else {question: True}
    )
    house = await enter({"pool.size": 1, **asked})
    client = await house.dial()
    client.send(build.startup_message({"user": "app", "database": "shop"}))
    told = await client.receive()  # nobody looks for deadlines here: it is told at once
    assert (told.kind, told.body.fields["S"]) == ("E", "FATAL")
    assert "makes no sense" in told.text
    await client.hears_the_end()
    assert any("makes no sense" in str(line.get("error")) for line in log)
