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
from dbproxy.wire.extended import cut, length_at, parse_parts
from dbproxy.wire.startup import parse_error_response

_RETURNS = (b"SELECT", b"FETCH")


def read_facts(client: Connection, route: Route, request: Request, failed: bool) -> Facts:
    """Of a request that the client's server has just answered."""
    server: Server = client.server  # type: ignore[assignment]  # which has answered
    rescue = route.detour if route.detours else None
    begun = server.loan.since if rescue is None else rescue.since
    rows, affected, statements = count_rows(server.relay)
    host = server.pool.host
    address, port = server.backend.endpoint
    return Facts(
        parse_error_response(server.relay.error).get("C", "") if failed else "",
        rows,
        affected,
        statements,
        max(0.0, begun - request.arrived),
        address,
        0 if address.startswith("/") else port,
        host.name if host is not None else PRIMARY,
        "replica" if host is not None else PRIMARY,
        host.lag_seconds if host is not None else 0.0,
        route.reader.reason if route.judge.router is not None else "",
        rescue,
        server.dialogue.traces.pins,
        is_prepared(request),
        request.executes,
        request.aged,
    )


def is_prepared(request: Request) -> bool:
    """Whether it has executed a statement with a name."""
    chunk, at = request.chunk, request.at
    if at < 0:
        return bool(chunk)
    parts = parse_parts(chunk, at, at + length_at(chunk, at)) if chunk[at] == ord("P") else None
    return parts is not None and bool(parts[0])


def count_rows(relay: Relay) -> tuple[int, int, int]:
    """Rows that were returned, rows that were written, and statements: of the answer that has just ended.

    -1: none was told, or part of the answer is not there any more.
    """
    framer = relay.framer
    returned = written = -1
    statements = 0
    for number in range(framer.count):
        mark = framer.mark_at(number)
        kind = mark & 255
        at = mark >> 8
        if at >= relay.ready_at:
            break
        if kind == ord("Z"):  # of the answer before it
            returned = written = -1
            statements = 0
        elif kind == ord("C"):
            statements += 1
            tag = cut(framer.chunk, at + 5, at + length_at(framer.chunk, at) - 1)
            rows = tag[tag.rfind(b" ") + 1 :]
            if not rows.isdigit():
                continue
            if tag.startswith(_RETURNS):
                returned = max(returned, 0) + int(rows)
            else:
                written = max(written, 0) + int(rows)
    return returned, written, statements
