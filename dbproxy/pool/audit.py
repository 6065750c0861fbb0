"""Asking a server what a transaction has left behind: the truth, whatever the statements looked like.

A statement that may change its session is marked when it is sent (sql.statement). At the end of the transaction,
before the server may go to anybody else, it is asked, in one Query whose reply nobody sees: which settings are the
session's own, and is there a lock, a temporary object, a held cursor, a prepared statement, a channel. So ROLLBACK TO,
errors in the middle, functions and parameters need no model of ours.

The question runs under the client's own settings and role: every name is qualified, no literal depends on
`standard_conforming_strings`, and the answer is one hexadecimal text, which is the same in every encoding.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from dbproxy.errors import ProtocolViolation
from dbproxy.pool.parameters import ROLES, Parameters, literal
from dbproxy.pool.recall import RECALLED, Recall, read_recalled
from dbproxy.sql import statement as sql
from dbproxy.sql.settings import TRANSACTIONS
from dbproxy.wire.reply import row_values

MARK = (
    "dbproxy.listening"  # a setting of ours, given a new value ahead of a LISTEN: it is rolled back with it
)
MARKS = (
    "dbproxy.read_"  # what such settings of ours begin with: they say what was read at a Parse (pool.scopes)
)

# What each of these effects makes us ask for.
SETTINGS = sql.RESETS | sql.SETS_UNKNOWN | sql.SETS_PARAMETER | sql.DISCARDS | sql.UNKNOWN
LOCKS = sql.LOCKS | sql.UNLOCKS | sql.DISCARDS | sql.UNKNOWN
TEMP = sql.CREATES_TEMP | sql.DROPS | sql.DISCARDS | sql.UNKNOWN
CURSORS = sql.HOLDS | sql.CLOSES | sql.DISCARDS | sql.UNKNOWN
PREPARED = sql.PREPARES | sql.DEALLOCATES | sql.DISCARDS | sql.UNKNOWN | sql.SHOWS_NAMES
CHANNELS = sql.LISTENS | sql.SHOWS_CHANNELS | sql.DISCARDS | sql.UNKNOWN
_STICKY = {
    sql.LOADS: "load",
    sql.SEEDS: "seed",
    sql.RECALLS: "sequence",
    sql.SETS_UNKNOWN: "set_config",
    sql.KEEPS: "function",
}
SPOILS = sql.LOADS | sql.SEEDS | sql.KEEPS  # cannot be undone
SPOILING = frozenset(pin for effect, pin in _STICKY.items() if effect & SPOILS)
# Effects for which the server is asked at the end of the transaction, or kept.
AUDITED = (
    SETTINGS | LOCKS | TEMP | CURSORS | PREPARED | CHANNELS | sql.SETS | SPOILS | sql.RECALLS | sql.CHANGES
)


@dataclass(frozen=True, slots=True)
class Findings:
    """The answer. What was not asked for is None; `named` are settings asked for by name, `settings` all others."""

    settings: dict[str, str] | None = None
    named: dict[str, str | None] = field(default_factory=dict)
    locks: bool | None = None
    temp: bool | None = None
    cursors: bool | None = None
    prepared: dict[str, tuple[bool, str]] | None = None  # whether by PREPARE, and the text
    channels: frozenset[str] | None = None
    position: int | None = None  # where the WAL ends: behind all that has been committed
    recalled: tuple[int, ...] | None = None  # what sequences gave out (pool.recall); empty: nothing


class Audit:
    """One question on its way, `answer` once it is there; None stays if PostgreSQL would not answer."""

    __slots__ = ("answer", "effects", "names", "recall")

    def __init__(self, effects: int, names: Iterable[str], recall: Recall | None = None) -> None:
        self.effects = effects
        self.recall = recall
        # The roles are settings that pg_settings does not show, as custom ones.
        self.names = sorted({*names, *(ROLES if effects & SETTINGS else ())})
        self.answer: Findings | None = None

    def spell(self) -> str:
        """The Query's text."""
        effects = self.effects
        if effects == sql.WRITES:
            return f"SELECT {_POSITION}"
        parts = [f"'named', {_named(self.names)}"]
        parts += [part for wanted, part in _PARTS if effects & wanted]
        ahead = self.recall.spell() if self.recall is not None and effects & sql.ADVANCES else ""
        return ahead + _FRAME.format(", ".join(parts))

    def read(self, row: bytes) -> None:
        """Take the answer from a DataRow of one column (its payload). ProtocolViolation if it is none."""
        try:
            self._take(row)
        except (ValueError, LookupError, TypeError, AttributeError):
            raise ProtocolViolation("malformed answer to a question of the proxy's own") from None

    def _take(self, row: bytes) -> None:
        if self.effects == sql.WRITES:
            self.answer = Findings(position=int(row_values(row)[0]))
            return
        found = json.loads(bytes.fromhex(row_values(row)[0].decode()))
        for name in TRANSACTIONS & (found.get("settings") or {}).keys():
            del found["settings"][name]  # said to be the session's, but gone with its transaction
        channels = found.get("channels")
        self.answer = Findings(
            settings=(found["settings"] or {}) if "settings" in found else None,
            named=found["named"],
            locks=found.get("locks"),
            temp=found.get("temp"),
            cursors=found.get("cursors"),
            prepared=(found["prepared"] or {}) if "prepared" in found else None,
            channels=frozenset(channels or ()) if "channels" in found else None,
            position=found.get("position"),
            recalled=read_recalled(found["recalled"]) if "recalled" in found else None,
        )


