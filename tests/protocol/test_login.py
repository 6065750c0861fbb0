"""PostgreSQL: "Start-up". Logins, and what is refused before one."""

import struct
from pathlib import Path
from typing import Any

import pytest

from dbproxy.auth.client_login import Challenge
from dbproxy.wire import build
from dbproxy.wire.build import authentication_response
from dbproxy.wire.codes import Startup
from tests.support.house import House
from tests.support.peer import let_others_run
from tests.support.scripted_server import PARAMETERS, Backend, ScriptedServer, let_in, refuse
from tests.support.speech import IDLE, TERMINATE, error, parameter_status, query, rows

WHO = {"user": "app", "database": "shop"}
START = build.startup_message(WHO)


def opening(code: int, rest: bytes = b"") -> bytes:
    return struct.pack("!II", 8 + len(rest), code) + rest


async def test_client_is_told_what_the_real_server_says(house: House):
    client, _ = await house.pair()
    assert client.parameters == PARAMETERS
    assert client.pid > 0
    assert len(client.key) == 4


async def test_second_login_needs_no_server(house: House):
    _, server = await house.pair()
    await house.client()
    await server.hears_nothing()


@pytest.mark.parametrize("size", [1, 2, 5])
async def test_login_is_split_at_any_byte(house: House, size: int):
    client = await house.dial()
    await client.send_in_crumbs(START, size=size)
    assert (await client.receive()).kind == "R"


async def test_login_and_first_query_in_one_packet(house: House):
    client = await house.dial()
    client.send(START, query("SELECT 1"))
    server = await house.server.accept()
    await server.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await client.receive_until(IDLE)
    await client.receives(rows("1"), IDLE)


@pytest.mark.parametrize("code", [Startup.SSL_REQUEST, Startup.GSSENC_REQUEST])
async def test_encryption_is_declined_and_the_login_goes_on(house: House, code: int):
    client = await house.dial()
    client.send(opening(code))
    await client.receives_bytes(b"N")
    await client.log_in("app", "shop")


async def test_both_encryptions_are_declined_one_after_the_other(house: House):
    client = await house.dial()
    for code in (Startup.GSSENC_REQUEST, Startup.SSL_REQUEST):
        client.send(opening(code))
        await client.receives_bytes(b"N")
    await client.log_in("app", "shop")


async def test_newer_protocol_is_negotiated_down(house: House):
    client = await house.dial()
    client.send(build.startup_message({**WHO, "_pq_.command_tag": "x"}, minor=9999))
    told = await client.receive()
    assert told.kind == "v"
    assert (told.body.version, list(told.body.options)) == (3 << 16 | 2, ["_pq_.command_tag"])
    assert (await client.receive_until(IDLE))[0].kind == "R"


@pytest.mark.parametrize(("minor", "size"), [(0, 4), (2, 32)])
async def test_cancel_key_is_as_long_as_its_protocol_has_it(house: House, minor: int, size: int):
    client = await house.dial()
    client.send(build.startup_message(WHO, minor=minor))
    told = {message.kind: message for message in await client.receive_until(IDLE)}
    assert "v" not in told
    assert len(told["K"].body.key) == size


async def test_options_of_the_protocol_are_refused_one_by_one_in_the_version_that_was_asked_for(house: House):
    client = await house.dial()
    client.send(build.startup_message({**WHO, "_pq_.one": "x", "_pq_.two": "y"}))
    told = await client.receive()
    assert (told.body.version, list(told.body.options)) == (3 << 16, ["_pq_.one", "_pq_.two"])


async def test_older_and_other_protocols_are_refused(house: House):
    for code in (2 << 16, 4 << 16):
        client = await house.dial()
        client.send(opening(code, b"\0"))
        await client.fails("0A000", "unsupported frontend protocol")
        await client.hears_the_end()


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0\0\0\0\0\3\0\0",
        b"\0\0\0\7\0\3\0",
        b"\xff\xff\xff\xff",
        struct.pack("!II", 10_005, 3 << 16),
    ],
    ids=["http", "tls", "length 0", "length 7", "length -1", "over 10000"],
)
async def test_garbage_before_login_ends_that_client_alone(house: House, garbage: bytes):
    patient = await house.client()
    client = await house.dial()
    client.send(garbage)
    await client.hears_the_end()  # without a word, as from PostgreSQL
    assert len(house.proxy.registry) == 1
    await patient.hears_nothing()


@pytest.mark.parametrize(
    "packet",
    [struct.pack("!II", 9, 3 << 16) + b"x", opening(3 << 16, b"user\0app")],
    ids=["no terminator", "cut"],
)
async def test_startup_packet_that_cannot_be_read_is_refused(house: House, packet: bytes):
    client = await house.dial()
    client.send(packet)
    await client.fails("08P01", "startup packet layout")
    await client.hears_the_end()


