"""The SHOW commands: PgBouncer's, with its columns, and SHOW PINS, HOSTS, ROUTES and others, which are ours."""

from collections import Counter
from collections.abc import Callable, Iterator
from operator import attrgetter
from time import monotonic

from dbproxy import __version__
from dbproxy.admin.absent import (
    decline_fds,
    show_dns_zones,
    show_peer_pools,
    show_peers,
)
from dbproxy.admin.aliases import list_aliases
from dbproxy.admin.caches import show_cache
from dbproxy.admin.connections import show_clients, show_servers
from dbproxy.admin.features import show_features
from dbproxy.admin.figures import read_figures, user_names
from dbproxy.admin.house import House, list_hosts
from dbproxy.admin.limits import show_limit_sources, show_limit_tiers
from dbproxy.admin.pins import show_pins
from dbproxy.admin.routes import show_host_pools, show_hosts, show_rescues, show_routes
from dbproxy.admin.shapes import show_shapes
from dbproxy.admin.sockets import show_active_sockets, show_mem, show_sockets
from dbproxy.admin.statistics import show_stats, show_stats_averages, show_stats_totals, show_totals
from dbproxy.admin.table import Columns, Table, Value, columns
from dbproxy.admin.waits import show_holders, show_waits
from dbproxy.config import list_entries
from dbproxy.config.settings import given
from dbproxy.net.names import names_here
from dbproxy.observe.slowlog import show_statement
from dbproxy.pool.pool import Pool
from dbproxy.session.channels import NAMES

POOLS = columns(
    "database:s user:s cl_active:i cl_waiting:i cl_active_cancel_req:i cl_waiting_cancel_req:i "
    "sv_active:i sv_active_cancel:i sv_being_canceled:i sv_idle:i sv_used:i sv_tested:i sv_login:i "
    "maxwait:i maxwait_us:i pool_mode:s load_balance_hosts:s"
)
DATABASES = columns(
    "name:s host:s port:i database:s force_user:s pool_size:i min_pool_size:i reserve_pool_size:i "
    "server_lifetime:i pool_mode:s load_balance_hosts:s max_connections:i current_connections:i "
    "max_client_connections:i current_client_connections:i paused:i disabled:i"
)
USERS = columns(
    "name:s pool_size:s reserve_pool_size:s pool_mode:s max_user_connections:i current_connections:i "
    "max_user_client_connections:i current_client_connections:i"
)
LISTS = columns("list:s items:i")
DNS_HOSTS = columns("hostname:s ttl:q addrs:s")
CONFIG = columns("key:s value:s default:s changeable:s")
STATE = columns("key:s value:s")
VERSION = columns("version:s")
LISTENS = columns("database:s channel:s state:s listeners:i delivered:q")
PREPARED = columns("database:s user:s name:s servers:i statement:s")

_counted = attrgetter(*(name for name, _, _ in POOLS[:13]))


