"""A client that would notice anything that another one left behind: every answer is held against a direct one's."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from random import Random

from tests.support.raw_client import RawClient
from tests.support.speech import (
    COPY_DONE,
    SYNC,
    bind,
    close,
    copy_data,
    describe,
    execute,
    function_call,
    parse,
    query,
    split,
)

USER = "app_trust"
TOKEN = "witness-00000000"  # in each probe; replaced by one that nobody has used before
PATIENCE = 30.0  # seconds: whoever waits for a server waits for others to leave
INT4PL = 177  # pg_proc: constant in every version
SETTINGS = (
    "application_name, bytea_output, client_encoding, client_min_messages, DateStyle, default_transaction_isolation,"
    " default_transaction_read_only, extra_float_digits, IntervalStyle, lock_timeout, role, search_path,"
    " session_authorization, standard_conforming_strings, statement_timeout, TimeZone, transaction_read_only, work_mem"
)

# What a transaction may ask. No probe may leave the connection other than it found it.
QUIET = [
    query(f"SELECT '{TOKEN}'"),
    query("SELECT session_user, current_user, nullif(current_setting('leak.mark', true), '')"),
    query(f"SELECT name, current_setting(name) FROM unnest(string_to_array('{SETTINGS}', ', ')) AS name"),
    query("SELECT name, statement FROM pg_prepared_statements WHERE from_sql OR name !~ '^dbproxy[_/]'"),
    query("SELECT name, statement FROM pg_cursors"),
    query("SELECT count(*) FROM things WHERE name = 'never'"),
    query("SELECT pg_current_xact_id_if_assigned() IS NULL"),
    query("SELECT pg_sleep(0.002)"),  # long enough to be hit by somebody else's cancel
    query(f"DO $$ BEGIN RAISE NOTICE '{TOKEN}'; END $$"),
    query(f"COPY (SELECT '{TOKEN}') TO STDOUT"),
    query(""),
    parse("", f"SELECT '{TOKEN}', $1::text") + bind("", TOKEN) + execute() + SYNC + query("SELECT 1"),
    parse("mine", "SELECT $1::text") + describe("mine") + bind("mine", TOKEN) + execute() + SYNC
    + bind("mine", TOKEN) + execute() + close("mine") + SYNC,
    parse("mine", "SELECT name FROM things ORDER BY id") + SYNC + bind("mine") + execute(max_rows=3)
    + close("mine") + SYNC,
    function_call(INT4PL, b"3", b"4"),
]  # fmt: skip
# What only a session without a transaction answers so.
ALONE = [
    query("SELECT now() = statement_timestamp()"),
    query(f"INSERT INTO kept VALUES ('{TOKEN}')"),
    query("COPY kept FROM STDIN") + copy_data(f"{TOKEN}\n".encode()) + COPY_DONE,
    query("SELECT 1/0"),
    query("FETCH 1 FROM leaky"),
    query("EXECUTE leaky"),
    query("ROLLBACK TO leaky"),
    query("END"),
    bind("s1") + execute() + SYNC,
    bind("s2") + execute() + SYNC,
    describe("s1") + SYNC,
    bind("") + execute() + SYNC,  # its own last was ended by a Query
    execute("leaky") + SYNC,
    execute() + SYNC,
    SYNC,
]
BEGIN = query(f"BEGIN; SELECT '{TOKEN}'")
COMMIT = query("COMMIT")
KEPT = 2  # how many of the probes leave a row in `kept`


@dataclass
class Reference:
    """What a direct connection that began with `parameters` is told at login, and answers to each probe."""

    parameters: Mapping[str, str]
    told: dict[str, str] = field(default_factory=dict)
    answers: dict[bytes, bytes] = field(default_factory=dict)

    async def record(self, port: int, database: str) -> None:
        client = await dial(port)
        await client.log_in(USER, database, self.parameters)
        self.told = client.parameters
        for probe in [*ALONE, *QUIET]:
            self.answers[probe] = await ask(client, probe)
        held = [await ask(client, probe) for probe in [BEGIN, *QUIET, COMMIT]]
        self.answers |= {BEGIN: held[0], COMMIT: held[-1]}
        # In a transaction ReadyForQuery says so, and nothing else is different.
        for probe, answer in zip(QUIET, held[1:-1], strict=True):
            assert answer == in_transaction(self.answers[probe]), probe
        client.writer.close()


async def dial(port: int) -> RawClient:
    return RawClient(*await asyncio.open_connection("127.0.0.1", port), partial(dial, port))


async def ask(client: RawClient, probe: bytes) -> bytes:
    """The answer, up to the last ReadyForQuery that the probe asks for."""
    client.send(probe)
    answer = []
    for message in split(probe):
        while message[0] in b"QSF":
            answer.append(await client.receive())
            if answer[-1].kind == "Z":
                break
    return b"".join(message.raw for message in answer)


def in_transaction(answer: bytes) -> bytes:
    return answer.replace(b"Z\0\0\0\5I", b"Z\0\0\0\5T")


@dataclass
class Witness:
    """Logged in once made by `call`; its number is part of what it asks."""

    client: RawClient
    reference: Reference
    number: int
    looks: int = 0

    @classmethod
    async def call(cls, port: int, database: str, reference: Reference, number: int) -> "Witness":
        """Log in; what is told at login is what the server itself would tell."""
        client = await dial(port)
        await client.log_in(USER, database, reference.parameters)
        assert client.parameters == reference.told
        return cls(client, reference, number)

    def close(self) -> None:
        self.client.writer.close()

    async def look(self, random: Random) -> None:
        """Ask everything, in any order, one by one or all at once."""
        probes = random.sample(ALONE + QUIET, len(ALONE + QUIET))
        answers = [self.reference.answers[probe] for probe in probes]
        await self.question(probes, answers, together=random.random() < 0.3)

    async def hold(self, random: Random, others: asyncio.Barrier) -> None:
        """Ask in a transaction that ends when all others have begun theirs: each has a server of its own."""
        probes = random.sample(QUIET, len(QUIET))
        answers = self.reference.answers
        await self.question([BEGIN], [in_transaction(answers[BEGIN])])
        async with asyncio.timeout(PATIENCE):
            await others.wait()
        await self.question(probes, [in_transaction(answers[probe]) for probe in probes])
        await self.question([COMMIT], [answers[COMMIT]])

    async def question(self, probes: list[bytes], answers: list[bytes], *, together: bool = False) -> None:
        self.looks += 1
        token = f"{self.number:07x}-{self.looks:08x}"
        assert len(token) == len(TOKEN)
        old, new = TOKEN.encode(), token.encode()
        if together:
            self.client.send(*(probe.replace(old, new) for probe in probes))
        for probe, answer in zip(probes, answers, strict=True):
            if not together:
                self.client.send(probe.replace(old, new))
            await self.hear(answer.replace(old, new), probe)

    async def hear(self, expected: bytes, probe: bytes) -> None:
        """Exactly these bytes come next."""
        found = b""
        trouble: Exception | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                while len(found) < len(expected) and expected.startswith(found):
                    more = await self.client.reader.read(len(expected) - len(found))
                    if not more:
                        raise ConnectionError("the connection was closed")
                    found += more
        except (TimeoutError, ConnectionError) as error:
            trouble = error
        if found != expected:
            raise AssertionError(f"{told(probe)} {tell_apart(told(found), told(expected))}") from trouble


def told(stream: bytes) -> list[str]:
    """Kinds and payloads, as far as they are there."""
    return [f"{message[:1].decode('latin-1')} {message[5:]!r}" for message in split(stream)]


def tell_apart(found: list[str], expected: list[str]) -> str:
    """The first difference."""
    pairs = zip_longest(found, expected, fillvalue="nothing")
    place, (one, other) = next((place, pair) for place, pair in enumerate(pairs) if pair[0] != pair[1])
    return f"was answered, after {found[:place]}, by\n{one}\ninstead of\n{other}"
