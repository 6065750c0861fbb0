"""The triggers that tell the cache of everybody's writes, and which tables have one.

Each is of a statement, not of rows, and notifies of its table's OID; PostgreSQL sends equal notifications of one
transaction once. It is fired where `session_replication_role` is `replica`, too. Of a statement only the table that it
names tells, not its partitions or those that inherit from it: these are for who listens to know (cache.schema). What a
subscription of logical replication writes fires no trigger of statements: such tables are left out.

The function has a schema of its own, so that all of it is gone with that. PostgreSQL: "Triggers", NOTIFY.
"""

from collections.abc import Iterable, Sequence

from dbproxy.cache.publication import INSTALL, TOLD
from dbproxy.errors import ProtocolViolation, ServerUnavailable

NAME = "dbproxy_cache"  # of the channel, the schema, and each trigger
_BODY = f"BEGIN PERFORM pg_catalog.pg_notify('{NAME}', TG_RELID::pg_catalog.text); RETURN NULL; END"
_EVENTS = (
    4 + 8 + 16 + 32
)  # INSERT, DELETE, UPDATE, TRUNCATE, as pg_trigger.tgtype has them: after the statement
_WHOLE = f"t.tgenabled = 'A' AND t.tgtype = {_EVENTS} AND t.tgqual IS NULL AND t.tgattr::pg_catalog.text = ''"
_FUNCTION = f"n.nspname = '{NAME}' AND p.proname = 'notify' AND p.prosrc = $${_BODY}$$"

# A row, if the function is there: the tables all of whose writes are told.
TRIGGERED = f"""\
SELECT pg_catalog.array_to_string(ARRAY(
        SELECT t.tgrelid FROM pg_catalog.pg_trigger t WHERE t.tgfoid = p.oid AND {_WHOLE}
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_subscription_rel s WHERE s.srrelid = t.tgrelid)), ' ')
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE {_FUNCTION}"""  # noqa: S608 - constants

# All tables that could have one: name as SQL has it, whether it has one.
CANDIDATES = f"""\
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), EXISTS (
        SELECT FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
            JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
        WHERE t.tgrelid = c.oid AND {_WHOLE} AND {_FUNCTION})
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE {TOLD}
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_subscription_rel s WHERE s.srrelid = c.oid)
ORDER BY n.nspname, c.relname"""  # noqa: S608 - constants


def spell_function() -> str:
    return (
        f"CREATE SCHEMA IF NOT EXISTS {NAME};\n"
        f"CREATE OR REPLACE FUNCTION {NAME}.notify() RETURNS trigger LANGUAGE plpgsql AS $${_BODY}$$"
    )


def spell_triggers(candidates: Iterable[tuple[str, bool]]) -> list[str]:
    """For each table that has none; each is locked against writes for a moment, so it is a transaction of its own."""
    return [
        f"DROP TRIGGER IF EXISTS {NAME} ON {table};\n"
        f"CREATE TRIGGER {NAME} AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}"
        f" FOR EACH STATEMENT EXECUTE PROCEDURE {NAME}.notify();\n"
        f"ALTER TABLE ONLY {table} ENABLE ALWAYS TRIGGER {NAME}"
        for table, there in candidates
        if not there
    ]


def read_triggered(rows: Sequence[Sequence[bytes]]) -> frozenset[int]:
    """What TRIGGERED was answered. ServerUnavailable if nothing is installed."""
    if not rows:
        raise ServerUnavailable(
            f'the database has no function "{NAME}.notify", as it should be', hint=INSTALL
        )
    try:
        return frozenset(map(int, rows[0][0].split()))
    except ValueError:
        raise ProtocolViolation("the server's answer to which tables have a trigger makes no sense") from None