def show_pools(house: House) -> Table:
    return Table(
        POOLS,
        (
            (*_counted(pool), pool.maxwait_us // 1_000_000, pool.maxwait_us % 1_000_000, pool.pool_mode, None)
            for pool in read_figures(house, monotonic()).pools
        ),
    )


def show_databases(house: House) -> Table:
    """Limits of 0 are none; load_balance_hosts is never set."""
    rows = (
        (
            database.name,
            database.host,
            database.port,
            database.database,
            database.force_user or None,
            database.pool_size,
            database.min_pool_size,
            database.reserve_pool,
            database.server_lifetime_s,
            database.pool_mode,
            None,
            database.max_connections,
            database.current_connections,
            database.max_client_connections,
            database.current_client_connections,
            int(database.paused),
            int(database.disabled),
        )
        for database in read_figures(house, monotonic()).databases
    )
    return Table(DATABASES, rows)


def show_users(house: House) -> Table:
    """Pool settings only where they were written for the user; limits of 0 are none."""
    settings = house.settings
    rows = (
        (
            name,
            *_written(house, name),
            settings.connection_limit("max_user_connections", name),
            house.quotas.used("max_user_connections", name),
            settings.connection_limit("max_user_client_connections", name),
            house.registry.users.get(name, 0),
        )
        for name in user_names(house)
    )
    return Table(USERS, rows)


def _written(house: House, user: str) -> tuple[Value, Value, Value]:
    listed = house.settings.users.get(user)
    own = given(listed.pool) if listed else {}
    return own.get("size", ""), own.get("reserve_size", ""), own.get("mode")


def show_lists(house: House) -> Table:
    return Table(LISTS, read_figures(house, monotonic()).lists.items())


def show_dns_hosts(house: House) -> Table:
    """Names of servers, the seconds until each is looked up again, and its addresses."""
    known = names_here().list_known(monotonic())
    return Table(DNS_HOSTS, [(host, int(ttl), ",".join(addresses)) for host, ttl, addresses in known])


def show_config(house: House) -> Table:
    """By our names, then by PgBouncer's."""
    entries = list_entries(house.settings)
    ours = [(e.key, e.shown, e.default, "no" if e.restart else "yes") for e in entries]
    return Table(CONFIG, [*ours, *list_aliases(house.settings)])


def show_state(house: House) -> Table:
    active, paused = ("no", "yes") if house.paused else ("yes", "no")
    return Table(STATE, [("active", active), ("paused", paused), ("suspended", "no")])


def show_version(house: House) -> Table:
    return Table(VERSION, [(f"dbproxy {__version__}",)])


def show_prepared(house: House) -> Table:
    """The prepared statements that are shared, without literals, and how many servers have each."""
    return Table(
        PREPARED, (row for pool in list(house.pools.values()) for row in _prepared(list_hosts(house, pool)))
    )


def _prepared(pools: list[Pool]) -> Iterator[tuple[Value, ...]]:
    """Those to replicas have the statements of the first."""
    pool = pools[0]
    every = (server for pool in pools for server in pool.servers())
    servers = Counter(name for server in every for name in server.dialogue.statements.prepared)
    for statement in list(pool.tenant.statements.by_body.values()):
        shown = show_statement(statement.text())
        yield pool.database, pool.user, statement.name.decode(), servers[statement.name], shown


def show_listens(house: House) -> Table:
    """The channels that clients listen to; `delivered` counts messages to clients."""
    return Table(
        LISTENS,
        (
            (hub.database, channel.name, NAMES[channel.state], len(channel.listeners), channel.delivered)
            for hub in house.hubs
            for channel in list(hub.channels.values())
        ),
    )


SHOWS: dict[str, Callable[[House], Table]] = {
    "active_sockets": show_active_sockets,
    "cache": show_cache,
    "clients": show_clients,
    "config": show_config,
    "databases": show_databases,
    "dns_hosts": show_dns_hosts,
    "dns_zones": show_dns_zones,
    "fds": decline_fds,
    "features": show_features,
    "holders": show_holders,
    "host_pools": show_host_pools,
    "hosts": show_hosts,
    "limit_sources": show_limit_sources,
    "limit_tiers": show_limit_tiers,
    "listens": show_listens,
    "lists": show_lists,
    "mem": show_mem,
    "peer_pools": show_peer_pools,
    "peers": show_peers,
    "pins": show_pins,
    "pools": show_pools,
    "prepared": show_prepared,
    "rescues": show_rescues,
    "routes": show_routes,
    "servers": show_servers,
    "shapes": show_shapes,
    "sockets": show_sockets,
    "state": show_state,
    "stats": show_stats,
    "stats_averages": show_stats_averages,
    "stats_totals": show_stats_totals,
    "totals": show_totals,
    "users": show_users,
    "version": show_version,
    "waits": show_waits,
}

FOR_ADMINISTRATORS = frozenset({"fds"})

# Some drivers ask for these, or set them, without being told to.
FAKES = {
    "client_encoding": "UTF-8",
    "default_transaction_isolation": "read committed",
    "standard_conforming_strings": "on",
    "datestyle": "ISO",
    "timezone": "GMT",
    "extra_float_digits": "2",
}


def fake(name: str) -> Table:
    shape: Columns = columns(f"{name}:s")
    return Table(shape, [(FAKES[name],)])
