"""Deadlines of pools: one sweep, a few times a second, compares numbers, so that no query needs a timer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, takewhile

import structlog

from dbproxy.errors import ProxyError, QueryTimeout, QueryWaitTimeout, TooManyWaiting
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.holders import NAMED, explain_wait, list_holders
from dbproxy.pool.pool import Pool
from dbproxy.pool.states import IDLE, TESTED

log = structlog.get_logger(__name__)

LISTED = 20  # clients that one log line names
LONG_WAIT = 5.0  # seconds from which on the log says who holds what is waited for, where there is no reserve
PINNED_WAIT = 1.0  # the same where servers are pinned: a reserve would be, too
TOLD_INTERVAL = 30.0  # seconds between two such lines of one pool


@contextmanager
def isolated(**whose: object) -> Iterator[None]:
    """A bug in one deadline is logged, and costs nobody else theirs."""
    try:
        yield
    except Exception:
        log.exception("internal error", task="janitor", **whose)


def sweep(pool: Pool, now: float, host: str = "") -> None:
    """Time out waiting clients, then idle, old and silent servers; open what is missing. `host`: where it leads."""
    for limit in (refuse_late_waiters, refuse_overdue_waiters, refuse_newest_waiters, tell_wait):
        with isolated(database=pool.database, user=pool.user):
            limit(pool, now, host)
    for deadline in (close_old_servers, check_quiet_servers):
        with isolated(database=pool.database, user=pool.user):
            deadline(pool, now)
    with isolated(database=pool.database, user=pool.user):
        pool.match(now)
    with isolated(database=pool.database, user=pool.user):
        pool.open_more(now)


def refuse(pool: Pool, client: Borrower, error: ProxyError) -> None:
    """The client waits no more, and gets the error."""
    with isolated(database=pool.database, user=pool.user):
        pool.leave(client)
        client.refuse(error)


def account(pool: Pool, host: str, limit: str, waited: Sequence[Borrower], now: float) -> str:
    """Why these are refused: who holds the servers that they wait for. Logged once for all clients of a sweep.

    Errands of our own among them are no clients; nor are logins, which are logged each.
    """
    if not waited:
        return ""
    with isolated(database=pool.database, user=pool.user):
        holders = list_holders(pool, now, NAMED)
        if clients := [client for client in waited if not client.ours]:
            pool.stats.limits[limit] += len(clients)
            numbers = [client.introduce()[0] for client in clients[:LISTED]]
            log.warning(
                "clients waited in vain",
                limit=limit,
                database=pool.database,
                user=pool.user,
                host=host,
                refused=len(clients),
                clients=[number for number in numbers if number],
                waiting=len(pool.waiting),
                holders=[holder.tell() for holder in holders],
            )
        return explain_wait(pool, holders)
    return ""  # a bug of ours costs no client its answer


def tell_wait(pool: Pool, now: float, host: str) -> None:
    """Say who holds the servers that somebody has waited for as long as would have the reserve opened."""
    if not pool.waiting or now - pool.told_at < TOLD_INTERVAL:
        return
    longest = now - pool.waiting.oldest()
    pinned = sum(1 for server in pool.active if server.dialogue.traces.pins)
    patience = pool.settings.reserve_timeout or LONG_WAIT
    if longest < (min(PINNED_WAIT, patience) if pinned else patience):
        return
    pool.told_at = now
    holders = list_holders(pool, now, NAMED)
    numbers = [client.introduce()[0] for client in islice(pool.waiting, LISTED)]
    log.warning(
        "clients wait for a server",
        database=pool.database,
        user=pool.user,
        host=host,
        waiting=len(pool.waiting),
        longest=round(longest, 3),
        clients=[number for number in numbers if number],
        reserve=max(0, pool.size() - pool.settings.size),
        pinned=pinned,
        holders=[holder.tell() for holder in holders],
        why=explain_wait(pool, ()),
    )


def refuse_late_waiters(pool: Pool, now: float, host: str) -> None:
    timeout = pool.settings.query_wait_timeout
    late = takewhile(lambda waiting: now - waiting[1] >= timeout > 0, pool.waiting.items())
    clients = [client for client, _ in late]
    detail = account(pool, host, "query_wait_timeout", clients, now)
    for client in clients:
        refuse(
            pool,
            client,
            QueryWaitTimeout(
                f"query_wait_timeout: no server connection became free within {timeout:g} s", detail=detail
            ),
        )


def refuse_overdue_waiters(pool: Pool, now: float, host: str) -> None:
    """The time that a query waits counts for `query_timeout`; an errand of our own is no query."""
    timeout = pool.settings.query_timeout
    late = takewhile(lambda waiting: now - waiting[1] >= timeout > 0, pool.waiting.items())
    clients = [client for client, _ in late if client.introduce()[0]]
    detail = account(pool, host, "query_timeout", clients, now)
    for client in clients:
        refuse(pool, client, QueryTimeout(timeout, detail=detail))


def refuse_newest_waiters(pool: Pool, now: float, host: str) -> None:
    """Refuse the clients beyond `max_waiting`: who came first keeps its place."""
    most = pool.settings.max_waiting
    clients = list(islice(pool.waiting, most, None)) if most else []
    detail = account(pool, host, "max_waiting", clients, now)
    for client in clients:
        refuse(
            pool,
            client,
            TooManyWaiting(
                f"max_waiting: {most} clients wait for a server connection already",
                detail=detail,
                hint="Try again later.",
            ),
        )


def close_old_servers(pool: Pool, now: float) -> None:
    """Close idle servers over `server_lifetime`, or over `server_idle_timeout` and beyond `min_pool_size`."""
    timeout = pool.settings.server_idle_timeout
    spare = pool.size() - pool.settings.min_pool_size
    for server in list(pool.idle):
        if now >= server.upkeep.expires_at:
            server.close("server_lifetime")
            spare -= 1
        elif timeout and spare > 0 and now - server.upkeep.used_at >= timeout:
            server.close("server_idle_timeout")
            spare -= 1


def check_quiet_servers(pool: Pool, now: float) -> None:
    """Ask servers idle for `server_check_delay` for a sign of life; close those that owe one."""
    delay = pool.settings.server_check_delay if pool.settings.server_check_query else 0.0
    patience = pool.settings.server_connect_timeout
    for server in list(pool.lists[TESTED]):
        if patience and now - max(server.upkeep.used_at, server.upkeep.checked_at) >= patience:
            server.close("no answer to a check or reset")
    for server in list(pool.lists[IDLE]):
        if delay and now - max(server.upkeep.used_at, server.upkeep.checked_at) >= delay:
            pool.check(server, now)
