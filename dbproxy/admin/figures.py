"""What the proxy is doing at this moment, read from the live objects, for /metrics and SHOW.

The console itself is neither a pool nor a database here.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from dbproxy.admin.cache_figures import cache_figures
from dbproxy.admin.features import feature_figures
from dbproxy.admin.hosts import host_figures, route_figures
from dbproxy.admin.house import House, list_hosts
from dbproxy.admin.limit_figures import limit_figures
from dbproxy.errors import ConfigurationError
from dbproxy.net.names import names_here
from dbproxy.observe.figures import (
    DatabaseFigures,
    HostPoolFigures,
    HubFigures,
    PoolFigures,
    ProxyFigures,
    QueryStatsFigures,
)
from dbproxy.observe.logs import count_unwritten
from dbproxy.observe.querystats import QueryStats
from dbproxy.pool.pool import Pool
from dbproxy.pool.states import ACTIVE, BEING_CANCELED, CLOSED, IDLE, NAMES, TESTED
from dbproxy.session.client import Client
from dbproxy.session.hub import Hub

NOWHERE = ("", 0, "")  # of a database for which no primary is configured


def read_figures(house: House, now: float) -> ProxyFigures:
    """`now` is monotonic seconds."""
    clients = client_states(house)
    pins = client_pins(house)
    pools = [
        pool_figures(list_hosts(house, pool), clients, pins.get(pool, {}), now)
        for pool in house.pools.values()
    ]
    databases = list_databases(house)
    totals = total_clients(house, clients)
    return ProxyFigures(
        pools=pools,
        host_pools=[
            host_pool_figures(house, pool, now)
            for primary in house.pools.values()
            for pool in list_hosts(house, primary)
        ],
        databases=databases,
        hubs=[hub_figures(hub) for hub in house.hubs],
        hosts=host_figures(house) if house.settings.is_watched() else (),  # else nobody asks how it is
        routes=route_figures(house),
        features=feature_figures(house),
        query_stats=query_stats_figures(house.query_stats),
        traces=house.tracing.figures(),
        limits=limit_figures(house.limits.limiter, now),
        cache=cache_figures(house.caches),
        batches=house.batches.figures,
        lists=list_figures(house, databases, pools, totals),
        clients=totals,
        servers=total_servers(pools),
        client_disconnects=dict(house.registry.disconnects),
        login_failures=dict(house.registry.login_failures),
        login_limits=dict(house.registry.limits),
        max_user_connections=house.settings.pool.max_user_connections,
        tls_handshakes=dict(house.count_handshakes()),
        log_lines=count_unwritten(),
        max_client_conn=house.settings.pool.max_client_conn,
        uptime_s=now - house.started_at,
    )


def query_stats_figures(stats: QueryStats | None) -> QueryStatsFigures | None:
    if stats is None:
        return None
    return QueryStatsFigures(
        entries=len(stats.ring),
        memory_bytes=stats.memory,
        evicted=stats.evicted,
        other_calls=stats.other.since.calls,
    )


# --- clients ---


def client_state(client: Client) -> str:
    """PgBouncer's word for it."""
    if client in client.inbound.room.waiting:
        return "waiting"
    return "active" if client.server is not None else "idle"


def client_states(house: House) -> Counter[tuple[Pool, str]]:
    """How many clients of each pool are in each state."""
    clients = (login.client for login in house.registry)
    return Counter((client.pool, client_state(client)) for client in clients if client is not None)


def client_pins(house: House) -> dict[Pool, Counter[str]]:
    """How many clients of each pool keep a server beyond their transaction, by reason."""
    found: dict[Pool, Counter[str]] = {}
    for login in house.registry:
        if login.client is not None and login.client.state.pins:
            found.setdefault(login.client.pool, Counter()).update(login.client.state.pins.keys())
    return found


def total_clients(house: House, clients: Mapping[tuple[Pool, str], int]) -> dict[str, int]:
    totals = dict.fromkeys(("active", "idle", "waiting", "login", "console", "replication"), 0)
    for (_, state), number in clients.items():
        totals[state] += number
    for login in house.registry:
        if login.client is None:
            totals["login" if login.heir is None else login.heir.kind] += 1
    return totals


# --- pools ---


def pool_figures(
    pools: Sequence[Pool], clients: Mapping[tuple[Pool, str], int], pins: Mapping[str, int], now: float
) -> PoolFigures:
    """The first pool is the primary's, the others those to replicas that answer the same clients.

    Of cancel requests only those on their way to a server are known.
    """
    pool = pools[0]
    cancels = sum(server.upkeep.cancels for pool in pools for server in pool.servers())
    states = [sum(len(pool.lists[state]) for pool in pools) for state in range(CLOSED)]
    return PoolFigures(
        database=pool.database,
        user=pool.user,
        stats=pool.stats,
        cl_active=clients.get((pool, "active"), 0) + clients.get((pool, "idle"), 0),
        cl_waiting=sum(len(pool.waiting) for pool in pools),
        cl_active_cancel_req=cancels,
        sv_active=states[ACTIVE],
        sv_active_cancel=cancels,
        sv_being_canceled=states[BEING_CANCELED],
        sv_idle=states[IDLE],
        sv_tested=states[TESTED],
        sv_login=sum(pool.opening for pool in pools),
        maxwait_us=int(1e6 * max(longest_wait(pool, now) for pool in pools)),
        pins=pins,
        refusals=dict(pool.tenant.stats.refusals),
        limits=dict(pool.tenant.stats.limits),
        pool_mode=pool.settings.mode,
    )