@pytest.mark.parametrize("cut", [False, True], ids=["half-closed", "cut"])
@pytest.mark.parametrize(
    ("said", "logged"),
    [
        (b"", []),
        (START[:1], ["incomplete startup packet"]),
        (START[:4], ["incomplete startup packet"]),
        (START[:-1], ["incomplete startup packet"]),
        (TERMINATE, ["invalid length of startup packet"]),
    ],
    ids=["nothing", "1 byte", "length", "all but one", "terminate"],
)
async def test_client_that_ends_before_its_startup_packet_does_hears_nothing(
    house: House, log: list[Any], said: bytes, logged: list[str], cut: bool
):
    client = await house.dial()
    await house.until(lambda: len(house.proxy.registry) == 1)
    (login,) = house.proxy.registry
    client.send(said)
    await house.until(lambda: bytes(login.inbox.data) == said or login.closed)
    if cut:
        client.cut()
    else:
        client.half_close()
        await client.hears_the_end()
    await house.until(lambda: not len(house.proxy.registry))
    assert [line.get("reason") for line in log] == logged
    assert not [line for line in log if line["log_level"] != "info"]
    assert not house.proxy.registry.login_failures


async def test_client_that_does_without_encryption_that_it_cannot_have_hears_nothing(
    house: House, log: list[Any]
):
    """As sslmode=require ends."""
    client = await house.dial()
    client.send(struct.pack("!II", 8, 80877103))
    assert await client.read(1) == b"N"
    client.half_close()
    await client.hears_the_end()
    await house.until(lambda: not len(house.proxy.registry))
    assert log == []


async def test_longest_startup_packet(house: House):
    parameters = {**WHO, "application_name": "x"}
    filler = 10_000 - len(build.startup_message(parameters)) + 4
    client = await house.dial()
    client.send(build.startup_message({**parameters, "application_name": "x" * (filler + 1)}))
    named = await house.server.accept()
    assert (await named.receive()).kind == "Q"  # a long name is the server's to judge
    longer = await house.dial()
    longer.send(build.startup_message({**parameters, "application_name": "x" * (filler + 2)}))
    await longer.hears_the_end()


async def test_startup_without_a_user(house: House):
    client = await house.dial()
    client.send(build.startup_message({"database": "shop"}))
    await client.fails("28000", "no PostgreSQL user name")
    await client.hears_the_end()


async def test_replication_that_is_neither_physical_nor_logical_is_refused(house: House):
    client = await house.dial()
    client.send(build.startup_message({**WHO, "replication": "maybe"}))
    failed = await client.fails("22023", "replication")
    assert failed.body.fields["S"] == "FATAL"


async def test_wrong_message_instead_of_a_password(enter):
    house = await enter({"auth.type": "md5", "primary.url": "postgresql://app:secret@127.0.0.1:1/shop"})
    for answer, text in (
        (query("SELECT 1"), "expected password"),
        (b"p\0\0\0\3", "password packet size"),
        (b"p\x7f\0\0\0", "password packet size"),
    ):
        client = await house.dial()
        client.send(START)
        assert (await client.receive()).kind == "R"
        client.send(answer)
        await client.fails("08P01", text)
        await client.hears_the_end()


async def test_wrong_password_and_unknown_user_look_the_same(enter):
    house = await enter({"auth.type": "md5", "primary.url": "postgresql://app:secret@127.0.0.1:1/shop"})
    for user in ("app", "nobody"):
        client = await house.dial()
        client.send(build.startup_message({"user": user, "database": "shop"}))
        assert (await client.receive()).kind == "R"
        client.send(authentication_response(b"md5" + b"0" * 32 + b"\0"))
        await client.fails("28P01", f'password authentication failed for user "{user}"')
        await client.hears_the_end()


async def test_no_login_waits_for_keys_as_if_to_tell_that_there_is_the_user(enter, tmp_path: Path):
    """An unknown user has no keys to be derived: who has to wait for them would be known."""
    file = tmp_path / "userlist.txt"
    file.write_text('"app" "secret"\n"bob" "secret"\n')
    settings = {"auth.type": "scram-sha-256", "auth.file": file, "primary.url": "postgresql://h/shop"}
    house = await enter(settings)

    def answers_at_once(user: str) -> bool:
        login = house.proxy.admissions.authenticator.begin("scram-sha-256", user, house.proxy.users.get(user))
        first = b"n,,n=,r=abc"
        return isinstance(
            login.receive(b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first), Challenge
        )

    assert answers_at_once("nobody")
    house.proxy.warm_up()
    await house.until(lambda: answers_at_once("app") and answers_at_once("bob"))
    file.write_text('"app" "other"\n')
    house.proxy.apply(house.proxy.settings)
    assert not answers_at_once("app")
    await house.until(lambda: answers_at_once("app"))


async def test_too_many_clients(enter):
    house = await enter({"pool.max_client_conn": 2})
    await house.client()
    second = await house.client()
    third = await house.dial()
    third.send(START)
    await third.fails("53300", "too many clients")
    await third.hears_the_end()
    second.send(TERMINATE)
    await second.hears_the_end()
    await house.client()


async def test_login_that_takes_too_long(house: House):
    client = await house.dial()
    client.send(START[:5])
    await house.until(lambda: len(house.proxy.registry) == 1)
    house.sweep(later=59)
    await client.hears_nothing()
    house.sweep(later=61)
    await client.fails("08P01", "client_login_timeout")
    await client.hears_the_end()


