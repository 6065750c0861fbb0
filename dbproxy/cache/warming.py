"""What is fetched before anybody asks for it: statements as they are written down, and as gates are asked for them.

Which those are is learned: a kept answer's key (cache.key) is the statement with its parameters, behind whom it is for.
So it is asked for again exactly as clients ask, and is found by them under the same key.
"""

import json
import struct
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import nlargest
from struct import Struct
from typing import Any

from dbproxy.cache.asked import is_momentary
from dbproxy.cache.entry import Entry, Moment
from dbproxy.cache.fill import Fill
from dbproxy.cache.gate import CacheGate
from dbproxy.cache.key import PREFIX
from dbproxy.sql.identity import Shape

_SHORT, _LENGTH = Struct("!H"), Struct("!i")
KINDS = b"PBDES"
_BEHIND = b"D\0\0\0\6P\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\4"
KEYS = {"database", "user", "sql", "settings", "parameters", "types", "bind"}


@dataclass(frozen=True, slots=True)
class Statement:
    """`body`: of a Parse, behind the name; `values`: of a Bind, behind the names; `settings`: of its session."""

    database: str
    user: str
    settings: tuple[tuple[str, str], ...]
    body: bytes
    values: bytes

    @property
    def text(self) -> bytes:
        return self.body.partition(b"\0")[0]

    def spell(self) -> bytes:
        """The messages that ask for all of it."""
        parse, bind = b"\0" + self.body, b"\0\0" + self.values
        return frame(b"P", parse) + frame(b"B", bind) + _BEHIND


class Errant:
    """A request of nobody (cache.asked.Asked)."""

    kinds = KINDS
    whole = True
    browses_by = 0.0

    def __init__(self, statement: Statement, shape: Shape) -> None:
        self.statement = statement
        self.shape: Shape | None = shape
        self.messages = statement.spell()
        self.chunk = b""  # not read: it has a Parse
        self.waited = self.looked = False
        self.fill: Fill | None = None

    def read_text(self) -> bytes:
        return self.statement.text


@dataclass(slots=True)
class Session:
    """Whose it would be (cache.asked.Session)."""

    settings: Any  # pool.parameters.Parameters
    id: int = 0
    server: object = None


def begin(gate: CacheGate, request: Errant, session: Session) -> Fill | None:
    """What hears the answer, which is about to be asked for; None: it is kept already, or cannot be."""
    case = gate.cases.find(request.shape) if request.shape is not None else None
    if case is None or case.reason or not gate.cases.is_followed(case) or is_momentary(request):
        return None
    key = gate.keyring.find_key(request, session.settings)
    entry = gate.memory.find(key)
    if len(key) < PREFIX or key in gate.flying or (entry is not None and entry.moment.is_current()):
        return None
    tables = case.find_tables(request)
    fill = gate.flying[key] = gate.begin(key, case, tables)
    if gate.shelf is not None:
        fill.origin = gate.shelf.note(tables)
    return fill


# --- which are hot ---


def find_hottest(entries: Iterable[Entry], number: int) -> list[Entry]:
    """Those that have saved most."""
    return nlargest(
        number, (entry for entry in entries if entry.hits), key=lambda entry: entry.hits * entry.cost
    )


def is_outdated(entry: Entry) -> bool:
    """Whether something was committed to its tables since, and is not being committed any more."""
    return not entry.moment.is_unchanged() and Moment(entry.moment.fence, entry.moment.tables).is_current()


def read_key(key: bytes, database: str, user: str, settings: Mapping[str, str]) -> Statement:
    """What is asked for under this key."""
    end = key.index(b"\0", PREFIX) + 1
    stop = end + 2 + 4 * _SHORT.unpack_from(key, end)[0]
    return Statement(database, user, tuple(sorted(settings.items())), key[PREFIX:stop], key[stop:])


# --- written down ---


def write_statement(statement: Statement) -> str:
    """A line of JSON."""
    text, _, types = statement.body.partition(b"\0")
    line = {
        "database": statement.database,
        "user": statement.user,
        "settings": dict(statement.settings),
        "sql": text.decode(errors="surrogateescape"),
        "types": [_LENGTH.unpack_from(types, at)[0] for at in range(2, len(types), 4)],
        "bind": b64encode(statement.values).decode(),
    }
    return json.dumps(line)


def read_statement(line: str) -> Statement:
    """ValueError if it is none."""
    found = json.loads(line)
    if not isinstance(found, dict) or not {"database", "user", "sql"} <= found.keys() <= KEYS:
        raise ValueError('an object with "database", "user", "sql", and perhaps "settings" and "parameters"')
    try:
        settings = tuple(
            sorted((str(name).lower(), str(value)) for name, value in found.get("settings", {}).items())
        )
        types = [_LENGTH.pack(number) for number in found.get("types", ())]
        body = (
            found["sql"].encode(errors="surrogateescape") + b"\0" + _SHORT.pack(len(types)) + b"".join(types)
        )
        given = found.get("bind")
        values = (
            spell_values(found.get("parameters", ())) if given is None else b64decode(given, validate=True)
        )
    except (TypeError, AttributeError, OverflowError, struct.error) as error:
        raise ValueError(str(error)) from None
    return Statement(str(found["database"]), str(found["user"]), settings, body, values)


def spell_values(parameters: Iterable[object]) -> bytes:
    """A Bind's, all text, and so the results."""
    texts = [None if value is None else str(value).encode() for value in parameters]
    values = [_LENGTH.pack(-1) if text is None else _LENGTH.pack(len(text)) + text for text in texts]
    return b"\0\0" + _SHORT.pack(len(texts)) + b"".join(values) + b"\0\0"


def frame(kind: bytes, body: bytes) -> bytes:
    return kind + _LENGTH.pack(4 + len(body)) + body
