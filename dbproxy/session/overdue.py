"""Queries and transactions that take too long: `query_timeout` and `transaction_timeout`.

The janitor looks at the servers that are lent, a few times a second; nothing is noted for it on a query's way. A query
that is overdue is cancelled on its server as its client would cancel it, and the client gets the error instead of
PostgreSQL's word for that (pool.failure). Only if the server does not obey the client is disconnected, as PgBouncer
does at once. A transaction that is overdue costs its client the connection, as PostgreSQL 17 has it.
"""

import structlog

from dbproxy.errors import AdminShutdown, ProxyError, QueryTimeout
from dbproxy.pool.holders import find_request
from dbproxy.pool.janitor import isolated
from dbproxy.pool.loan import Overdue
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.session.client import Client
from dbproxy.session.wait import TASK
from dbproxy.wire import build

log = structlog.get_logger(__name__)


def sweep_overdue(pool: Pool, now: float) -> None:
    """Of all servers of the pool that are lent to clients."""
    with isolated(database=pool.database, user=pool.user):
        limits = pool.settings
        if not limits.query_timeout and not limits.transaction_timeout:
            return
        for server in list(pool.active):
            client = server.loan.client
            if isinstance(client, Client) and not client.closed:
                with isolated(client=client.id):
                    judge_loan(client, server, now)


def judge_loan(client: Client, server: Server, now: float) -> None:
    limits, loan = server.pool.settings, server.loan
    if client.is_idle() or client.inbound.wait == TASK:  # what waits for its limit has not begun
        loan.xact_start = now  # of the next one, at the earliest
        return
    if 0 < limits.transaction_timeout <= now - loan.xact_start:
        end(
            client,
            "transaction_timeout",
            AdminShutdown("terminating connection due to transaction timeout", sqlstate="25P04"),
        )
    elif 0 < limits.query_timeout <= now - begun_at(client, server) and not server.dialogue.only_ours():
        end_query(client, server, now)


def begun_at(client: Client, server: Server) -> float:
    """When the query at hand came, or the answer ahead of it was over."""
    request = find_request(server) or client.intake.unfinished
    arrived: float = request.arrived if request is not None else client.inbound.arrived
    return max(arrived, server.loan.answered_at) if server.loan.served else arrived


def end_query(client: Client, server: Server, now: float) -> None:
    """Cancel it; or, if the server has not obeyed, give up the client."""
    limits, overdue = server.pool.settings, server.loan.find_overdue()
    if client.lending.lacks_flush():
        client.lending.flush()  # half a batch may have been carried out: then it is its client that is late
    elif overdue is None:
        tell(client, "query_timeout", QueryTimeout(limits.query_timeout))
        error = build.error_response(QueryTimeout(limits.query_timeout))
        server.loan.overdue = Overdue(now, error)
        if server.cancel():
            server.pool.cancel(server)
    elif 0 < limits.cancel_wait_timeout <= now - overdue.since and not client.is_silent():
        failure = QueryTimeout(
            limits.query_timeout,
            detail=f"The server did not cancel it within cancel_wait_timeout ({limits.cancel_wait_timeout:g} s).",
        )
        failure.severity = "FATAL"
        client.disconnect("query timeout", failure)


def end(client: Client, limit: str, error: ProxyError) -> None:
    """It is over a limit, which costs it the connection."""
    tell(client, limit, error)
    client.disconnect(error.message, error)
    if client.full and client.transport is not None:
        client.transport.abort()  # who reads nothing does not read this either


def tell(client: Client, limit: str, error: ProxyError) -> None:
    client.pool.stats.limits[limit] += 1
    log.warning("limit reached", limit=limit, sqlstate=error.sqlstate, **client.describe_request())
