"""What `/health/detailed` tells: hosts, pools, queues, versions, and what is degraded since when."""

import platform
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from dbproxy import __version__, compiled
from dbproxy.admin.connections import wall_clock
from dbproxy.admin.degradation import Degradation
from dbproxy.admin.features import feature_figures
from dbproxy.admin.figures import host_pool_figures, longest_wait, total_servers
from dbproxy.admin.hosts import role_of
from dbproxy.admin.house import House, list_pools
from dbproxy.cluster.cluster import Cluster
from dbproxy.cluster.member import Member
from dbproxy.observe.figures import ProxyFigures
from dbproxy.pool.pool import Pool
from dbproxy.session.awaiting import LIMIT, name_wait
from dbproxy.session.wait import NAMES, NOT

MOST_POOLS = 200  # those for which most clients wait come first
Json = dict[str, Any]


def describe_hosts(house: House, cluster: Cluster, now: float) -> list[Json]:
    connections: Counter[str] = Counter()
    for pool in list_pools(house, ""):
        connections[house.host_of(pool)] += pool.size() - pool.opening
    versions = server_versions(house)
    return [
        {
            **describe_host(member, cluster, now),
            "connections": connections[member.name],
            "version": versions.get(member.name, ""),
        }
        for member in cluster.members
    ]


def describe_host(member: Member, cluster: Cluster, now: float) -> Json:
    return {
        "name": member.name,
        "address": member.url.address,
        "role": role_of(member, cluster),
        "state": member.state,
        "last_transition": show_moment(member.since) if member.since else None,
        "in_state_s": round(now - member.since, 3) if member.since else None,
        "last_answer_s": round(now - member.health.heard_at, 3) if member.health.heard else None,
        "lag_s": round(member.lag.seconds, 3) if member.health.heard else None,
        "lag_bytes": member.lag.bytes if member.health.heard else None,
        "latency_s": round(member.load.latency, 6),
        "failures": member.health.failures,
        "last_error": member.health.last_error,
        "active_reads": member.load.active,
        "timeline": member.position.timeline or None,
        "differing_settings": sorted(member.differing),
    }


def server_versions(house: House) -> dict[str, str]:
    """By host: what its servers have said at login."""
    welcomes = ((house.host_of(pool), pool.welcome) for pool in list_pools(house, ""))
    return {host: welcome["server_version"] for host, welcome in welcomes if "server_version" in welcome}


def describe_pools(house: House, now: float) -> Json:
    """The pools, each host's apart; those that are left out are counted."""
    pools = sorted(list_pools(house, ""), key=lambda pool: -len(pool.waiting))
    return {
        "listed": [describe_pool(house, pool, now) for pool in pools[:MOST_POOLS]],
        "left_out": max(0, len(pools) - MOST_POOLS),
    }


def describe_pool(house: House, pool: Pool, now: float) -> Json:
    figures = host_pool_figures(house, pool, now)
    return {
        "database": pool.database,
        "user": pool.user,
        "host": figures.host,
        "mode": pool.settings.mode,
        "size": figures.size,
        "reserve_size": pool.settings.reserve_size,
        "servers": figures.servers,
        "waiting": figures.waiting,
        "longest_wait_s": round(figures.longest_wait_s, 3),
        "paused": pool.paused,
        "failures": pool.failures,
        "last_error": pool.last_error.message if pool.last_error is not None else "",
    }


def describe_queues(house: House, figures: ProxyFigures, now: float) -> Json:
    """Who waits for what: logins, and clients by what ends their wait."""
    waits: Counter[str] = Counter(dict.fromkeys((*(name for name in NAMES.values() if name), LIMIT), 0))
    for login in house.registry:
        if login.client is not None and login.client.inbound.wait != NOT:
            waits[name_wait(login.client)] += 1
    return {
        "logins": figures.clients["login"],
        "clients": dict(waits),
        "longest_wait_s": round(
            max((longest_wait(pool, now) for pool in list_pools(house, "")), default=0.0), 3
        ),
    }


def describe_degradations(dated: Iterable[tuple[Degradation, float]], now: float) -> list[Json]:
    return [
        {
            "what": one.what,
            "kind": one.kind,
            "reason": one.reason,
            "since": show_moment(since),
            "for_s": round(now - since, 3),
        }
        for one, since in dated
    ]


def describe_features(house: House) -> list[Json]:
    """Where each stands; once for each database and user."""
    return [
        {
            "feature": arm.feature,
            "database": arm.database,
            "user": arm.user,
            "mode": arm.mode,
            "percent": arm.percent,
        }
        for arm in feature_figures(house)
        if arm.name == "treated"
    ]


def describe_proxy(house: House, figures: ProxyFigures) -> Json:
    """What `/health` tells of the process."""
    return {
        "version": __version__,
        "uptime_s": round(figures.uptime_s, 3),
        "paused": house.paused,
        "clients": figures.clients,
        "servers": total_servers(figures.pools),
    }


@cache
def describe_versions() -> Json:
    return {"dbproxy": __version__, "compiled": compiled(), "python": platform.python_version()}


def show_moment(moment: float) -> str:
    """ISO 8601, of monotonic seconds."""
    return datetime.fromtimestamp(wall_clock(moment), UTC).isoformat(timespec="milliseconds")
