"""Attacks, each of which ends the attacker alone: a good client works on meanwhile, and memory stays bounded.

What is tested elsewhere: bytes ahead of TLS and each bad message (tests/protocol: test_tls, test_bad_input), a start-up
packet byte by byte (test_login), readers that stop amid an answer and floods of messages (test_memory, test_limits),
renegotiation (test_tls).
"""

import asyncio
import contextlib
import os
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from dbproxy.auth import scram
from dbproxy.wire import build
from dbproxy.wire.startup import parse_error_response
from tests.support.certificates import Authority
from tests.support.door import Door, break_off
from tests.support.postgres import PASSWORD, Database
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.speech import execute, parse, query

MIB = 1 << 20
ROOM = 60 * MIB  # by which memory may grow under an attack
CROWD = 1000
SSL_REQUEST = build.ssl_request()
HALF_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
PATIENCE = 60
TCP_REPAIR = 19  # a socket in this state closes without a word


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def proxy(module_database: Database, authority: Authority) -> Iterator[Proxy]:
    own = authority.issue_server()
    settings = {
        "pool.size": 3,
        "pool.reserve_size": 0,
        "pool.client_login_timeout": "4s",
        "pool.idle_transaction_timeout": "2s",
        "tls.client_tls_sslmode": "allow",
        "tls.client_tls_cert_file": own.chain,
        "tls.client_tls_key_file": own.key,
    }
    with serving(module_database, settings) as running:
        yield running


