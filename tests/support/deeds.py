"""What a client of the leak hunt does in one step: strategies over tests.support.session_sql, and the protocol."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hypothesis import strategies as st

from dbproxy.wire.messages import FRONTEND_MESSAGE
from tests.support.session_sql import ALWAYS, ASKED_FOR, ERROR, GROUPS, Sql, statements
from tests.support.speech import (
    COPY_DONE,
    FLUSH,
    SYNC,
    bind,
    close,
    close_portal,
    copy_data,
    describe,
    describe_portal,
    execute,
    function_call,
    parse,
    query,
    spell,
    split,
)
from tests.support.witness import INT4PL

Ending = Literal["", "cancel", "terminate", "vanish", "vanish asleep", "vanish in part"]
RESET = re.compile(rb"\bRESET\b|DISCARD ALL|TO DEFAULT|TIME ZONE LOCAL|NAMES DEFAULT|AUTHORIZATION DEFAULT")
DISCARD = "DISCARD ALL"  # what it takes from the settings asked for at login is back behind the next Sync
BEGINNING = re.compile(rb"(BEGIN|SET TRANSACTION) ISOLATION LEVEL|now\(\)")
# In one text, behind the end of a transaction.
NAMES = rb"PREPARE|EXECUTE|DEALLOCATE|pg_prepared_statements"
NAMES_BEHIND = re.compile(rb"(END|ROLLBACK|COMMIT|ABORT)\b[^;\0]*;[^\0]*\b(" + NAMES + rb")\b")
RECURSION = re.compile(rb"s1\0[^\0]*EXECUTE s1")
SLEEP = "/* dbproxy: primary */ SELECT pg_sleep(30)"


@dataclass(frozen=True)
class Deed:
    """Messages sent at once; what they may hold from then on, what they surely give up, and how the step ends."""

    messages: bytes = b""
    holds: frozenset[str] = frozenset()
    frees: frozenset[str] = frozenset()
    blocks: bool = False
    ending: Ending = ""
    resets: bool = False  # it resets, and goes on in the same text or request

    @property
    def leaves(self) -> bool:
        return self.ending not in ("", "cancel")

    @property
    def names(self) -> bool:
        """It makes or executes s1, which may be what a step before has prepared."""
        return b"s1" in self.messages

    @property
    def sleeps(self) -> bool:
        """It does so until somebody ends it."""
        return self.ending in ("cancel", "vanish asleep")

    @property
    def tells_beginning(self) -> bool:
        """The answer depends on where its transaction began."""
        return bool(BEGINNING.search(self.messages))

    @property
    def may_reset(self) -> bool:
        """It may take a setting back to what the client asked for at login."""
        return bool(RESET.search(self.messages))

    @property
    def names_behind(self) -> bool:
        """It uses a prepared statement in the text that ends its transaction."""
        return bool(NAMES_BEHIND.search(self.messages))

    @property
    def recurses(self) -> bool:
        """It makes a statement that executes itself: PostgreSQL 18.6 dies of signal 11 when that is explained."""
        return bool(RECURSION.search(self.messages))

    def __str__(self) -> str:
        said = spell(split(self.messages), FRONTEND_MESSAGE)
        return " ".join(filter(None, [*said, self.ending.upper()]))

    __repr__ = __str__


def deed(messages: bytes, said: Iterable[Sql] = (), *, free: bool = False, hold: str = "") -> Deed:
    """`free`: it is one statement, which gives up what it gives up."""
    said = list(said)
    holds = {sql.holds for sql in said} | {hold}
    frees = said[0].frees if free else set()
    return Deed(messages, frozenset(holds - {""}), frozenset(frees), any(sql.blocks for sql in said))


# --- ways to say SQL ----------------------------------------------------------------------------------------

Way = Callable[[st.SearchStrategy[Sql]], st.SearchStrategy[Deed]]


def run(name: str, sql: str, *, portal: str = "") -> bytes:
    return parse(name, sql) + bind(name, portal=portal) + describe_portal(portal) + execute(portal)


def simply(sql: st.SearchStrategy[Sql]) -> st.SearchStrategy[Deed]:
    return sql.map(lambda said: deed(query(said.text), [said], free=True))


def extended(sql: st.SearchStrategy[Sql]) -> st.SearchStrategy[Deed]:
    return sql.map(lambda said: deed(run("", said.text) + SYNC, [said], free=True))


def several(sql: st.SearchStrategy[Sql]) -> st.SearchStrategy[Deed]:
    """In one Query, often with an error among them."""
    return mixed(sql).map(in_one_text)


def in_one_text(said: Sequence[Sql]) -> Deed:
    resets = any(RESET.search(one.text.encode()) for one in said[:-1])
    return replace(deed(query("; ".join(one.text for one in said)), said), resets=resets)


def pipelined(sql: st.SearchStrategy[Sql]) -> st.SearchStrategy[Deed]:
    """Extended queries in one breath, with Syncs here and there and at the end."""
    syncs = st.lists(st.booleans(), min_size=4, max_size=4)
    return st.tuples(mixed(sql), syncs).map(lambda drawn: pipeline(*drawn))


def pipeline(said: Sequence[Sql], syncs: Sequence[bool]) -> Deed:
    pieces = (run("", one.text) + SYNC * sync for one, sync in zip(said, syncs, strict=False))
    resets = any(DISCARD in one.text and not sync for one, sync in zip(said[:-1], syncs, strict=False))
    return replace(deed(b"".join(pieces) + SYNC, said), resets=resets)


def in_a_row(sql: st.SearchStrategy[Sql]) -> st.SearchStrategy[Deed]:
    """Simple queries in one breath."""
    return mixed(sql).map(lambda said: deed(b"".join(query(one.text) for one in said), said))


def unfinished(sql: st.SearchStrategy[Sql]) -> st.SearchStrategy[Deed]:
    """Extended, with Flush and no Sync.

    Not of nothing: in the transaction that is open then, and in which nothing ran, PostgreSQL 18 lets a Query end it.
    """
    return sql.filter(lambda said: said.text).map(
        lambda said: replace(
            deed(run("", said.text) + FLUSH, [said], hold="open"), resets=DISCARD in said.text
        )
    )


def prepared_ahead(sql: st.SearchStrategy[Sql]) -> st.SearchStrategy[Deed]:
    """Parse and Describe, a Sync, and then the rest: two round trips of one step.

    Not of FETCH: which column numbers it tells depends on whether its cursor was there when it was prepared.
    """
    return sql.filter(lambda said: "FETCH" not in said.text).map(
        lambda said: deed(
            parse("s1", said.text) + describe("s1") + SYNC + bind("s1") + execute() + SYNC, [said]
        )
    )


def mixed(sql: st.SearchStrategy[Sql]) -> st.SearchStrategy[list[Sql]]:
    return st.lists(st.one_of(sql, sql, sql, st.just(Sql(ERROR))), min_size=2, max_size=4)


WAYS: list[Way] = [*[simply] * 10, extended, extended, several, several, pipelined, in_a_row, unfinished,
                   prepared_ahead]  # fmt: skip

# --- by the protocol alone ----------------------------------------------------------------------------------

TEXTS = ["SELECT 'parsed'", "SELECT name FROM things ORDER BY id", "SELECT 'two', 2", "SELECT 1/0", "SELEC"]
PARAMETERS = [
    deed(parse("", "SELECT set_config($1, $2, $3::bool)") + bind("", name, value, local) + execute() + SYNC)
    for name, value in [("work_mem", "16MB"), ("app.owner", "parameter"), ("TimeZone", "Asia/Tokyo"), ("role", "app")]
    for local in ("f", "t")
]  # fmt: skip
NAMED = [
    step
    for name in ("s1", "s2", "")
    for step in [
        *(deed(parse(name, text) + SYNC) for text in TEXTS),
        deed(parse(name, "SELECT $1::text") + describe(name) + SYNC),
        deed(parse(name, TEXTS[0]) + FLUSH, hold="open"),
        deed(bind(name) + execute() + SYNC),
        deed(bind(name) + execute() + SYNC + bind(name) + execute() + SYNC),
        deed(bind(name, "value") + describe_portal() + execute() + SYNC),
        deed(bind(name) + execute(max_rows=2) + FLUSH, hold="open"),
        deed(describe(name) + SYNC),
        deed(close(name) + SYNC),
        deed(close(name) + FLUSH, hold="open"),
        deed(close(name) + parse(name, TEXTS[1]) + bind(name) + execute(max_rows=3) + SYNC),
        deed(parse(name, TEXTS[0]) + parse("s2", TEXTS[3]) + bind("s2") + execute() + close(name) + SYNC),
        deed(query(f"EXECUTE {name or 's1'}")),
        deed(query(f"DEALLOCATE {name or 'ALL'}")),
    ]
]
PORTALS = [
    step
    for portal in ("p", "")
    for step in [
        deed(parse("", TEXTS[1]) + bind("", portal=portal) + execute(portal, 2) + FLUSH, hold="open"),
        deed(parse("", TEXTS[1]) + bind("", portal=portal) + execute(portal, 2) + SYNC),
        deed(close_portal(portal) + SYNC),
        deed(query("BEGIN") + parse("s1", TEXTS[1]) + bind("s1", portal=portal) + SYNC, hold="transaction"),
        deed(FLUSH, hold="open"),
        deed(SYNC),
    ]
]
# Not of the unnamed portal: PostgreSQL 18.6 dies of signal 11 now and then if it was not bound in the same request.
PORTALS += [
    deed(execute("p", 2) + FLUSH, hold="open"),
    deed(execute("p", 2) + SYNC),
    deed(describe_portal("p") + execute("p") + SYNC),
]
OTHER = [
    deed(function_call(INT4PL, b"3", b"4")),
    deed(query("COPY kept FROM STDIN") + copy_data(b"copied\n") + COPY_DONE),
    deed(query("COPY kept FROM STDIN") + copy_data(b"too\tmany\n") + COPY_DONE),
    deed(query("COPY (SELECT name FROM things ORDER BY id) TO STDOUT")),
]
LIMIT = "SET statement_timeout = 150"
BREAKS = [
    Deed(query(SLEEP), ending="cancel"),
    Deed(run("", SLEEP) + SYNC + close("") + SYNC, ending="cancel"),  # nobody is to run it again
    deed(query(LIMIT) + query(SLEEP) + query("RESET statement_timeout")),
    deed(query(f"BEGIN; SET LOCAL statement_timeout = 150; {SLEEP}"), hold="transaction"),
]
LEAVES = [
    Deed(ending="terminate"),
    Deed(ending="vanish"),
    Deed(query("BEGIN; SELECT 'half of it'"), ending="vanish in part"),
    Deed(query(SLEEP), ending="vanish asleep"),
]
PROTOCOL = {
    "settings": PARAMETERS,
    "statements": NAMED,
    "portals": PORTALS,
    "others": OTHER,
    "breaks": BREAKS,
}
NAMES = sorted({*GROUPS, *PROTOCOL})


def deeds(groups: Sequence[str] = ()) -> st.SearchStrategy[Deed]:
    """Of these groups, or of all but `ASKED_FOR`; looks, transactions and leaving are always among them."""
    unknown = set(groups) - set(NAMES)
    assert not unknown, f"no such groups: {sorted(unknown)}; there are {NAMES}"
    chosen = {*(groups or set(NAMES) - set(ASKED_FOR)), *ALWAYS}
    spoken = [st.sampled_from(statements(group)) for group in sorted(chosen) if group in GROUPS]
    sql = st.one_of(*spoken)
    said = st.sampled_from(WAYS).flatmap(lambda way: way(sql))
    mute = [st.sampled_from(PROTOCOL[group]) for group in sorted(chosen) if group in PROTOCOL]
    rare = st.sampled_from([*LEAVES, *BREAKS] if "breaks" in chosen else LEAVES)
    kinds = [*[said] * 14, *[st.one_of(*mute)] * (3 if mute else 0), rare]
    return st.integers(0, len(kinds) - 1).flatmap(kinds.__getitem__)
