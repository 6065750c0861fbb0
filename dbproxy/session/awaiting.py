"""The statement that a client waits with, for whoever looks: in what is parked, or in what the client has prepared."""

from dbproxy.session.client import Client
from dbproxy.wire.extended import bind_name, statement_text, target_name


def awaited_text(client: Client) -> bytes:
    """The SQL of the message that waits; b"" if that has none, or names what is not known."""
    pending = client.inbound.pending
    if not pending:
        return b""
    _, framer, index = pending[-1]
    if index >= framer.count:
        return b""
    mark = framer.mark_at(index)
    kind, at = mark & 255, mark >> 8
    if kind in b"QP":
        return statement_text(framer.chunk, at)
    if kind == ord("B"):
        where = bind_name(framer.chunk, at, framer.end)
        return _prepared_text(client, framer.chunk[slice(*where)]) if where is not None else b""
    if kind == ord("D"):
        return _prepared_text(client, target_name(framer.chunk, at, framer.end) or b"")
    return client.text_at_hand()


def _prepared_text(client: Client, name: bytes) -> bytes:
    prepared = client.prepared
    if not name:
        body = prepared.unnamed.body
        return statement_text(body, -1) if body is not None else b""
    statement = prepared.statements.get(name)
    if statement is not None:
        return statement_text(statement.body, -1)
    return prepared.by_sql.get(name, b"")