class Attacker:
    """A line to the proxy on which anything can be said; plain, or encrypted from some byte on."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def dial(cls, proxy: Proxy) -> "Attacker":
        return cls(*await asyncio.open_connection(proxy.host, proxy.port))

    async def encrypt(self) -> "Attacker":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.writer.write(SSL_REQUEST)
        assert await self.reader.readexactly(1) == b"S"
        await self.writer.start_tls(context)
        return self

    def send(self, *stream: bytes) -> None:
        self.writer.write(b"".join(stream))

    async def receive(self) -> tuple[str, bytes]:
        async with asyncio.timeout(PATIENCE):
            header = await self.reader.readexactly(5)
            return chr(header[0]), await self.reader.readexactly(int.from_bytes(header[1:], "big") - 4)

    async def until(self, kind: str) -> bytes:
        while True:
            found, payload = await self.receive()
            assert found != "E" or kind == "E", parse_error_response(payload)
            if found == kind:
                return payload

    async def fails(self) -> str:
        """The SQLSTATE of the error that comes; "" if the line is closed without one. Nothing comes behind it."""
        try:
            sqlstate = parse_error_response(await self.until("E"))["C"]
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            return ""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            async with asyncio.timeout(PATIENCE):
                assert await self.reader.read() == b""
        return sqlstate

    async def log_in(self, database: Database) -> None:
        self.send(build.startup_message({"user": "app", "database": database.name}))
        assert (await self.until("R"))[:4] == b"\0\0\0\x0a"
        side = scram.ClientSide(scram.make_nonce())
        self.send(initial(side.first()))
        salt, iterations = side.receive_challenge((await self.until("R"))[4:])
        self.send(build.authentication_response(side.final(scram.derive_keys(PASSWORD, salt, iterations))))
        await self.until("Z")

    def close(self) -> None:
        self.writer.transport.abort()


def initial(first: bytes, mechanism: str = scram.MECHANISM) -> bytes:
    return build.authentication_response(mechanism.encode() + b"\0" + len(first).to_bytes(4, "big") + first)


class Good:
    """Asks all the time, and is answered."""

    def __init__(self) -> None:
        self.answers = 0
        self.longest = 0.0

    async def work(self, dsn: str) -> None:
        clock = asyncio.get_running_loop().time
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            while True:
                began = clock()
                row = await (await connection.execute("SELECT %s::int", [self.answers])).fetchone()
                assert row == (self.answers,)
                self.answers += 1
                self.longest = max(self.longest, clock() - began)
                await asyncio.sleep(0.001)

    async def go_on(self, answers: int = 30) -> None:
        wanted = self.answers + answers
        async with asyncio.timeout(PATIENCE):
            while self.answers < wanted:  # noqa: ASYNC110  # a plain number
                await asyncio.sleep(0.005)


@asynccontextmanager
async def unharmed(proxy: Proxy, what: str) -> AsyncIterator[Good]:
    """A good client works on meanwhile, and afterwards; another can log in. Tells the memory."""
    good, before = Good(), proxy.rss()
    task = asyncio.create_task(good.work(proxy.dsn()))
    try:
        await good.go_on()
        yield good
        await good.go_on()
        assert not task.done()
        async with await psycopg.AsyncConnection.connect(proxy.dsn()) as newcomer:
            await newcomer.execute("SELECT 1")
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    grown = proxy.rss() - before
    print(  # noqa: T201  # the report: pytest -s
        f"{what}: memory {grown / MIB:+.1f} MiB, the good client waited {good.longest * 1e3:.0f} ms at most"
    )
    assert grown < ROOM


# --- logins that do not end ---------------------------------------------------------------------------------


SLOW = {
    "nothing": [],
    "half a packet": [build.startup_message({"user": "app"})[:9]],
    "half a direct handshake": [HALF_HELLO],
    "no handshake": [SSL_REQUEST],
    "half a handshake": [SSL_REQUEST, HALF_HELLO],
    "no password": [build.startup_message({"user": "app"})],
}


@pytest.mark.parametrize("name", SLOW)
async def test_slow_logins(proxy: Proxy, name: str):
    async with unharmed(proxy, f"{CROWD} slow logins ({name})") as good:
        crowd = [await Attacker.dial(proxy) for _ in range(CROWD)]
        for said in SLOW[name]:
            for one in crowd:
                if said == HALF_HELLO and len(SLOW[name]) > 1:
                    assert await one.reader.readexactly(1) == b"S"
                one.send(said)
        await good.go_on()
        async with await psycopg.AsyncConnection.connect(proxy.dsn()):
            pass
        for one in crowd:  # by client_login_timeout
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(PATIENCE):
                    await one.reader.read()
            one.close()


# --- messages out of turn ------------------------------------------------------------------------------------

FIRST = scram.ClientSide(b"nonce").first()
OUT_OF_TURN = {
    "a query ahead of the login": [query("SELECT 1")],
    "the proof first": [build.authentication_response(b"c=biws,r=nonce,p=" + b"A" * 43 + b"=")],
    "the first message twice": [initial(FIRST), initial(FIRST)],
    "another start": [build.startup_message({"user": "app"})],
    "a mechanism that was not offered": [initial(FIRST, "SCRAM-SHA-1")],
    "binding where there is no certificate": [initial(b"p=tls-server-end-point,,n=,r=nonce", "SCRAM-SHA-256-PLUS")],
    "a plain password": [build.authentication_response(PASSWORD.encode() + b"\0")],
    "an md5 password": [build.authentication_response(b"md5" + b"0" * 32 + b"\0")],
    "a length that lies": [build.authentication_response(b"SCRAM-SHA-256\0\xff\xff\xff\xf0")],
    "nothing": [build.authentication_response(b"")],
    "NULs": [build.authentication_response(b"\0" * 1000)],
    "the reserved attribute": [initial(b"n,,m=x,n=,r=nonce")],
    "somebody else's name": [initial(b"n,a=postgres,n=,r=nonce")],
    "no nonce": [initial(b"n,,n=,r=")],
    "our nonce changed": [initial(FIRST), build.authentication_response(b"c=biws,r=nonce,p=" + b"A" * 43 + b"=")],
}  # fmt: skip


@pytest.mark.parametrize("messages", OUT_OF_TURN.values(), ids=OUT_OF_TURN)
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_authentication_out_of_turn(
    proxy: Proxy, module_database: Database, messages: list[bytes], encrypted: bool
):
    attacker = await Attacker.dial(proxy)
    if encrypted:
        await attacker.encrypt()
    attacker.send(build.startup_message({"user": "app", "database": module_database.name}), *messages)
    assert await attacker.fails() == "08P01"
    attacker.close()


async def test_a_login_that_is_done_is_not_done_again(proxy: Proxy, module_database: Database):
    attacker = await Attacker.dial(proxy)
    await attacker.log_in(module_database)
    attacker.send(initial(FIRST))
    assert await attacker.fails() == "08P01"
    attacker.close()


# --- downgrades ----------------------------------------------------------------------------------------------


async def test_who_could_bind_and_is_told_it_could_not_is_refused(proxy: Proxy, module_database: Database):
    """RFC 5802's `y`: somebody in between has struck SCRAM-SHA-256-PLUS from what we offer."""
    attacker = await (await Attacker.dial(proxy)).encrypt()
    attacker.send(
        build.startup_message({"user": "app", "database": module_database.name}), initial(b"y,,n=,r=nonce")
    )
    assert await attacker.fails() == "28000"
    attacker.close()


