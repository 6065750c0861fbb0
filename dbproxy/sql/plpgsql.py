"""What a function in PL/pgSQL reads, writes and calls, by its words: the language has SQL's lexer.

Every statement that writes says so with a word that stands in no other way for it: `INSERT INTO t`, `UPDATE t`,
`DELETE FROM t`, `MERGE INTO t`, `TRUNCATE t`. So those names are all that it writes, whatever stands around them; any
name may be one that it reads. A body that runs a text (EXECUTE), calls a procedure or defines something is opaque, and
so is one in which such a word is but a name: the safe side.
"""

from collections.abc import Iterator

from postgast import PgQueryError, scan

from dbproxy.sql.access import (
    CASCADES,
    DELETES,
    INSERTS,
    TRUNCATES,
    UNREAD,
    UNSEEN,
    UPDATES,
    WRITE,
    Access,
    quote,
)
from dbproxy.sql.settings import fold
from dbproxy.sql.source import called_names

_OPAQUE = frozenset(
    ("alter", "call", "copy", "create", "do", "drop", "execute", "grant", "reassign", "refresh", "revoke")
)
_WRITES = {
    "insert": INSERTS | UPDATES,
    "update": UPDATES,
    "delete": DELETES,
    "merge": INSERTS | UPDATES | DELETES,
    "truncate": TRUNCATES | CASCADES,
}
_SIGNS = "+-*/<>=~!@#%^&|`?"
_BETWEEN = frozenset({"into", "from", "only", "table", "("})  # the verb and the name
_QUIET = "a function in PL/pgSQL"  # its answer is not judged by its words


def find_access(body: str) -> Access:
    """Of a function's body; `relations` are all names in it, unqualified."""
    try:
        words = _read_words(body)
    except (PgQueryError, UnicodeError, ValueError):
        return UNSEEN
    targets: set[str] = set()
    events = 0
    for place, verb in _find_verbs(words):
        names = _read_names(words, place + 1) if verb == "truncate" else [_read_name(words, place + 1)[0]]
        if verb not in _WRITES or "" in names:
            return Access(opaque=f"{verb.upper()} in a function", unsteady=_QUIET)
        targets.update(names)
        events |= _WRITES[verb]
    return Access(
        kind=WRITE if targets else UNREAD,
        relations=frozenset(_name(word) for word in words if _is_name(word)),
        targets=frozenset(targets),
        functions=frozenset(map(quote, called_names(body))),
        ends_transaction=False,
        operators=frozenset(word for word in words if word[0] in _SIGNS),
        events=events,
        opaque="",
        unsteady=_QUIET,
    )


def _find_verbs(words: list[str]) -> Iterator[tuple[int, str]]:
    """Those that write, or may, and where they are."""
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        following = words[place + 1] if place + 1 < len(words) else ""
        if before == "." or _is_part(word, before, following):
            continue
        if word in _WRITES or word in _OPAQUE or word.startswith('u&"'):
            yield place, word


def _is_part(word: str, before: str, after: str) -> bool:
    """Whether the verb is part of another statement: FOR UPDATE, ON CONFLICT DO UPDATE, MERGE … THEN DELETE, TG_OP."""
    if word == "update":
        return before in ("for", "key", "do") or (before == "then" and after == "set")
    if word == "delete":
        return before == "then" and after != "from"
    if word == "do":
        return after in ("nothing", "update")
    return word == "insert" and before == "then" and after != "into"


def _read_words(body: str) -> list[str]:
    """Its tokens without comments; words in lower case, but for those in quotes."""
    source = body.encode()
    if b"\0" in source:
        raise ValueError("a body with a zero byte")
    found = []
    for token in scan(body).tokens:
        word = source[token.start : token.end].decode()
        if not word.startswith(("--", "/*")):
            found.append(word if word.startswith(('"', "'", "$")) else fold(word))
    return found


def _read_names(words: list[str], place: int) -> list[str]:
    """Those of TRUNCATE, one or more."""
    name, place = _read_name(words, place)
    found = [name]
    while place < len(words) and words[place] in (",", "*", ")"):
        if words[place] == ",":
            name, place = _read_name(words, place + 1)
            found.append(name)
        else:
            place += 1
    return found


def _read_name(words: list[str], place: int) -> tuple[str, int]:
    """A relation's name as `Access` has it, "" if there is none, and where it ends."""
    while place < len(words) and words[place] in _BETWEEN:
        place += 1
    parts: list[str] = []
    while place < len(words) and _is_name(words[place]):
        parts.append(_name(words[place]))
        if words[place + 1 : place + 2] != ["."]:
            break
        place += 2
    return ".".join(parts[-2:]), place + 1


def _is_name(word: str) -> bool:
    return word[0].isalpha() or word[0] in '_"'


def _name(word: str) -> str:
    return quote(word[1:-1].replace('""', '"')) if word.startswith('"') else word
