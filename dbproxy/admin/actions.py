"""What administrators may do: RELOAD, PAUSE, KILL and others, as PgBouncer does them, and orders about hosts.

An action returns when it is done, and raises what to tell the administrator if it cannot be. `database` is
`""` for all of them; `name` is a host's in the cluster (SHOW HOSTS).
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from time import monotonic

import structlog

from dbproxy.admin.absent import decline_suspend
from dbproxy.admin.house import House, list_pools
from dbproxy.admin.queries import reset_queries
from dbproxy.errors import AdminShutdown, CommandFailed, ConfigurationError, ProxyError, QueryCanceled
from dbproxy.session.client import Client
from dbproxy.session.replication import Replication
from dbproxy.session.startup import CONSOLES, Login

log = structlog.get_logger(__name__)

LOOK_INTERVAL = 0.02  # seconds between looks at the servers that a PAUSE waits for

Action = Callable[[House, str], Awaitable[None]]


async def reload(house: House, argument: str) -> None:
    """Read the settings again; the old ones stay if the new are bad."""
    try:
        house.process.reload()
    except ProxyError as error:
        log.error("reload failed", error=error.message, hint="The settings in force stay.")
        raise CommandFailed(
            "RELOAD failed, see logs for additional details",
            detail=error.message,
            sqlstate=ConfigurationError.sqlstate,
        ) from error


async def pause(house: House, database: str) -> None:
    """Lend no more servers; return when all are closed: their transactions have ended, replication connections, too."""
    refuse_if_paused(house)
    find(house, database, "pause")
    house.pause(database)
    while house.has_servers(database):
        await asyncio.sleep(LOOK_INTERVAL)
        if not house.is_paused(database):
            raise QueryCanceled("PAUSE was ended by RESUME or by a cancel request")


async def resume(house: House, database: str) -> None:
    if house.stopping and not database:
        raise CommandFailed("pooler is shutting down")
    if database and database not in house.paused_databases:
        find(house, database, "resume")
        raise CommandFailed(f"database {database} is not paused")
    if not database and not house.paused:
        raise CommandFailed("pooler is not paused/suspended")
    house.resume(database)


async def kill(house: House, database: str) -> None:
    """Close every connection at once, whatever it does; the database stays paused until RESUME."""
    refuse_if_paused(house)
    find(house, database, "kill")
    house.pause(database)
    for login in house.registry:
        session = find_session(login)
        if session is not None and (not database or login.identity.database == database):
            session.disconnect("KILL", AdminShutdown("terminating connection due to administrator command"))
    for pool in list_pools(house, database):
        for server in pool.servers():
            server.close("KILL")


async def kill_client(house: House, number: str) -> None:
    """Disconnect the client with this number, the `id` of SHOW CLIENTS."""
    if not re.match(r"\d", number):
        raise CommandFailed("invalid client pointer supplied")
    for login in house.registry:
        session = find_session(login)
        if session is not None and str(login.identity.id) == number:
            session.disconnect("KILL_CLIENT", AdminShutdown("admin forced disconnect"))
            return
    raise CommandFailed("client not found")


async def disable_database(house: House, database: str) -> None:
    """Let nobody else log in there; who is there goes on."""
    require(database)
    find(house, database, "disable")
    house.registry.disabled.add(database)


async def enable_database(house: House, database: str) -> None:
    require(database)
    find(house, database, "enable")
    house.registry.disabled.discard(database)


async def wait_close(house: House, database: str) -> None:
    """Return when every server that is to be replaced (RECONNECT, changed settings) has been closed."""
    find(house, database, "wait in")
    while any(  # noqa: ASYNC110  # plain numbers of all pools: nothing to await
        server.upkeep.generation != pool.generation
        for pool in list_pools(house, database)
        for server in pool.servers()
    ):
        await asyncio.sleep(LOOK_INTERVAL)


async def shutdown(house: House, awaited: str) -> None:
    """End the process: at once, or when no server is open any more, or no client connected."""
    house.process.shut_down(SHUTDOWNS[awaited.lower()])


async def reconnect(house: House, database: str) -> None:
    """Replace every server connection, each when it is next free; replication is never free: it ends at once."""
    find(house, database, "reconnect")
    for pool in list_pools(house, database):
        pool.retire("RECONNECT")
    for replication in house.replications(database):
        replication.retire("RECONNECT")


async def disable(house: House, name: str) -> None:
    """Give the host nothing, and end what runs there."""
    house.cluster.disable(name, monotonic())


async def drain(house: House, name: str) -> None:
    """Give the host nothing new; return at once."""
    house.cluster.drain(name, monotonic())


async def enable(house: House, name: str) -> None:
    house.cluster.enable(name, monotonic())


async def warm(house: House, _: str) -> None:
    """Fetch what is asked for most and not kept now; return at once."""
    await house.process.warm()


async def probe(house: House, argument: str) -> None:
    """Ask all hosts now, not when it is time to."""
    house.cluster.probe()


ACTIONS: dict[str, Action] = {
    "disable": disable_database,
    "disable host": disable,
    "drain host": drain,
    "enable": enable_database,
    "enable host": enable,
    "kill": kill,
    "kill_client": kill_client,
    "pause": pause,
    "probe": probe,
    "reconnect": reconnect,
    "reload": reload,
    "reset": reset_queries,
    "resume": resume,
    "shutdown": shutdown,
    "suspend": decline_suspend,
    "wait_close": wait_close,
    "warm": warm,
}
SHUTDOWNS = {"": "", "wait_for_clients": "clients", "wait_for_servers": "servers"}
# What may stand behind a verb, in lower case; behind all others anything may.
ARGUMENTS = {"probe": {""}, "reload": {""}, "suspend": {""}, "shutdown": SHUTDOWNS.keys(), "warm": {"cache"}}


def find_session(login: Login) -> Client | Replication | None:
    """Who has a server, or may get one; an administrator at the console ends by itself."""
    return login.heir if isinstance(login.heir, Replication) else login.client


def require(database: str) -> None:
    if not database:
        raise CommandFailed("a database is required")


def refuse_if_paused(house: House) -> None:
    if house.paused:
        raise CommandFailed("already suspended/paused")


def find(house: House, database: str, verb: str) -> None:
    """CommandFailed if there can be no such database; those that are not listed are passed through."""
    if database in CONSOLES:
        raise CommandFailed(f"cannot {verb} admin db: {database}")
    if not database:
        return
    try:
        house.settings.server_for(database)
    except ConfigurationError as error:
        raise CommandFailed(f"no such database: {database}") from error
