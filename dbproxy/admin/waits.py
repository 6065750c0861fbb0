"""SHOW WAITS and HOLDERS: who waits for what, and who holds it. PgBouncer does not know them.

A client that waits for a server waits for any of its pool's: a row of WAITS names one of those who hold them longest.
"""

from collections.abc import Iterator
from itertools import chain
from time import monotonic

from dbproxy.admin.house import House, list_hosts
from dbproxy.admin.table import Table, Value, columns
from dbproxy.observe.slowlog import show_statement
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.holders import NAMED, Holder, list_holders
from dbproxy.pool.pool import Pool
from dbproxy.session.awaiting import awaited_text
from dbproxy.session.client import Client
from dbproxy.session.wait import NAMES, NOT, SERVER

HOLDERS = columns(
    "database:s user:s host:s client:i application_name:s server:i server_pid:i state:s state_seconds:N "
    "held_seconds:N pins:s waiting:i statement:s"
)
WAITS = columns(
    "database:s user:s host:s client:i application_name:s waits_for:s position:i wait:i wait_us:i statement:s "
    "holders:i holder:i holder_application_name:s server:i server_pid:i holder_state:s state_seconds:N "
    "held_seconds:N pins:s holder_statement:s"
)
NOBODY: tuple[Value, ...] = (None,) * 9


def show_holders(house: House) -> Table:
    """A row for each server that is lent; in each pool the longest first. `waiting`: clients of that pool."""
    return Table(HOLDERS, (row for pool in _list_lent(house) for row in _holder_rows(house, pool)))


def _holder_rows(house: House, pool: Pool) -> Iterator[tuple[Value, ...]]:
    whose = (pool.database, pool.user, house.host_of(pool))
    for holder in list_holders(pool, monotonic()):
        client, name, server, pid, state, lasting, held, pins, statement = _show(holder)
        yield *whose, client, name, server, pid, state, lasting, held, pins, len(pool.waiting), statement


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
                yield pool.database, pool.user, house.host_of(pool), *wait, lent, *holder


def _other_rows(house: House, now: float) -> Iterator[tuple[Value, ...]]:
    """Those who wait for something else: a replica that is fresh enough, an answer, a task beside the data path."""
    for login in house.registry:
        client = login.client
        if client is None or client.inbound.wait in (NOT, SERVER):
            continue
        host = house.host_of(client.server.pool) if client.server is not None else ""
        since = now - client.inbound.arrived
        wait = _describe_wait(client, NAMES[client.inbound.wait], None, since)
        yield client.pool.database, client.pool.user, host, *wait, 0, *NOBODY


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
        holder.pid,
        holder.state,
        f"{holder.lasting:.3f}",
        f"{holder.held:.3f}",
        ",".join(holder.pins),
        holder.statement,
    )
