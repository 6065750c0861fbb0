"""What the page shows of one moment, for JSON: the figures of SHOW and /metrics, under their names.

Counters are told as they are; the page makes rates of two moments.
"""

from collections import Counter
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
from dbproxy.limits.tally import OUTCOMES
from dbproxy.observe.figures import HostFigures, LimitFigures, PoolFigures, ProxyFigures
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.holders import NAMED, Holder, list_holders
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
        "watched": house.settings.is_watched(),  # else nobody asks how the host is
        "hosts": [describe_host(house, host) for host in host_figures(house)],
        "pools": [describe_pool(house, pool) for pool in pools],
        "pools_left_out": len(figures.pools) - len(pools),
        "waiters": describe_waiters(house, now),
        "features": describe_features(figures),
        "limits": describe_limits(figures.limits),
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
        "hosts": [
            {"host": house.host_of(one), "active": len(one.active), "size": one.settings.size}
            for one in list_hosts(house, pool)
        ],
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
    """Who waits for a server, the longest first; the first of each pool also tells who holds it up.

    Errands of our own are among them.
    """
    pools = [pool for primary in house.pools.values() for pool in list_hosts(house, primary)]
    first = [
        (since, pool, borrower) for pool in pools for borrower, since in islice(pool.waiting.items(), WAITERS)
    ]
    longest = nsmallest(WAITERS, first, key=lambda waiter: waiter[0])
    told: set[Pool] = set()
    waiters = []
    for since, pool, borrower in longest:
        holders = list_holders(pool, now, NAMED) if pool not in told else []
        told.add(pool)
        waiter = describe_waiter(house, pool, borrower, now - since)
        waiters.append(waiter | {"holders": [describe_holder(holder) for holder in holders]})
    return waiters


def describe_waiter(house: House, pool: Pool, borrower: Borrower, seconds: float) -> Json:
    """As SHOW WAITS has it."""
    number, name = borrower.introduce()
    who = borrower.identity if isinstance(borrower, Client) else None
    address = "" if who is None else f"{who.address}:{who.port}" if who.port else who.address
    return {
        "client": number,
        "database": pool.database,
        "user": pool.user,
        "application_name": name,
        "address": address,
        "host": house.host_of(pool),
        "wait_us": int(1e6 * max(0.0, seconds)),
    }


def describe_holder(holder: Holder) -> Json:
    """One of those who hold a server longest, as SHOW HOLDERS tells of it."""
    return {
        "client": holder.client,
        "application_name": holder.name,
        "state": holder.state,
        "state_us": int(1e6 * holder.lasting),
        "held_us": int(1e6 * holder.held),
        "pins": holder.pins,
        "statement": holder.statement,
    }


def describe_limits(limits: LimitFigures) -> Json:
    """What all tiers have decided, by outcome."""
    decided: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
    for counts in limits.decisions.values():
        decided.update(counts)
    shared = limits.shared
    return {"keys": limits.keys, "decided": dict(decided), "degraded": shared is not None and shared.degraded}


def describe_features(figures: ProxyFigures) -> list[Json]:
    """Where each stands, and how the sessions with it compare to those without."""
    return [asdict(arm) for arm in figures.features]