def host_pool_figures(house: House, pool: Pool, now: float) -> HostPoolFigures:
    servers = {NAMES[state]: len(pool.lists[state]) for state in (ACTIVE, IDLE, TESTED, BEING_CANCELED)}
    return HostPoolFigures(
        database=pool.database,
        user=pool.user,
        host=house.host_of(pool),
        size=pool.settings.size,
        waiting=len(pool.waiting),
        longest_wait_s=longest_wait(pool, now),
        servers={**servers, "login": pool.opening},
    )


def longest_wait(pool: Pool, now: float) -> float:
    """Seconds that the first in the queue has waited."""
    since: float = pool.waiting.oldest() if pool.waiting else now
    return max(0.0, now - since)


def total_servers(pools: Iterable[PoolFigures]) -> dict[str, int]:
    totals: Counter[str] = Counter()
    for pool in pools:
        totals.update(
            active=pool.sv_active,
            idle=pool.sv_idle,
            tested=pool.sv_tested,
            being_canceled=pool.sv_being_canceled,
            login=pool.sv_login,
        )
    return dict(totals)


# --- listening ---


def hub_figures(hub: Hub) -> HubFigures:
    return HubFigures(
        database=hub.database,
        connections=count_connections(hub),
        channels=len(hub.channels),
        listeners=len(hub.subscriptions.names),
        notifications=hub.received,
        delivered=hub.delivered,
        losses=hub.losses,
    )


def count_connections(hub: Hub) -> int:
    return hub.pool.size() if hub.pool is not None else 0


# --- databases ---


def database_names(house: House) -> list[str]:
    """Those that are configured, and those that somebody uses."""
    primary = house.settings.primary.url
    listed = [primary.dbname] if primary is not None and primary.dbname else []
    configured = [name for name in house.settings.databases if name != "*"]
    return list(dict.fromkeys([*listed, *configured, *(pool[0] for pool in house.pools)]))


def list_databases(house: House) -> list[DatabaseFigures]:
    return [database_figures(house, name) for name in database_names(house)]


def database_figures(house: House, name: str) -> DatabaseFigures:
    host, port, dbname = place(house, name)
    limits = house.settings.pool_for(name, "")
    return DatabaseFigures(
        name=name,
        host=host,
        port=port,
        database=dbname,
        force_user=house.settings.user_for(name, ""),
        pool_mode=limits.mode,
        pool_size=limits.size,
        min_pool_size=limits.min_pool_size,
        reserve_pool=limits.reserve_size,
        server_lifetime_s=int(limits.server_lifetime),
        max_connections=limits.max_db_connections,
        current_connections=house.quotas.used("max_db_connections", name),
        max_client_connections=limits.max_db_client_connections,
        current_client_connections=house.registry.databases.get(name, 0),
        paused=house.is_paused(name),
        disabled=name in house.registry.disabled,
    )


def place(house: House, database: str) -> tuple[str, int, str]:
    """Host, port and the database's name there."""
    try:
        host = house.settings.server_for(database)
    except ConfigurationError:
        return NOWHERE
    return host.host, host.port, host.dbname


def count_servers(pool: PoolFigures) -> int:
    return pool.sv_active + pool.sv_idle + pool.sv_tested + pool.sv_being_canceled + pool.sv_login


# --- lists ---


def user_names(house: House) -> list[str]:
    """Those who may log in, and those whom `auth.type = trust` let in."""
    return list(dict.fromkeys([*house.users, *(user for _, user in house.pools)]))


def list_figures(
    house: House,
    databases: Sequence[DatabaseFigures],
    pools: Sequence[PoolFigures],
    clients: Mapping[str, int],
) -> dict[str, int]:
    """SHOW LISTS. We keep no spare objects, and have no peers and no DNS zones: their rows are 0."""
    names = names_here()
    return {
        "databases": len(databases),
        "users": len(user_names(house)),
        "peers": 0,
        "pools": len(pools),
        "peer_pools": 0,
        "free_clients": 0,
        "used_clients": sum(clients.values()) - clients["login"],
        "login_clients": clients["login"],
        "free_servers": 0,
        "used_servers": sum(map(count_servers, pools)) + sum(map(count_connections, house.hubs)),
        "dns_names": len(names.known),
        "dns_zones": 0,
        "dns_queries": names.pending(),
        "dns_pending": 0,
    }
