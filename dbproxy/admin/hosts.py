"""What is known of the cluster's hosts, and what was routed, as figures."""

from collections import Counter

from dbproxy.admin.house import House, list_pools
from dbproxy.cluster.cluster import Cluster
from dbproxy.cluster.member import Member
from dbproxy.observe.figures import HostFigures, RouteFigures


def host_figures(house: House) -> list[HostFigures]:
    """One for each member of the cluster, in their order."""
    servers: Counter[str] = Counter()
    for pool in list_pools(house, ""):
        servers[house.host_of(pool)] += pool.size() - pool.opening
    return [_read_member(member, house.cluster, servers[member.name]) for member in house.cluster.members]


def _read_member(member: Member, cluster: Cluster, servers: int) -> HostFigures:
    return HostFigures(
        name=member.name,
        role=role_of(member, cluster),
        state=member.state,
        up=member.fit,
        lag_bytes=member.lag.bytes,
        lag_seconds=member.lag.seconds,
        reads=member.load.reads,
        active=member.load.active,
        latency_s=member.load.latency,
        servers=servers,
    )


def role_of(member: Member, cluster: Cluster) -> str:
    """There is one primary at most; what is writable beside it, or was before it was lost, is unknown."""
    if member is cluster.primary:
        return "primary"
    return "replica" if member.role == "replica" else "unknown"


def route_figures(house: House) -> list[RouteFigures]:
    """Copies: they are written down in another thread while requests are counted."""
    return [
        RouteFigures(
            database=database,
            user=user,
            decisions=dict(router.decisions),
            rescues=dict(router.rescues.counts),
        )
        for (database, user), router in house.routers.items()
    ]
