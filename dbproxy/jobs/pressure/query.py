"""A query of the user's that says whether to wait, or to end: one row of one boolean, by what changes nothing."""

import asyncpg

from dbproxy.errors import JobRefused
from dbproxy.jobs.primary import Connection

QUERIES = ("query", "critical_query")  # keys of [batch.throttle]
# Classes of SQLSTATE: what it names, how it is written, or that it would write.
WRONG = ("42", "0A", "28", "3D", "3F", "26", "34", "25", "2D")
BOOLEAN = "pg_catalog.bool"
LONGEST = 2000  # milliseconds: one that is only hung up on would go on there, beside the next one


class NoAnswer(Exception):
    """It gives something else than one boolean; the text says what."""


async def check(connection: Connection, name: str, query: str) -> None:
    """JobRefused if it is wrong in itself, whatever the data are. `name`: of the setting."""
    try:
        await ask(connection, query)
    except NoAnswer as error:
        raise refuse(name, str(error)) from None
    except asyncpg.PostgresError as error:
        if str(error.sqlstate)[:2] in WRONG:
            raise refuse(name, f"{error.sqlstate}: {error}", str(error.hint or "")) from None


def refuse(name: str, reason: str, hint: str = "") -> JobRefused:
    return JobRefused(f"throttle.{name} is wrong: {reason}", hint=hint or "Try it in psql.")


async def ask(connection: Connection, query: str) -> bool:
    """What it says. NoAnswer, or what PostgreSQL says: 25006 if it would write, 57014 if it takes too long.

    What it gives is known before it is carried out; of many rows two are fetched.
    """
    async with connection.transaction(readonly=True):
        await connection.execute(f"SET LOCAL statement_timeout = {LONGEST}")
        statement = await connection.prepare(query)
        found = [f"{one.type.schema}.{one.type.name}" for one in statement.get_attributes()]
        refuse_shape(found, len(statement.get_parameters()))
        rows = await (await statement.cursor()).fetch(2)
    return read([row[0] for row in rows])


def refuse_shape(types: list[str], parameters: int = 0) -> None:
    """`types`: those of its columns."""
    if parameters:
        raise NoAnswer("it has parameters, and must give one boolean")
    if types != [BOOLEAN]:
        columns = ", ".join(name.removeprefix("pg_catalog.") for name in types) or "no column"
        raise NoAnswer(f"it gives {columns}, and must give one boolean")


def read(values: list[bool | None]) -> bool:
    """`values`: one for each row."""
    if len(values) != 1:
        raise NoAnswer(f"it gives {'several rows' if values else 'no row'}, and must give one boolean")
    if values[0] is None:
        raise NoAnswer("it gives NULL, and must give one boolean: coalesce(…, false)")
    return values[0]
