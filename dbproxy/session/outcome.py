"""How a request was answered, as a span tells it: read once it is over, off what client and server know.

Called only for requests that become spans.
"""

from dbproxy.cluster.member import PRIMARY
from dbproxy.observe.record import Facts
from dbproxy.pool.relay import Relay
from dbproxy.pool.request import Request
from dbproxy.pool.server import Server
from dbproxy.session.connection import Connection
from dbproxy.session.route import Route
from dbproxy.wire.extended import length_at, parse_parts
from dbproxy.wire.reply import NO_ROWS, read_rows, read_sqlstate

RETURNS = b"SF"  # SELECT, FETCH: no other tag with a number begins with these letters


def read_facts(client: Connection, route: Route, request: Request, failed: bool) -> Facts:
    """Of a request that the client's server has just answered."""
    server: Server = client.server  # type: ignore[assignment]  # which has answered
    rescue = route.detour if route.detours else None
    begun = server.loan.since if rescue is None else rescue.since
    rows, affected, statements = count_rows(server.relay)
    if request.executes and server.loan.use.last > statements:  # the tags of the others came earlier
        rows, affected, statements = NO_ROWS, NO_ROWS, server.loan.use.last
    facts = Facts()
    facts.sqlstate = read_sqlstate(server.relay.error) if failed else ""
    facts.rows, facts.affected, facts.batch = rows, affected, statements
    facts.wait = max(0.0, begun - request.arrived)
    facts.address, facts.port = server.backend.endpoint
    if facts.address.startswith("/"):
        facts.port = 0
    host = server.pool.host
    if host is None:
        facts.host = facts.role = PRIMARY
    else:
        facts.host, facts.role, facts.lag = host.name, "replica", host.lag.seconds
    if route.judge.router is not None:
        facts.reason = route.reader.reason
    facts.rescue = rescue
    facts.pins = server.dialogue.traces.pins
    facts.prepared = is_prepared(request)
    facts.executes, facts.aged = request.executes, request.aged
    return facts


def is_prepared(request: Request) -> bool:
    """Whether it has executed a statement with a name."""
    chunk, at = request.chunk, request.at
    if at < 0:
        return bool(chunk)
    parts = parse_parts(chunk, at, at + length_at(chunk, at)) if chunk[at] == ord("P") else None
    return parts is not None and bool(parts[0])


def count_rows(relay: Relay) -> tuple[int, int, int]:
    """Rows that were returned, rows that were written, and statements: of the answer that has just ended.

    NO_ROWS: none was told, or part of the answer is not there any more.
    """
    framer = relay.framer
    returned = written = NO_ROWS
    statements = 0
    for number in range(framer.count):
        mark = framer.mark_at(number)
        kind = mark & 255
        at = mark >> 8
        if at >= relay.ready_at:
            break
        if kind == ord("Z"):  # of the answer before it
            returned = written = NO_ROWS
            statements = 0
        elif kind == ord("C"):
            statements += 1
            rows = read_rows(framer.chunk, at)
            if rows == NO_ROWS:
                continue
            if framer.chunk[at + 5] in RETURNS:
                returned = max(returned, 0) + rows
            else:
                written = max(written, 0) + rows
    return returned, written, statements


def count_kept_rows(data: bytes) -> int:
    """Rows of an answer that no server has given; NO_ROWS: none was told."""
    at = data.rfind(b"C\0\0\0")
    whole = at >= 0 and 8 <= length_at(data, at) <= len(data) - at
    return read_rows(data, at) if whole else NO_ROWS
