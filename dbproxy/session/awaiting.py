"""What a client waits for, and with which statement, for whoever looks: the text is in what is parked, or prepared."""

from dbproxy.pool.request import NO_TEXT
from dbproxy.session.client import Client
from dbproxy.session.wait import NAMES, TASK
from dbproxy.wire.extended import bind_name, cut, statement_text, target_name

LIMIT = "limit"  # beside the names of session.wait: what it waits for is that a limit lets it go


def name_wait(client: Client) -> str:
    """As operators are shown it; "" if it waits for nothing."""
    return LIMIT if is_held(client) else NAMES[client.inbound.wait]


def is_held(client: Client) -> bool:
    """Whether a limit holds it back."""
    passage, allowance = client.inbound.passage, client.inbound.allowance
    if client.inbound.wait != TASK or passage is None or allowance is None:
        return False
    return passage.passed < len(passage.gates) and passage.gates[passage.passed] is allowance.warden


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
        return statement_text(client.prepared.body_of(cut(framer.chunk, *where)), NO_TEXT) if where else b""
    if kind == ord("D"):
        name = target_name(framer.chunk, at, framer.end) or b""
        return statement_text(client.prepared.body_of(name), NO_TEXT)
    return client.text_at_hand()
