"""What a client has asked for and is not answered yet, for a log line about it."""

from typing import Any

from dbproxy.pool.request import Request, find_oldest
from dbproxy.session.connection import Connection
from dbproxy.session.correlation import name_request, name_sent
from dbproxy.session.said import Said
from dbproxy.wire.extended import bind_name, cut, length_at, statement_text
from dbproxy.wire.framer import Framer


def describe_request(client: Connection, unfinished: Request | None, said: Said) -> dict[str, Any]:
    """For a log line: who the client is, and the ids of what it has asked for and is not answered yet."""
    return {**client.identity.describe(), **name_unanswered(client, unfinished, said)}


def name_unanswered(client: Connection, unfinished: Request | None, said: Said) -> dict[str, str]:
    """The ids of the oldest request that is not answered; {} if there is none, or it cannot be read."""
    try:
        return name_open(client, unfinished, said)
    except Exception:  # it may be a broken message, or our own bug, that the line is about
        return {}


def name_open(client: Connection, unfinished: Request | None, said: Said) -> dict[str, str]:
    inbound = client.inbound
    sent = find_sent(client)
    if sent is not None:
        return name_sent(sent, client.identity)
    arrived = unfinished.arrived if unfinished is not None else inbound.arrived
    if inbound.pending:
        _, framer, index = inbound.pending[-1]
        return name_request(find_text(framer, index, said), client.identity, arrived)
    if unfinished is not None:
        return name_request(statement_text(said.chunk, said.at), client.identity, arrived)
    return {}


def find_sent(client: Connection) -> Request | None:
    """The oldest request that its server has and has not answered."""
    return find_oldest(client.server.dialogue.pipeline) if client.server is not None else None


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
