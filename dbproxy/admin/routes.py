"""SHOW HOSTS, HOST_POOLS, ROUTES and RESCUES: the cluster's hosts, and what was routed where.

PgBouncer knows no hosts, so these tables are ours.
"""

from collections import Counter
from collections.abc import Iterator
from time import monotonic

from dbproxy.admin.connections import show_time, wall_clock
from dbproxy.admin.figures import longest_wait
from dbproxy.admin.hosts import host_figures, route_figures
from dbproxy.admin.house import House, list_pools
from dbproxy.admin.table import Table, Value, columns
from dbproxy.cluster.member import Member
from dbproxy.observe.figures import HostFigures
from dbproxy.pool.pool import Pool
from dbproxy.pool.states import ACTIVE, BEING_CANCELED, IDLE, TESTED
from dbproxy.routing.lsn import format_lsn
from dbproxy.routing.router import TOO_OFTEN, Router

HOSTS = columns(
    "name:s host:s port:i role:s state:s since:s lsn:s timeline:i lag_bytes:q lag_seconds:N share:N reads:q active:i "
    "latency_us:q p99_us:q servers:i failures:i last_error:s differing_settings:s"
)
HOST_POOLS = columns(
    "database:s user:s host:s cl_waiting:i sv_active:i sv_being_canceled:i sv_idle:i sv_tested:i sv_login:i "
    "maxwait_us:q last_error:s"
)
ROUTES = columns("database:s user:s host:s reason:s count:q share:N")
RESCUES = columns("database:s user:s host:s reason:s count:q statement:s")


# --- hosts ---


def show_hosts(house: House) -> Table:
    figures = host_figures(house)
    reads = sum(host.reads for host in figures)
    return Table(
        HOSTS,
        [_host_row(member, host, reads) for member, host in zip(house.cluster.members, figures, strict=True)],
    )


def _host_row(member: Member, host: HostFigures, reads: int) -> tuple[Value, ...]:
    return (
        member.name,
        member.url.host,
        member.url.port,
        host.role,
        host.state,
        show_time(wall_clock(member.since)) if member.since else "",
        format_lsn(member.position.lsn) if member.position.lsn else "",
        member.position.timeline or None,
        host.lag_bytes if member.health.heard else None,
        f"{host.lag_seconds:.3f}" if member.health.heard else None,
        show_share(host.reads, reads),
        host.reads,
        host.active,
        int(host.latency_s * 1e6),
        int(member.load.p99 * 1e6),
        host.servers,
        member.health.failures,
        member.health.last_error,
        ", ".join(sorted(member.differing)),
    )


def show_share(part: int, whole: int) -> str:
    """In percent."""
    return f"{100 * part / whole:.1f}" if whole else "0.0"


def show_host_pools(house: House) -> Table:
    """What is one row of SHOW POOLS, by host."""
    pools = [pool for pool in list_pools(house, "") if pool.host or (pool.database, pool.user) in house.pools]
    return Table(HOST_POOLS, (_pool_row(house, pool, monotonic()) for pool in pools))


def _pool_row(house: House, pool: Pool, now: float) -> tuple[Value, ...]:
    return (
        pool.database,
        pool.user,
        house.host_of(pool),
        len(pool.waiting),
        *(len(pool.lists[state]) for state in (ACTIVE, BEING_CANCELED, IDLE, TESTED)),
        pool.opening,
        int(1e6 * longest_wait(pool, now)),
        pool.last_error.message if pool.last_error is not None else "",
    )


# --- routes ---


def show_routes(house: House) -> Table:
    """Where requests went; the most frequent first."""
    return Table(
        ROUTES,
        (
            (
                route.database,
                route.user,
                host,
                reason,
                count,
                show_share(count, sum(route.decisions.values())),
            )
            for route in route_figures(house)
            for (host, reason), count in Counter(route.decisions).most_common()
        ),
    )


def show_rescues(house: House) -> Table:
    """What replicas could not answer, and the statements that go to the primary for it, without their literals."""
    return Table(RESCUES, [row for router in house.routers.values() for row in _rescue_rows(router)])


def _rescue_rows(router: Router) -> Iterator[tuple[Value, ...]]:
    pool = router.primary
    for (host, reason), count in router.rescues.counts.most_common():
        yield pool.database, pool.user, host, reason, count, ""
    for shape, count in router.rescues.list_hopeless():
        yield pool.database, pool.user, "primary", TOO_OFTEN, count, shape.text
