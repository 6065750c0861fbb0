"""A client that begins everything, finishes little, and leaves as it likes: random, and the same for the same seed.

What it may commit is in the table `scrap`; rows called `never` it leaves uncommitted. What this version of the proxy
does not keep apart by design it does not do: LISTEN, temporary tables, advisory locks, WITH HOLD, set_config.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from tests.support.raw_client import RawClient
from tests.support.speech import (
    COPY_DONE,
    FLUSH,
    IDLE,
    SYNC,
    TERMINATE,
    bind,
    close,
    close_portal,
    complete,
    copy_data,
    copy_fail,
    describe,
    describe_portal,
    execute,
    function_call,
    parse,
    query,
    row,
    split,
)
from tests.support.witness import INT4PL, USER, dial

EARSHOT = 0.05  # seconds after which it stops waiting for an answer that what it did before has prevented
INT4DIV = 154
NAMES = ("s1", "s2", "")
PORTALS = ("leaky", "")
SHARED = ["SELECT name FROM things ORDER BY id", "SELECT $1::text"]  # the witness prepares these too

PLAIN = [
    "SELECT 'rogue'", "SELECT 1/0", "SELEC", "", ";", "SELECT 'rogue'; SELECT 1/0; SELECT 'rogue'",
    "DO $$ BEGIN RAISE NOTICE 'rogue'; END $$", "DO $$ BEGIN RAISE EXCEPTION 'rogue'; END $$",
    "INSERT INTO scrap VALUES ('rogue')", "SELECT count(*) FROM things", "SELECT pg_sleep(0.01)",
]  # fmt: skip
TRANSACTION = [
    "BEGIN", "BEGIN", "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", "BEGIN; SELECT 1/0", "COMMIT", "ROLLBACK",
    "SAVEPOINT leaky", "ROLLBACK TO leaky", "RELEASE leaky", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN",
    "BEGIN; DECLARE leaky CURSOR FOR SELECT * FROM things", "FETCH 10 FROM leaky", "MOVE 5 IN leaky", "CLOSE leaky",
    "BEGIN; SELECT * FROM things WHERE id < 9 FOR SHARE", "SELECT pg_current_xact_id()",
]  # fmt: skip
SETS = [
    "SET work_mem = '9MB'", "SET LOCAL work_mem = '10MB'", "RESET work_mem", "SET TimeZone = 'Asia/Kathmandu'",
    "SET DateStyle = 'German, DMY'", "SET search_path = pg_catalog", "SET application_name = 'rogue'",
    "SET client_min_messages = error", "SET statement_timeout = '1ms'", "SET bytea_output = escape",
    "SET standard_conforming_strings = off", "SET client_encoding = LATIN1", "SET extra_float_digits = 0",
    "SET leak.mark = 'rogue'", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, ISOLATION LEVEL SERIALIZABLE",
    "SET ROLE pg_read_all_stats", "SET SESSION AUTHORIZATION app_trust", "RESET ALL", "RESET TimeZone",
    "BEGIN; SET application_name = 'rogue'; SET TimeZone = 'Asia/Kabul'; SAVEPOINT leaky; SET work_mem = '11MB'",
    "SET IntervalStyle = iso_8601; SET lock_timeout = 77", "SET work_mem = '12MB'; SELECT 1/0", "SET TIME ZONE 3",
]  # fmt: skip
STATEMENTS = [
    "PREPARE leaky AS SELECT 'rogue'", "EXECUTE leaky", "DEALLOCATE leaky", "DEALLOCATE ALL", "DISCARD ALL",
    "DISCARD PLANS", "BEGIN; PREPARE leaky AS SELECT 'rogue'; SELECT 1/0",
]  # fmt: skip
RARE = ["SELECT pg_terminate_backend(pg_backend_pid())", "SELECT pg_cancel_backend(pg_backend_pid())"]


@dataclass(frozen=True)
class Deed:
    """Messages, and the kind of the message that ends their answer ("": nothing is waited for)."""

    messages: bytes
    until: str = "Z"


# --- what it does -------------------------------------------------------------------------------------------


def ask(random: Random) -> Deed:
    kind = random.choices([PLAIN, TRANSACTION, SETS, STATEMENTS, RARE], [6, 8, 6, 4, 0.3])[0]
    sql = random.choice(kind)
    if random.random() < 0.7:
        return Deed(query(sql))
    # The same as an extended query; several statements are an error there.
    return Deed(parse("", sql) + bind() + execute() + SYNC)


def prepare(random: Random) -> Deed:
    sql = random.choice([*SHARED, "SELECT 'rogue'", "SELEC", "BEGIN", "SELECT 1/0"])
    name = random.choice(NAMES)
    described = describe(name) if random.random() < 0.5 else b""
    return end_batch(random, parse(name, sql) + described, "Tn" if described else "1")


def run(random: Random) -> Deed:
    portal, rows = random.choice(PORTALS), random.choice([0, 1, 2])
    values = ("rogue",) if random.random() < 0.3 else ()
    called = bind(random.choice(NAMES), *values, portal=portal)
    if random.random() < 0.3:
        called += describe_portal(portal)
    return end_batch(random, called + execute(portal, rows) * random.choice([0, 1, 1, 2]), "CsI")


def shut(random: Random) -> Deed:
    closed = close(random.choice(NAMES)) if random.random() < 0.6 else close_portal(random.choice(PORTALS))
    return end_batch(random, closed, "3")


def pipeline(random: Random) -> Deed:
    """Some batches at once, with an error in the middle of one of them."""
    batches = [
        parse(name, SHARED[0]) + bind(name) + execute(max_rows=2) for name in random.choices(NAMES, k=3)
    ]
    batches.insert(random.randrange(4), parse("s2", "SELECT 1/0") + bind("s2") + execute() + close("s2"))
    return Deed(b"".join(batch + (SYNC if random.random() < 0.7 else b"") for batch in batches) + SYNC)


def copy_in(random: Random) -> Deed:
    began = query("COPY scrap FROM STDIN")
    if random.random() < 0.4:
        began = parse("", "COPY scrap FROM STDIN") + bind() + execute() + random.choice([b"", SYNC, FLUSH])
    data = b"".join(copy_data(b"rogue %d\n" % number) for number in range(random.randrange(20)))
    ends = [
        COPY_DONE,
        copy_fail("rogue"),
        copy_data(b"a\tb\tc\n") + COPY_DONE,
        copy_data(b"half a line"),
        b"",
    ]
    end = random.choice(ends)
    if random.random() < 0.3:
        return Deed(began, "G")
    return Deed(began + data + end + random.choice([b"", SYNC]), "Z" if end else "G")


def stray(random: Random) -> Deed:
    """What belongs to a COPY that there may not be."""
    messages = [copy_data(b"rogue\n"), COPY_DONE, copy_fail("rogue"), FLUSH, SYNC]
    return Deed(b"".join(random.choices(messages, k=3)), "")


def copy_out(random: Random) -> Deed:
    return large(random, "COPY (SELECT repeat('rogue', 200) FROM generate_series(1, {})) TO STDOUT")


def select_much(random: Random) -> Deed:
    return large(random, "SELECT repeat('rogue', 200) FROM generate_series(1, {})")


def large(random: Random, sql: str) -> Deed:
    sql = sql.format(random.choice([10, 3000]))
    if random.random() < 0.5:
        return Deed(query(sql))
    return end_batch(random, parse("", sql) + bind() + execute(), "C")


def call_function(random: Random) -> Deed:
    numbers = [str(random.randrange(2)).encode() for _ in range(2)]
    return Deed(function_call(random.choice([INT4PL, INT4DIV]), *numbers))


def end_batch(random: Random, messages: bytes, until: str) -> Deed:
    """With Sync, with Flush, or with neither."""
    end = random.choices([SYNC, FLUSH, b""], [6, 3, 1])[0]
    return Deed(messages + end, {SYNC: "Z", FLUSH: until}.get(end, ""))


DEEDS: list[Callable[[Random], Deed]] = [
    ask, ask, ask, ask, prepare, prepare, run, run, shut, pipeline, copy_in, copy_in, stray, copy_out, select_much,
    call_function,
]  # fmt: skip
SETTLED = row("settled") + complete("SELECT 1") + IDLE
NEVER = "INSERT INTO things VALUES (0, 'never')"
# What must not be committed, whenever the rogue vanishes: the last deed of one that writes it.
LAST = [
    Deed(query(f"BEGIN; {NEVER}")),
    Deed(query(f"BEGIN; {NEVER}; SAVEPOINT leaky; SELECT 1/0")),
    Deed(parse("", NEVER) + bind() + execute() + FLUSH, "C"),
    Deed(parse("s1", NEVER) + bind("s1") + execute(), ""),
    Deed(query("COPY things FROM STDIN") + copy_data(b"0\tnever\n"), "G"),
    Deed(query("BEGIN; COPY things FROM STDIN") + copy_data(b"0\tnever\n") + COPY_DONE),
]


# --- how it leaves ------------------------------------------------------------------------------------------


async def terminate(client: RawClient) -> None:
    client.send(TERMINATE)
    client.writer.close()


async def hang_up(client: RawClient) -> None:
    client.writer.close()


async def reset(client: RawClient) -> None:
    line: socket.socket = client.writer.get_extra_info("socket")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.cut()


async def half_close(client: RawClient) -> None:
    """Send no more, and read what still comes."""
    client.half_close()
    with suppress(TimeoutError):
        async with asyncio.timeout(EARSHOT):
            await client.reader.read()
    client.writer.close()


ENDINGS = [terminate, hang_up, reset, half_close]


class Rogue:
    """`story` tells what it did."""

    def __init__(self, client: RawClient) -> None:
        self.client = client
        self.random = Random()
        self.stays = False
        self.owed = 0
        self.heard = bytearray()
        self.messengers: list[RawClient] = []
        self.story: list[str] = []

    @classmethod
    async def enter(cls, port: int, database: str, parameters: Mapping[str, str]) -> "Rogue":
        client = await dial(port)
        await client.log_in(USER, database, parameters)
        return cls(client)

    async def misbehave(self, random: Random) -> None:
        """Do a few things, and stay or leave, perhaps in the middle of another."""
        self.random = random
        self.stays = False
        with suppress(OSError):  # it may have been thrown out
            for _ in range(random.randrange(7)):
                await self.do(random.choice(DEEDS)(random))
            if random.random() < 0.2 and await self.settle():
                self.stays = True
                return
            if random.random() < 0.7:
                await self.do_in_part(random.choice([random.choice(DEEDS)(random), random.choice(LAST)]))
        await self.leave()

    async def settle(self) -> bool:
        """Have nothing open any more. Who has PREPAREd keeps a server, and must leave."""
        if any("PREPARE" in told for told in self.story):
            return False
        self.tell(SYNC + query("ROLLBACK") + query("SELECT 'settled'"))
        self.client.send(SYNC, query("ROLLBACK"), query("SELECT 'settled'"))
        with suppress(TimeoutError):
            async with asyncio.timeout(EARSHOT):
                while not self.heard.endswith(SETTLED):
                    await self.sip(65536)
        settled = self.heard.endswith(SETTLED)
        self.heard.clear()
        return settled

    async def do(self, deed: Deed) -> None:
        self.tell(deed.messages)
        self.client.send(deed.messages)
        self.owed += sum(message[0] in b"QSF" for message in split(deed.messages))
        if self.random.random() < 0.15:
            await self.cancel()
        choice = self.random.random()
        if choice < 0.6:
            await self.listen(deed.until)
        elif choice < 0.8:
            await self.sip(self.random.choice([1, 5, 100, 70000]))
        if self.random.random() < 0.1:
            await self.cancel()

    async def do_in_part(self, deed: Deed) -> None:
        """All of it, or up to any byte."""
        if self.random.random() < 0.5:
            await self.do(deed)
            return
        sent = deed.messages[: self.random.randrange(len(deed.messages))]
        self.tell(sent)
        self.client.send(sent)
        if self.random.random() < 0.2:
            await self.cancel()
        if self.random.random() < 0.3:
            await self.sip(1)

    async def leave(self) -> None:
        ending = self.random.choice(ENDINGS)
        self.story.append(ending.__name__)
        with suppress(OSError):  # it may have been thrown out, and its socket be closed
            await ending(self.client)
        self.close()

    def close(self) -> None:
        for client in [self.client, *self.messengers]:
            client.writer.close()

    async def cancel(self) -> None:
        """Ask for it with the right key or with a wrong one; perhaps wait until it has been dealt with."""
        wrong = self.random.random() < 0.2
        self.story.append("cancel with a wrong key" if wrong else "cancel")
        messenger = await self.client.cancel(b"none" if wrong else None)
        self.messengers.append(messenger)
        if self.random.random() < 0.5:
            with suppress(ConnectionError):
                await messenger.reader.read()

    async def listen(self, until: str) -> None:
        """Read to the end of the answer, if it comes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(EARSHOT if until else 0):
                while until:
                    kind = await self.next_kind()
                    self.owed -= kind == "Z"
                    if (kind == "E" and until != "Z") or (kind in until and (kind != "Z" or self.owed <= 0)):
                        return
        self.owed = 0

    async def next_kind(self) -> str:
        while len(self.heard) < 5 or len(self.heard) < int.from_bytes(self.heard[1:5], "big") + 1:
            await self.sip(65536)
        kind = chr(self.heard[0])
        del self.heard[: int.from_bytes(self.heard[1:5], "big") + 1]
        return kind

    async def sip(self, size: int) -> None:
        """Read something, if something comes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(EARSHOT):
                data = await self.client.reader.read(size)
                if not data:
                    raise ConnectionResetError
                self.heard += data

    def tell(self, messages: bytes) -> None:
        self.story += [
            f"{message[:1].decode()} {message[5:80].decode('latin-1').strip(chr(0))!r}"
            for message in split(messages)
        ]
