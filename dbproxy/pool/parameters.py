"""Session settings, kept equal on the server that a client is lent.

Equal settings are one object per pool, so that "does this server have what this client wants" is one comparison. A
server that has other ones gets exactly the difference, in one Query whose replies are skipped.
"""

import re
from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from dbproxy.pool.greeting import Greeting

ROLES = ("session_authorization", "role")  # in the order in which they are set: the first resets the second
_ROLE_WORDS = {"session_authorization": "SESSION AUTHORIZATION", "role": "ROLE"}

BE_YOURSELF = "SET SESSION AUTHORIZATION DEFAULT; RESET ROLE"
TIMEOUTS = ("statement_timeout", "transaction_timeout")
_TIME = re.compile(r"([0-9]{1,9})(?:\s*(us|ms))?")


def is_hasty(value: str) -> bool:
    """Whether a timeout, as PostgreSQL writes it, is under a second; 0 is none."""
    found = _TIME.fullmatch(value.strip())
    return found is not None and 0 < int(found[1]) < (1_000_000 if found[2] == "us" else 1000)


class Parameters:
    """Settings by lower-case name. `reported`: the ParameterStatus values that they lead to, once a server said so.

    `size`: the characters that are kept of them, here and in the SQL that sets them.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)
        self.size = 2 * sum([len(name) + len(value) for name, value in self.values.items()])
        # What we send to such a server ahead of its next client could be cut off: it is not lent again.
        self.hasty = any(is_hasty(self.values.get(name, "0")) for name in TIMEOUTS)
        self.reported: dict[str, str] | None = None if values else {}
        self.cache_key = b""  # of what they may change in an answer, once somebody has looked (cache.key)
        self.trace: Any = None  # which trace they name, once somebody has looked (observe.context)
        self.plain = {
            name: f"pg_catalog.set_config({literal(name)}, {literal(value)}, false)"
            for name, value in self.values.items()
            if name not in ROLES
        }
        self.roles = [
            f"SET {_ROLE_WORDS[name]} {literal(self.values[name])}" for name in ROLES if name in self.values
        ]

    def difference(self, current: "Parameters") -> str:
        """SQL that turns a server with `current` settings into one with these."""
        return "; ".join(self.steps(current))

    def steps(self, current: "Parameters") -> list[str]:
        """The statements of `difference`.

        `set_config` takes a value as the start-up packet does (`search_path = a, b` is a list of two). Whoever is
        somebody else on the server is itself again first: what it may set, the other may not.
        """
        if current.plain == self.plain and current.roles == self.roles:
            return []
        statements = [BE_YOURSELF] if current.roles else []
        statements += [f"RESET {_setting(name)}" for name in current.plain if name not in self.plain]
        new = [sets for name, sets in self.plain.items() if current.plain.get(name) != sets]
        if new:
            statements.append(f"SELECT {', '.join(new)}")
        return statements + self.roles

    def restoration(self) -> str:
        """SQL that sets these behind a RESET of them; where that has failed, a session's own value stays.

        One statement: a Query of several would end a transaction that only a Sync ends.
        """
        roles = [name for name in ROLES if name in self.values]
        return f"SELECT {', '.join(self._restore(name) for name in [*self.plain, *roles])}"

    def _restore(self, name: str) -> str:
        sets = f"pg_catalog.set_config({literal(name)}, {literal(self.values[name])}, false)"
        return f"CASE WHEN {_is_reset(name)} THEN {sets} END"


def _is_reset(name: str) -> str:
    """A condition: the setting has no value of the session's own."""
    if name in ROLES:  # who is somebody else has said so since
        return "pg_catalog.current_setting('role') OPERATOR(pg_catalog.=) 'none'"
    if "." in name:  # is not listed
        return f"COALESCE(pg_catalog.current_setting({literal(name)}, true), '') OPERATOR(pg_catalog.=) ''"
    own = f"pg_catalog.lower(name) OPERATOR(pg_catalog.=) {literal(name)} AND source OPERATOR(pg_catalog.=) 'session'"
    return f"NOT EXISTS (SELECT FROM pg_catalog.pg_settings WHERE {own})"


def literal(text: str) -> str:
    """A string constant that means the same whatever standard_conforming_strings and client_encoding say."""
    if text.isascii() and "\\" not in text:
        return "'" + text.replace("'", "''") + "'"
    return "E'" + "".join(map(_escaped, text)) + "'"


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8 (surrogateescape)
        return f"\\x{code - 0xDC00:02x}"
    if code > 0x7F:
        return f"\\U{code:08x}"
    return {"'": "''", "\\": "\\\\"}.get(character, character)


NOTHING = Parameters({})


class ParameterSets:
    """One object for equal settings, for as long as a client or a server has them."""

    def __init__(self) -> None:
        self.greeting = Greeting()
        self.known: WeakValueDictionary[frozenset[tuple[str, str]], Parameters] = WeakValueDictionary()

    def find(self, values: Mapping[str, str]) -> Parameters:
        if not values:
            return NOTHING
        key = frozenset(values.items())
        parameters = self.known.get(key)
        if parameters is None:
            parameters = self.known[key] = Parameters(values)
        return parameters

    def forget_cache_keys(self) -> None:
        """Their sessions are of another database now."""
        for parameters in self.known.values():
            parameters.cache_key = b""

    def forget_reports(self) -> None:
        """Servers report other values than they did."""
        for parameters in self.known.values():
            parameters.reported = None


def identifier(name: bytes) -> str:
    """A quoted name."""
    return '"' + name.decode(errors="surrogateescape").replace('"', '""') + '"'


def _setting(name: str) -> str:
    """A setting's name, quoted part by part (`ext.name` has two)."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))
