"""SHOW WAITS and HOLDERS: who waits for what, and who holds it. PgBouncer does not know them.

A client that waits for a server waits for any of its pool's: a row of WAITS names one of those who hold them longest.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from time import monotonic

from dbproxy.admin.held import explain_hold, list_crowded
from dbproxy.admin.house import House, list_hosts
from dbproxy.admin.table import Table, Value, columns, int4
from dbproxy.limits.subject import Subject
from dbproxy.observe.slowlog import show_statement
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.holders import NAMED, Holder, list_holders
from dbproxy.pool.pool import Pool
from dbproxy.session.awaiting import awaited_text, is_held, name_wait
from dbproxy.session.client import Client
from dbproxy.session.wait import NAMES, NOT, SERVER

HOLDERS = columns(
    "database:s user:s host:s client:i application_name:s server:i server_pid:i state:s state_seconds:N "
    "held_seconds:N pins:s waiting:i statement:s limit:s held_back:i"
)
WAITS = columns(
    "database:s user:s host:s client:i application_name:s waits_for:s position:i wait:i wait_us:i statement:s "
    "holders:i holder:i holder_application_name:s server:i server_pid:i holder_state:s state_seconds:N "
    "held_seconds:N pins:s holder_statement:s reason:s"
)
NOBODY: tuple[Value, ...] = (None,) * 9


def show_holders(house: House) -> Table:
    """A row for each server that is lent; in each pool the longest first. `waiting`: clients of that pool.

    `limit`: who may have no more transactions open, and so many requests are `held_back` until one like this ends.
    """
    crowded = list_crowded(house)
    return Table(HOLDERS, (row for pool in _list_lent(house) for row in _holder_rows(house, pool, crowded)))


def _holder_rows(house: House, pool: Pool, crowded: Mapping[int, Subject]) -> Iterator[tuple[Value, ...]]:
    whose = (pool.database, pool.user, house.host_of(pool))
    book = house.limits.limiter.book
    for holder in list_holders(pool, monotonic()):
        client, name, server, pid, state, lasting, held, pins, statement = _show(holder)
        subject = crowded.get(holder.client)
        limit = (book.name(subject), len(subject.queue)) if subject is not None else (None, 0)
        yield (
            *whose,
            client,
            name,
            server,
            pid,
            state,
            lasting,
            held,
            pins,
            len(pool.waiting),
            statement,
            *limit,
        )


def show_waits(house: House) -> Table:
    """A row for each client that waits, and each of the `NAMED` who hold what it waits for longest."""
    now = monotonic()
    return Table(WAITS, chain(_server_rows(house, now), _other_rows(house, now)))


def _server_rows(house: House, now: float) -> Iterator[tuple[Value, ...]]:
    """Those who wait for a server: by pool, the first in the queue first."""
    for pool in _list_lent(house):
        if not pool.waiting:
            continue
        shown = [_show(holder) for holder in list_holders(pool, now, NAMED)]
        lent = len(pool.active)
        for position, (borrower, since) in enumerate(list(pool.waiting.items()), 1):
            if borrower not in pool.waiting:  # served while the rows before were sent
                continue
            wait = _describe_wait(borrower, NAMES[SERVER], position, now - since)
            for holder in shown or [NOBODY]:
                yield pool.database, pool.user, house.host_of(pool), *wait, lent, *holder, None


def _other_rows(house: House, now: float) -> Iterator[tuple[Value, ...]]:
    """Those who wait for something else: a limit, a fresh replica, an answer, a task beside the data path."""
    for login in house.registry:
        client = login.client
        if client is None or client.inbound.wait in (NOT, SERVER):
            continue
        host = house.host_of(client.server.pool) if client.server is not None else ""
        whose = (client.pool.database, client.pool.user, host)
        wait = _describe_wait(client, name_wait(client), None, now - client.inbound.arrived)
        if not is_held(client):
            yield *whose, *wait, 0, *NOBODY, None
            continue
        held = explain_hold(house, client, now)
        for holder in [_show(holder) for holder in held.holders] or [NOBODY]:
            yield *whose, *wait, held.running, *holder, held.reason


def _list_lent(house: House) -> list[Pool]:
    """The pools that clients borrow from."""
    return [pool for primary in list(house.pools.values()) for pool in list_hosts(house, primary)]


def _describe_wait(borrower: Borrower, what: str, position: int | None, seconds: float) -> tuple[Value, ...]:
    number, name = borrower.introduce()
    text = awaited_text(borrower) if isinstance(borrower, Client) else b""
    seconds = max(0.0, seconds)
    return number, name, what, position, int(seconds), int(seconds % 1 * 1e6), show_statement(text)


def _show(holder: Holder) -> tuple[Value, ...]:
    return (
        holder.client,
        holder.name,
        holder.server,
        int4(holder.pid),
        holder.state,
        f"{holder.lasting:.3f}",
        f"{holder.held:.3f}",
        ",".join(holder.pins),
        holder.statement,
    )