class Middle:
    """Sits between client and proxy with a certificate of its own; strikes SCRAM-SHA-256-PLUS, or all of TLS."""

    def __init__(self, proxy: Proxy, authority: Authority, *, strips: str) -> None:
        own = authority.issue_server()
        self.proxy, self.strips = proxy, strips
        self.theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.theirs.load_cert_chain(own.chain, own.key)
        self.dialled: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = Door(self.serve)
        server.listen()
        try:
            yield server.port
        finally:
            await server.end()
            await break_off(self.dialled)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await Attacker.dial(self.proxy)
        self.dialled.append(there.writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
            assert await reader.readexactly(8) == SSL_REQUEST
            writer.write(b"N" if self.strips == "tls" else b"S")
            if self.strips != "tls":
                await writer.start_tls(self.theirs)
                await there.encrypt()
            await asyncio.gather(self.pump(reader, there.writer), self.pump(there.reader, writer))
        there.close()
        writer.transport.abort()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.strips == "plus" and (at := data.find(b"SCRAM-SHA-256-PLUS\0")) >= 0:
                data = data[:at] + data[at + 19 :]
                data = data[:1] + (len(data) - 1).to_bytes(4, "big") + data[5:]
            writer.write(data)
            await writer.drain()
        writer.close()


@pytest.mark.parametrize(
    ("strips", "sslmode", "told"),
    [
        ("plus", "require", "SCRAM channel binding negotiation error"),
        ("nothing", "require", "SCRAM channel binding check failed"),
        ("tls", "require", "does not support SSL"),
        ("tls", "prefer", "SSL required"),
    ],
)
async def test_somebody_in_the_middle_gets_nobody_in(
    module_database: Database, authority: Authority, tmp_path: Path, strips: str, sslmode: str, told: str
):
    own = authority.issue_server()
    settings = {
        "tls.client_tls_sslmode": "require",
        "tls.client_tls_cert_file": own.chain,
        "tls.client_tls_key_file": own.key,
    }
    with serving(module_database, settings) as strict:
        async with Middle(strict, Authority(tmp_path), strips=strips).listening() as port:
            dsn = strict.dsn().replace(f":{strict.port}/", f":{port}/")
            with pytest.raises(psycopg.OperationalError, match=told):
                await psycopg.AsyncConnection.connect(dsn, sslmode=sslmode, gssencmode="disable")


# --- cancel requests -----------------------------------------------------------------------------------------


async def test_flood_of_cancel_requests_with_random_keys(proxy: Proxy, module_database: Database):
    victim = await Attacker.dial(proxy)
    await victim.log_in(module_database)
    with psycopg.connect(proxy.dsn()) as known:
        pid = known.info.backend_pid
    async with unharmed(proxy, "2,000 cancel requests") as good:
        victim.send(query("SELECT pg_sleep(2), 'unharmed'"))
        for _ in range(20):
            crowd = [await Attacker.dial(proxy) for _ in range(100)]
            for one in crowd:
                one.send(
                    build.cancel_request(
                        pid + secrets.randbelow(3), secrets.token_bytes(secrets.choice([4, 32]))
                    )
                )
            for one in crowd:
                assert await one.reader.read() == b""
                one.close()
        await good.go_on()
        assert b"unharmed" in await victim.until("D")
    victim.close()


# --- lengths -------------------------------------------------------------------------------------------------

HUGE = (0x7FFFFFFF).to_bytes(4, "big")
PHASES = {
    "start": HUGE + b"\0\3\0\0",
    "after a refused request": (8).to_bytes(4, "big") + (80877104).to_bytes(4, "big") + HUGE,  # GSSAPI
    "password": build.startup_message({"user": "app", "database": "x"}) + b"p" + HUGE + b"x" * 1000,
}


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("said", PHASES.values(), ids=PHASES)
async def test_two_gigabytes_are_announced_during_login(proxy: Proxy, said: bytes, encrypted: bool):
    async with unharmed(proxy, "2 GiB announced"):
        attacker = await Attacker.dial(proxy)
        if encrypted:
            await attacker.encrypt()
        attacker.send(said)
        with contextlib.suppress(ConnectionError):
            for _ in range(30):
                attacker.send(b"x" * MIB)
                await attacker.writer.drain()
        await attacker.fails()
        attacker.close()


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("kind", [b"Q", b"P", b"B", b"E", b"D", b"C", b"F", b"d", b"f", b"S", b"H", b"X"])
async def test_two_gigabytes_are_announced_by_a_client(
    proxy: Proxy, module_database: Database, kind: bytes, encrypted: bool
):
    attacker = await Attacker.dial(proxy)
    if encrypted:
        await attacker.encrypt()
    await attacker.log_in(module_database)
    before = proxy.rss()
    attacker.send(query("BEGIN"))
    await attacker.until("Z")
    if kind in b"df":
        attacker.send(query("CREATE TEMP TABLE x (t text) ON COMMIT DROP; COPY x FROM STDIN"))
        await attacker.until("G")
    attacker.send(kind + HUGE)
    with contextlib.suppress(ConnectionError):
        for _ in range(20):
            attacker.send(b"x" * MIB)
            await attacker.writer.drain()
    assert await attacker.fails() in ("08P01", "")
    attacker.close()
    assert proxy.rss() - before < ROOM


# --- statements ----------------------------------------------------------------------------------------------

DEEP = {
    "parentheses": "SELECT " + "(" * 10_000 + "1" + ")" * 10_000,
    "parentheses that are parsed": "SELECT " + "(" * 7_000 + "1" + ")" * 7_000,
    "minus": "SELECT " + "- " * 8_000 + "1",
    "not": "SELECT " + "NOT " * 4_000 + "true",
    "arrays": "SELECT " + "ARRAY[" * 2_500 + "1" + "]" * 2_500,
    "cases": "SELECT " + "CASE WHEN true THEN " * 500 + "1" + " END" * 500,
    "subqueries": "SELECT " + "(SELECT " * 1_500 + "1" + ")" * 1_500,
    "with": "WITH a AS (" * 1_000 + "SELECT 1" + ") SELECT 1" * 1_000,
    "casts": "SELECT 1" + "::int" * 3_000,
    "operators": "SELECT 1" + "+1" * 8_000,
    "comments": "SELECT 1 " + "/*" * 8_000,
    "closed comments": "/*" * 3_000 + "*/" * 3_000 + "SELECT 1",
    "dollars": "SELECT " + "$a$" * 5_001,
    "statements": ";".join(["SELECT 1"] * 1_500),
    "joins": "SELECT 1 FROM (VALUES (1)) a" + " JOIN (VALUES (1)) b ON true" * 300,
}  # fmt: skip


def outcome(dsn: str, sql: str) -> str | None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        try:
            connection.execute(sql.encode())
        except psycopg.Error as error:
            return error.sqlstate
    return None


@pytest.mark.parametrize("sql", DEEP.values(), ids=DEEP)
async def test_deep_statements_are_postgresqls_to_judge(proxy: Proxy, module_database: Database, sql: str):
    async with unharmed(proxy, f"a statement of {len(sql):,} bytes"):
        through = await asyncio.to_thread(outcome, proxy.dsn(), sql)
        assert through == await asyncio.to_thread(outcome, module_database.dsn, sql)


async def test_huge_statement(proxy: Proxy, module_database: Database):
    """It is forwarded as it comes; prepared, it has to be whole: more than `max_message_size` is refused."""
    text = "SELECT '" + "x" * (40 * MIB) + "'"
    async with unharmed(proxy, "a statement of 40 MiB"):
        assert await asyncio.to_thread(outcome, proxy.dsn(), text) is None


async def test_names_that_are_hard_to_search_for_secrets(proxy: Proxy):
    """The log names who is refused."""
    hard = ["PASSWORD " + "/**/" * 700, "PASSWORD /*" * 280, "4-" * 1500, "PASSWORD " + "/**/" * 8]
    async with unharmed(proxy, "names that are hard to search"):
        for name in hard:
            attacker = await Attacker.dial(proxy)
            attacker.send(build.startup_message({"user": name, "database": name, "application_name": name}))
            await attacker.until("R")
            attacker.send(build.authentication_response(b"nothing"))
            assert await attacker.fails() == "08P01"
            attacker.close()


@pytest.mark.parametrize("level", ["EXCEPTION", "NOTICE"])
async def test_long_error_or_notice_holds_up_nobody(proxy: Proxy, module_database: Database, level: str):
    """A statement decides how long it is: `SELECT '…'::int` quotes all of the text."""
    sql = f"DO $$BEGIN RAISE {level} '%', repeat('x', {5 * MIB}); END$$"
    async with unharmed(proxy, f"{level} of 5 MiB"):
        through = await asyncio.to_thread(outcome, proxy.dsn(), sql)
        assert through == await asyncio.to_thread(outcome, module_database.dsn, sql)


@pytest.mark.parametrize("level", ["EXCEPTION", "NOTICE"])
async def test_error_or_notice_without_measure_costs_its_client_the_connection(proxy: Proxy, level: str):
    async with unharmed(proxy, f"{level} of 100 MiB"):
        with pytest.raises(psycopg.OperationalError):
            async with await psycopg.AsyncConnection.connect(proxy.dsn(), autocommit=True) as connection:
                await connection.execute(f"DO $$BEGIN RAISE {level} '%', repeat('x', {100 * MIB}); END$$")
        assert "at most 16777217 are taken" in proxy.log()


NONSENSE = {
    "bad utf-8": query("SELECT '\udcff\udcc3('"),
    "a NUL in a query": b"Q" + (14).to_bytes(4, "big") + b"SELECT\x001\0\0",
    "no end": b"Q" + (12).to_bytes(4, "big") + b"SELECT 1",
    "a NUL in a parse": b"P" + (15).to_bytes(4, "big") + b"\0SELECT\x001\0\0" + build.sync(),
    "bad utf-8 in a parameter": parse("", "SELECT $1::text") + b"B" + (19).to_bytes(4, "big")
    + b"\0\0\0\0\0\1\0\0\0\3\xff\xc3\x28" + b"\0\0" + execute() + build.sync(),
}  # fmt: skip


@pytest.mark.parametrize("said", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_is_postgresqls_to_judge(proxy: Proxy, module_database: Database, said: bytes):
    answers = []
    async with unharmed(proxy, "nonsense"):
        for port in (proxy.port, module_database.server.port):
            attacker = Attacker(*await asyncio.open_connection("127.0.0.1", port))
            await attacker.log_in(module_database)
            attacker.send(said)
            answer = []
            try:
                while (message := await attacker.receive())[0] != "Z":
                    answer.append(message[0] if message[0] != "E" else parse_error_response(message[1])["C"])
            except asyncio.IncompleteReadError:
                answer.append("end")
            answers.append(answer)
            attacker.close()
    assert answers[0] == answers[1]


# --- lines that break ----------------------------------------------------------------------------------------


async def test_client_that_is_gone_without_a_word_keeps_no_server(proxy: Proxy, module_database: Database):
    """Half-open TCP: its machine has lost its power. What it held is free after idle_transaction_timeout."""
    for _ in range(3):  # every server of the pool
        gone = await Attacker.dial(proxy)
        await gone.log_in(module_database)
        gone.send(query("BEGIN"))
        await gone.until("Z")
        try:
            gone.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        except PermissionError:
            pytest.skip("closing without a word needs CAP_NET_ADMIN")
        gone.close()
    async with unharmed(proxy, "half-open connections"):
        pass


@pytest.mark.parametrize(
    "rest", [b"", b"\x17\x03\x03\x00\x20" + b"x" * 32, b"\x15\x03\x03\x00\x02\x02\x28", b"Q\0\0\0\x0d"]
)
async def test_truncated_tls_runs_nothing_of_what_has_come(
    proxy: Proxy, module_database: Database, rest: bytes
):
    """The line ends amid a statement, without TLS's goodbye, or goes on in what is none of it."""
    with psycopg.connect(module_database.dsn, autocommit=True) as direct:
        direct.execute("DROP TABLE IF EXISTS cut; CREATE TABLE cut (a int); GRANT ALL ON cut TO app")
        async with unharmed(proxy, "truncated TLS"):
            attacker = await (await Attacker.dial(proxy)).encrypt()
            await attacker.log_in(module_database)
            attacker.send(query("BEGIN; INSERT INTO cut VALUES (1)"))
            await attacker.until("Z")
            attacker.send(query("COMMIT")[:-1])
            await attacker.writer.drain()
            below = attacker.writer.get_extra_info("socket").fileno()
            with socket.socket(fileno=os.dup(below)) as line:
                if rest:
                    line.sendall(rest)
                else:
                    line.shutdown(socket.SHUT_WR)
            await attacker.fails()
            attacker.close()
        assert direct.execute("SELECT count(*) FROM cut").fetchone() == (0,)
