"""What has a database tell of everybody's writes, publication or triggers: made, or made to fit the tables there are.

Each script is carried out by itself, whole or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import asyncpg
from pydantic import SecretStr

from dbproxy.app.jobs import default_database, find_primary
from dbproxy.cache import publication, triggers
from dbproxy.cache.publication import NAME, Candidate, choose, spell_publication
from dbproxy.cluster.connection import connect_as_servers
from dbproxy.config import Settings
from dbproxy.errors import ServerUnavailable

TIMEOUT = 10.0  # seconds, for the login
PATIENCE = "SET lock_timeout = '5s'"  # for who writes to a table for long
EXISTS = f"SELECT pg_catalog.count(*) > 0 FROM pg_catalog.pg_publication WHERE pubname = '{NAME}'"  # noqa: S608
OWNER = "Run it as the owner of the tables, who may CREATE in the database: --user, with PGPASSWORD."
REMOVAL = f"DROP SCHEMA IF EXISTS {triggers.NAME} CASCADE;\nDROP PUBLICATION IF EXISTS {NAME}"


@dataclass(frozen=True, slots=True)
class Plan:
    """`told`: what to tell of it."""

    scripts: Sequence[str]
    told: Sequence[str]


async def install(
    settings: Settings, database: str, user: str, password: str, *, removes: bool, runs: bool
) -> Plan:
    """What `cache.invalidation` needs; `removes`: take away what any of its ways has needed. Carried out if it `runs`.

    `database`: as the proxy calls it, "": that of primary.url; `user`: "": as the URL says.
    ProxyError if it cannot be done.
    """
    url = settings.server_for(database or default_database(settings))
    if user:
        url = replace(url, user=user, password=SecretStr(password))
    plan = (
        plan_removal
        if removes
        else plan_triggers
        if settings.cache.invalidation == "notify"
        else plan_publication
    )
    ways = find_primary(settings, None, database)
    try:
        connection = await connect_as_servers(ways, url, TIMEOUT, "dbproxy cache")
        try:
            found = await plan(connection)
            if runs:
                await carry_out(connection, found.scripts)
        finally:
            await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        hint = find_hint(error, user, password)
        raise ServerUnavailable(f"{url.address}: {error or 'no answer'}", hint=hint) from None
    return found


def find_hint(error: Exception, user: str, password: str) -> str:
    """What to do about it, as is told with the error; `user`: that was asked for, "": none."""
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return OWNER
    if user and isinstance(error, asyncpg.InvalidPasswordError):
        return f"The password of --user is that in PGPASSWORD{'' if password else ', which is not set'}."
    return ""


async def carry_out(connection: "asyncpg.Connection[asyncpg.Record]", scripts: Sequence[str]) -> None:
    await connection.execute(PATIENCE)
    for script in scripts:
        await connection.execute(script)


async def plan_publication(connection: "asyncpg.Connection[asyncpg.Record]") -> Plan:
    exists = await connection.fetchval(EXISTS)
    choice = choose(Candidate(*row) for row in await connection.fetch(publication.CANDIDATES))
    told = [
        f"Tables in the publication {NAME}: {len(choice.published)} published, {len(choice.left_out)} left out."
    ]
    told += [
        f"{name} is not: it has no replica identity (a primary key, or ALTER TABLE … REPLICA IDENTITY)."
        for name in choice.left_out
    ]
    return Plan([";\n".join(spell_publication(choice.published, exists=exists))], told)


async def plan_triggers(connection: "asyncpg.Connection[asyncpg.Record]") -> Plan:
    candidates = [(str(name), bool(there)) for name, there in await connection.fetch(triggers.CANDIDATES)]
    made = triggers.spell_triggers(candidates)
    told = f"Tables with the trigger {triggers.NAME}: {len(candidates)}, of which {len(made)} had none."
    return Plan([triggers.spell_function(), *made], [told])


async def plan_removal(_: "asyncpg.Connection[asyncpg.Record]") -> Plan:
    return Plan([REMOVAL], ["Nothing tells of writes any more."])