async def test_what_is_read_ahead_of_a_login_is_bounded(house: House):
    async def stay_silent(_: object) -> None:
        """The login waits for a server, which says nothing."""

    house.server.greeting = stay_silent
    client = await house.dial()
    client.send(START, b"x" * 4_000_000)
    await house.until(lambda: house.server.logins == 1)
    await let_others_run(200)
    (login,) = house.proxy.registry
    assert len(login.inbox.data) < 1_000_000


# --- the server's part --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sqlstate", "text"),
    [("3D000", 'database "shop" does not exist'), ("28P01", "password authentication failed")],
)
async def test_refusal_by_the_server_is_given_to_the_client(house: House, sqlstate: str, text: str):
    house.server.greeting = refuse(error(sqlstate, text, severity="FATAL"))
    client = await house.dial()
    client.send(START)
    failed = await client.fails(sqlstate, text)
    assert failed.body.fields["S"] == "FATAL"
    await client.hears_the_end()


async def test_refusal_does_not_touch_those_who_are_served(enter):
    house = await enter({"pool.size": 2})
    client, server = await house.pair()
    client.send(query("SELECT 1"))
    await server.receives(query("SELECT 1"))
    house.server.greeting = refuse(error("53300", "sorry, too many clients already", severity="FATAL"))
    other = await house.client()
    other.send(query("SELECT 2"))
    await house.until(lambda: house.pool.failures == 1)
    await other.hears_nothing()
    server.send(rows("1"), IDLE)
    await client.receives(rows("1"), IDLE)
    await server.answers(rows("2"), IDLE, to=query("SELECT 2"))
    await other.receives(rows("2"), IDLE)


async def test_failed_logins_are_tried_again_with_growing_pauses(enter):
    house = await enter({"pool.size": 1, "pool.query_wait_timeout": "0s"})
    client, server = await house.pair()
    house.server.greeting = refuse(error("57P03", "the database system is starting up", severity="FATAL"))
    server.cut()
    await house.until(lambda: house.pool.size() == 0)
    client.send(query("SELECT 1"))
    await house.until(lambda: house.pool.failures == 1)
    logins = house.server.logins
    house.sweep()
    await let_others_run()
    assert house.server.logins == logins  # not before the pause is over
    for number in range(2, 5):
        pause = house.pool.retry_at
        house.sweep(later=1000)
        await house.until(lambda number=number: house.pool.failures == number)
        assert house.pool.retry_at > pause
    await client.hears_nothing()
    house.server.greeting = let_in
    house.sweep(later=1000)
    fresh = await house.server.accept()
    await fresh.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await client.receives(rows("1"), IDLE)
    assert house.pool.failures == 0


async def test_login_is_told_at_once_when_no_server_can_be_reached(house: House):
    house.server.stop()
    client = await house.dial()
    client.send(START)
    await client.fails("08001", "cannot connect to the server at 127.0.0.1")
    await client.hears_the_end()


async def test_query_waits_for_a_server_that_cannot_be_reached_and_goes_on_when_it_can(house: House):
    client, server = await house.pair()
    house.server.stop()
    server.cut()
    await house.until(lambda: house.pool.size() == 0)
    client.send(query("SELECT 1"))
    await house.until(lambda: house.pool.failures == 1)
    await client.hears_nothing()
    await house.server.listen()
    house.sweep(later=1)
    fresh = await house.server.accept()
    await fresh.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await client.receives(rows("1"), IDLE)


async def test_server_that_does_not_answer_a_login(enter):
    async def stay_silent(_: object) -> None:
        """Accept, and no more."""

    house = await enter({"pool.server_connect_timeout": "50ms"})
    house.server.greeting = stay_silent
    client = await house.dial()
    client.send(START)
    await client.fails("08001", "server_connect_timeout")


@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", IDLE, b"R\0\0\0\5\0"])
async def test_what_is_no_postgresql_is_no_server(house: House, words: bytes):
    house.server.greeting = refuse(words)
    client = await house.dial()
    client.send(START)
    await client.fails("08001", f"127.0.0.1:{house.server.port}")
    await client.hears_the_end()


async def test_parameter_that_comes_with_the_welcome_is_kept(house: House):
    async def add(backend: Backend) -> None:
        await let_in(backend)
        backend.send(parameter_status("TimeZone", "Europe/Berlin"))

    house.server.greeting = add
    assert (await house.client()).parameters["TimeZone"] == "Europe/Berlin"


async def test_database_whose_servers_have_a_user_of_its_own_is_warmed_up_as_that_one(
    enter, server: ScriptedServer
):
    url = f"postgresql://127.0.0.1:{server.port}/shop"  # says no user
    owned = {"databases.shop.user": "worker", "databases.shop.pool.min_pool_size": 1}
    house = await enter({"primary.url": url, "auth.type": "trust", **owned})
    house.proxy.warm_up()
    backend = await server.accept()
    assert (backend.startup.user, backend.startup.database) == ("worker", "shop")