def pins_after(before: frozenset[str], effects: int, findings: Findings) -> frozenset[str]:
    """Why the client must keep its server now; what the server cannot be asked for stays until DISCARD ALL."""
    pins = {
        "lock": findings.locks,
        "temp": findings.temp,
        "cursor": findings.cursors,
    }
    kept = before - {pin for pin, found in pins.items() if found is False}
    if effects & (sql.FORGOT | sql.DISCARDED):
        kept -= {"sequence"}
    if effects & sql.DISCARDED:
        kept -= {"set_config"}
    return kept | {pin for pin, found in pins.items() if found} | sticky_pins(effects)


def sticky_pins(effects: int) -> frozenset[str]:
    """Pins for what the server cannot be asked for."""
    return frozenset(pin for effect, pin in _STICKY.items() if effects & effect)


def settings_after(before: Parameters, findings: Findings, user: str) -> dict[str, str]:
    """The session's own settings, given those it had before; `user` is who logged in to the server."""
    if findings.settings is None:
        values = dict(before.values)
    else:  # what cannot be listed is known by name
        hidden = {name: value for name, value in before.values.items() if "." in name}
        values = {**hidden, **{name.lower(): value for name, value in findings.settings.items()}}
    for name, value in findings.named.items():
        if name == MARK or name.startswith(MARKS):
            continue
        if value is None or (name, value) in (("role", "none"), ("session_authorization", user)):
            values.pop(name, None)
        elif findings.settings is None or name in ROLES or "." in name:
            values[name] = value
    return values


def _named(names: Iterable[str]) -> str:
    pairs = (f"{literal(name)}, pg_catalog.current_setting({literal(name)}, true)" for name in names)
    return f"pg_catalog.json_build_object({', '.join(pairs)})"


_FRAME = (
    "SELECT pg_catalog.encode(pg_catalog.convert_to("
    "(pg_catalog.json_build_object({}))::pg_catalog.text, 'UTF8'), 'hex')"
)
# Not a pg_lsn, but a number that needs no parser.
_POSITION = "(pg_catalog.pg_current_wal_insert_lsn() OPERATOR(pg_catalog.-) '0/0'::pg_catalog.pg_lsn)::pg_catalog.int8"
_PARTS = [
    (sql.WRITES, f"'position', {_POSITION}"),
    (sql.ADVANCES, f"'recalled', pg_catalog.current_setting('{RECALLED}', true)"),
    (
        SETTINGS,
        "'settings', (SELECT pg_catalog.json_object_agg(name, setting) FROM pg_catalog.pg_settings"
        " WHERE source OPERATOR(pg_catalog.=) 'session')",
    ),
    (
        LOCKS,
        "'locks', EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory'"
        " AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())",
    ),
    (
        TEMP,
        "'temp', EXISTS (SELECT FROM pg_catalog.pg_depend"
        " WHERE refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass"
        " AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())",
    ),
    (CURSORS, "'cursors', EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable)"),
    (
        PREPARED,
        "'prepared', (SELECT pg_catalog.json_object_agg(name, pg_catalog.json_build_array(from_sql, statement))"
        " FROM pg_catalog.pg_prepared_statements"
        " WHERE NOT pg_catalog.starts_with(name, 'dbproxy'))",
    ),
    (
        CHANNELS,
        "'channels', (SELECT pg_catalog.json_agg(channel)"
        " FROM pg_catalog.pg_listening_channels() AS channel)",
    ),
]
