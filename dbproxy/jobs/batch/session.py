"""The settings of a batch's own connections, and whether the server really has them.

Who waits for a lock longer than deadlock_timeout looks for a deadlock, and loses it if there is one. Nobody waits for
us so long: a chunk takes less than that, and gives up sooner than it where it waits itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dbproxy.errors import JobRefused
from dbproxy.jobs.primary import Connection

MARGIN = 0.1  # seconds by which a chunk ends before deadlock_timeout
UNHURRIED = 30.0  # seconds for a chunk whose size does not adapt
IDLE = 10.0  # seconds in a transaction without a word of ours, until the server ends it
ANSWER = 10.0  # seconds beyond its timeout, until a statement's answer counts as lost
DEADLOCK = "SELECT extract(epoch FROM current_setting('deadlock_timeout')::interval)::float8"
READ_BACK = "SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY($1::text[])"
# From PostgreSQL 17 on: of a process that stands still between a statement's messages, the server would wait for ever.
BOUNDED = "SELECT EXISTS (SELECT FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout')"
# Who waits is idle for long, and may hold the batch's lock. From PostgreSQL 14 on.
STAY = "SELECT set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'idle_session_timeout'"
# How values are written as texts: exact, and read back as they were, on all connections by which places of a key go.
TEXTS = {
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "IntervalStyle": "postgres",
    "array_nulls": "on",
    "standard_conforming_strings": "on",  # as the grammar here reads a statement
}
_UNITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")  # in ms


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds."""

    statement: float
    lock: float

    @property
    def answer(self) -> float:
        return self.statement + ANSWER


def choose_timeouts(deadlock_timeout: float, lock_timeout: float, *, adaptive: bool) -> Timeouts:
    """A chunk that cannot become smaller has the time it takes: then nothing is promised."""
    statement = max(deadlock_timeout - MARGIN, deadlock_timeout / 2)
    return Timeouts(statement if adaptive else max(UNHURRIED, statement), min(lock_timeout, statement / 2))


def list_settings(timeouts: Timeouts) -> dict[str, str]:
    return {
        "statement_timeout": _milliseconds(timeouts.statement),
        "lock_timeout": _milliseconds(timeouts.lock),
        "idle_in_transaction_session_timeout": _milliseconds(IDLE),
        "default_transaction_isolation": "read committed",
        "plan_cache_mode": "force_custom_plan",
    }


async def prepare(connection: Connection, timeouts: Timeouts, synchronous_commit: str = "") -> None:
    """Set them, and read them back. JobRefused if the server has others: then a pooler is in between."""
    wanted = list_settings(timeouts)
    if synchronous_commit:
        wanted["synchronous_commit"] = synchronous_commit
    await _set(connection, wanted)
    await settle(connection)
    if await connection.fetchval(BOUNDED):
        await connection.execute(f"SET transaction_timeout = {_milliseconds(timeouts.answer)}")
    rows = await connection.fetch(READ_BACK, list(_UNITS))
    found = {name: setting for name, setting in rows}  # noqa: C416  # a record is no pair
    if any(found.get(name) != wanted[name] for name in _UNITS):
        raise JobRefused(
            f"the server does not keep the settings of a session: it has {found}",
            hint="A batch needs a connection of its own to PostgreSQL, not through a transaction pooler: --url, --to.",
        )


async def settle(connection: Connection) -> None:
    """Have it stay, and write values as `TEXTS` has it, whatever the database or the role has."""
    await connection.execute(STAY)
    await _set(connection, TEXTS)
    await connection.execute("SET DateStyle = ISO")  # the order of what is read stays


async def shorten(connection: Connection, seconds: float) -> None:
    """What is left of a transaction's time for its next statement; PostgreSQL counts that of each anew."""
    await connection.execute(f"SET LOCAL statement_timeout = {_milliseconds(seconds)}")


async def _set(connection: Connection, settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        await connection.execute("SELECT set_config($1, $2, false)", name, value)


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))
