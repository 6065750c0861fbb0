"""What the page shows of one moment, for JSON: the figures of SHOW and /metrics, under their names.

Counters are told as they are; the page makes rates of two moments.
"""

from dataclasses import asdict
from heapq import nlargest, nsmallest
from itertools import islice
from math import isfinite
from time import time
from typing import Any

from dbproxy import __version__, compiled
from dbproxy.admin.figures import read_figures
from dbproxy.admin.hosts import host_figures
from dbproxy.admin.house import House, list_hosts
from dbproxy.observe.figures import HostFigures, PoolFigures, ProxyFigures
from dbproxy.pool.pool import Pool
from dbproxy.session.client import Client

POOLS = 100  # that are told: those with most waiting clients, then those with most clients
WAITERS = 10  # that are told: those who wait longest
Json = dict[str, Any]


def take_snapshot(house: House, now: float) -> Json:
    """`now` is monotonic seconds."""
    figures = read_figures(house, now)
    pools = nlargest(POOLS, figures.pools, key=lambda pool: (pool.cl_waiting, pool.sv_active, pool.cl_active))
    return {
        "at": round(time(), 3),
        "proxy": describe_proxy(house, figures),
        "watched": bool(house.settings.replicas),  # else nobody asks how the host is
        "hosts": [describe_host(house, host) for host in host_figures(house)],
        "pools": [describe_pool(house, pool) for pool in pools],
        "pools_left_out": len(figures.pools) - len(pools),
        "waiters": describe_waiters(house, now),
        "features": describe_features(figures),
        "paused": [database.name for database in figures.databases if database.paused],
    }


def describe_proxy(house: House, figures: ProxyFigures) -> Json:
    return {
        "version": __version__,
        "compiled": compiled(),
        "uptime_s": round(figures.uptime_s, 1),
        "paused": house.paused,
        "stopping": house.stopping,
        "clients": figures.clients,
        "servers": figures.servers,
        "max_client_conn": figures.max_client_conn,
    }


def describe_host(house: House, host: HostFigures) -> Json:
    addresses = {member.name: member.url.address for member in house.cluster.members}
    lag = round(host.lag_seconds, 3) if isfinite(host.lag_seconds) else None
    return {**asdict(host), "address": addresses.get(host.name, ""), "lag_seconds": lag}


def describe_pool(house: House, figures: PoolFigures) -> Json:
    pool = house.pools[figures.database, figures.user]
    return {
        "database": figures.database,
        "user": figures.user,
        "mode": figures.pool_mode,
        "size": sum(one.settings.size for one in list_hosts(house, pool)),
        "cl_active": figures.cl_active,
        "cl_waiting": figures.cl_waiting,
        "sv_active": figures.sv_active,
        "sv_idle": figures.sv_idle,
        "sv_other": figures.sv_tested + figures.sv_being_canceled + figures.sv_login,
        "maxwait_us": figures.maxwait_us,
        "pins": dict(figures.pins),
        "queries": figures.stats.query_count,
        "errors": figures.stats.error_count,
        "last_error": pool.last_error.message if pool.last_error is not None else "",
    }


def describe_waiters(house: House, now: float) -> list[Json]:
    """Clients that wait for a server, the longest first."""
    pools = [pool for primary in house.pools.values() for pool in list_hosts(house, primary)]
    first = [
        (since, pool, borrower)
        for pool in pools
        for borrower, since in islice(pool.waiting.items(), WAITERS)
        if isinstance(borrower, Client)
    ]
    longest = nsmallest(WAITERS, first, key=lambda waiter: waiter[0])
    return [describe_waiter(house, pool, client, now - since) for since, pool, client in longest]


def describe_waiter(house: House, pool: Pool, client: Client, seconds: float) -> Json:
    who = client.identity
    return {
        "client": client.id,
        "database": who.database,
        "user": who.user,
        "application_name": client.news.reported.get("application_name", who.application_name),
        "address": f"{who.address}:{who.port}" if who.port else who.address,
        "host": house.host_of(pool),
        "wait_us": int(1e6 * max(0.0, seconds)),
    }


def describe_features(figures: ProxyFigures) -> list[Json]:
    """Where each stands, and how the sessions with it compare to those without."""
    return [asdict(arm) for arm in figures.features]
