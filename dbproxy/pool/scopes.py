"""What PostgreSQL reads besides a statement's text when it parses it: a *scope*.

Constants are read at Parse, by input functions that look at the session's settings, and what is folded into a plan that
is kept looks at some more: equal words under other settings are another statement. Names of tables are looked up on the
search path; there PostgreSQL itself looks again when the path has changed, so it only keeps apart what may differ.
A server that prepares a statement later is given the settings of its Parse for that moment (`Scope.turns`).
"""

import json
from collections.abc import Mapping
from itertools import count
from weakref import WeakValueDictionary

from dbproxy.pool.parameters import literal

# What makes equal names mean other tables: "$user" is on the default search path.
PATH = frozenset({"search_path", "role", "session_authorization"})
# What constants are read by. The last four are looked at when constants are folded into a plan.
READ = frozenset(
    (
        "timezone", "timezone_abbreviations", "datestyle", "intervalstyle", "client_encoding",
        "standard_conforming_strings", "backslash_quote", "array_nulls", "transform_null_equals", "xmloption",
        "lc_monetary", "bytea_output", "extra_float_digits", "default_text_search_config", "quote_all_identifiers",
    )
)  # fmt: skip
CONCERNED = PATH | READ
_KEPT = "dbproxy.kept_"  # settings that hold a value while another is in its place

Values = tuple[tuple[str, str], ...]
_serials = count(1)
_scopes: "WeakValueDictionary[tuple[Values, Values, bool], Scope]" = WeakValueDictionary()


class Scope:
    """Equal ones are one object. None: not known, as the transaction at hand has changed it.

    `path`: settings of PATH that count; `read`: those of READ, () also for a text that they do not concern (`reads`).
    """

    __slots__ = ("__weakref__", "key", "path", "read", "reads", "serial")

    def __init__(self, path: Values | None, read: Values | None, reads: bool) -> None:
        self.path = path
        self.read = read
        self.reads = reads
        self.serial = next(_serials)
        self.key = repr((path, read)).encode(errors="surrogateescape") if self.known() else b""

    def known(self) -> bool:
        return self.path is not None and self.read is not None

    def learn(self, answer: str) -> None:
        """What a transaction had changed, as `question` was answered."""
        found = json.loads(answer)
        if found.pop("scope", "") == str(self.serial):
            self.read = tuple(sorted(found.items()))

    def question(self) -> str:
        """An SQL expression: what constants are read by now, as `learn` takes it."""
        pairs = "".join([f", {literal(name)}, {_current(name)}" for name in sorted(READ)])
        return f"(pg_catalog.json_build_object('scope', '{self.serial}'{pairs}))::pg_catalog.text"

    def without_settings(self) -> "Scope":
        """The same for a text that settings do not concern."""
        return Scope(self.path, (), reads=False)

    def reads_as(self, other: "Scope") -> bool:
        """Whether a text of this scope is read the same in a session of the other."""
        return not self.reads or self is other or (self.read is not None and self.read == other.read)

    def turns(self, current: "Scope") -> tuple[str, str] | None:
        """SQL that takes a session from its current scope to this one, for its transaction, and back; None: no need.

        What the session has is kept by the server: a transaction may have changed it without our knowing.
        """
        wanted: dict[str, str | None] = {}
        if not self.reads_as(current) and self.read is not None:
            wanted.update({**dict.fromkeys(sorted(READ)), **dict(self.read)})
        if self.path is not None and self.path != current.path:
            path = dict(self.path)
            # A path that is not known was changed by SET ROLE far more often than by SET SESSION AUTHORIZATION.
            now = path if current.path is None else dict(current.path)
            if now.get("session_authorization") == path.get("session_authorization"):
                wanted["role"] = path.get("role", "none")
            wanted["search_path"] = path.get("search_path")
        if not wanted:
            return None
        there = [
            f"{_set(_KEPT + name, _current(name))}, {_set(name, 'NULL' if value is None else literal(value))}"
            for name, value in wanted.items()
        ]
        back = [_set(name, _current(_KEPT + name)) for name in wanted]
        return f"SELECT {', '.join(there)}", f"SELECT {', '.join(back)}"


def _set(name: str, value: str) -> str:
    return f"pg_catalog.set_config({literal(name)}, {value}, true)"


def _current(name: str) -> str:
    return f"pg_catalog.current_setting({literal(name)})"


def _find(path: Values, read: Values, reads: bool) -> Scope:
    key = (path, read, reads)
    scope = _scopes.get(key)
    if scope is None:
        scope = _scopes[key] = Scope(*key)
    return scope


class Scopes:
    """A session's two: of texts that settings concern, and of all others (`plain`)."""

    __slots__ = ("full", "plain")

    def __init__(self, full: Scope, plain: Scope) -> None:
        self.full = full
        self.plain = plain

    @staticmethod
    def of(values: Mapping[str, str]) -> "Scopes":
        """Of a session with these settings."""
        if values.keys().isdisjoint(CONCERNED):
            return _UNSET
        counts = PATH if "$user" in values.get("search_path", "$user") else {"search_path"}
        path = tuple(sorted((name, value) for name, value in values.items() if name in counts))
        read = tuple(sorted((name, value) for name, value in values.items() if name in READ))
        return Scopes(_find(path, read, reads=True), _find(path, (), reads=False))

    def without(self, path: bool, read: bool) -> "Scopes":
        """Those of a transaction that has changed the path, or what constants are read by, or both."""
        plain = Scope(None, (), reads=False) if path else self.plain
        full = Scope(None if path else self.full.path, None if read else self.full.read, reads=True)
        return Scopes(full, plain)


_UNSET = Scopes(_find((), (), reads=True), _find((), (), reads=False))  # of most sessions
