"""The ids of a request, for every log line about it: those that its client has written into the text (sql.tags).

A request that brings none has one of ours: the client's number, and when the request came, in microseconds since the
client did, as hexadecimal digits. What comes in one breath, as a pipeline does, shares it.
"""

from typing import Any

from dbproxy.pool.request import Request
from dbproxy.session.connection import Connection
from dbproxy.session.identity import Identity
from dbproxy.session.said import Said
from dbproxy.sql.tags import read_tags, trace_id
from dbproxy.wire.extended import bind_name, cut, length_at, statement_text
from dbproxy.wire.framer import Framer

IDS = frozenset({"traceparent", "request_id", "correlation_id"})  # each of them is enough


def name_request(text: bytes, client: Identity, arrived: float) -> dict[str, str]:
    """`text` is the request's SQL, as it came; `arrived`: monotonic seconds."""
    found = read_tags(text)
    if "traceparent" in found:
        found["trace_id"] = trace_id(found["traceparent"])
    if IDS.isdisjoint(found):
        found["request_id"] = f"{client.id}-{int((arrived - client.connected_at) * 1e6):x}"
    return found


def describe_request(client: Connection, unfinished: Request | None, said: Said) -> dict[str, Any]:
    """For a log line: who the client is, and the ids of what it has asked for and is not answered yet."""
    who = client.identity.describe()
    try:
        asked = find_open(client, unfinished, said)
    except Exception:  # it may be a broken message, or our own bug, that the line is about
        return who
    return who if asked is None else {**who, **name_request(*asked)}


def find_open(
    client: Connection, unfinished: Request | None, said: Said
) -> tuple[bytes, Identity, float] | None:
    """The oldest request that is not answered: its text, whose, and when it came; None if there is none."""
    server, inbound = client.server, client.inbound
    if server is not None:
        pipeline = server.dialogue.pipeline
        for due in pipeline.notes[pipeline.head :]:
            if isinstance(due, Request):
                return statement_text(due.chunk, due.at), client.identity, due.arrived
    arrived = unfinished.arrived if unfinished is not None else inbound.arrived
    if inbound.pending:
        _, framer, index = inbound.pending[-1]
        return find_text(framer, index, said), client.identity, arrived
    if unfinished is not None:
        return statement_text(said.chunk, said.at), client.identity, arrived
    return None


def find_text(framer: Framer, index: int, said: Said) -> bytes:
    """Of the request that begins at mark `index` and has not been sent: the text that it brings."""
    chunk = framer.chunk
    for number in range(index, framer.count):
        mark = framer.mark_at(number)
        kind, at = mark & 255, mark >> 8
        if kind == ord("Q") or kind == ord("P"):
            return statement_text(chunk, at)
        if kind == ord("B"):
            where = bind_name(chunk, at, min(at + length_at(chunk, at), framer.end))
            named = where is not None and cut(chunk, *where) == said.name
            return statement_text(said.chunk, said.at) if named else b""
        if kind in b"SF":
            break
    return b""
