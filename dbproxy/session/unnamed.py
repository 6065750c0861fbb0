"""A client's unnamed statement on a server that has another one.

It is prepared there again. Meanwhile its tables may have become others: a client that was told its columns, and does
not ask anew, is refused rows of another shape, as PostgreSQL refuses them where it has the statement.
"""

from typing import TYPE_CHECKING

from dbproxy.pool.dues import RENEWED, REPLACE_UNNAMED, UNNAMED_PORTAL, Bind
from dbproxy.pool.prepared import CHANGED
from dbproxy.pool.server import Server
from dbproxy.wire import build
from dbproxy.wire.extended import columns_key, is_described, write_bind, write_close, write_describe

if TYPE_CHECKING:
    from dbproxy.session.statements import ClientStatements

BY_PORTAL = 1  # in `unnamed_told`: what the client's `portal_columns` say
FLUSH = build.flush()


def move(own: "ClientStatements", server: Server) -> bytes:
    """Messages that make the server's unnamed statement this client's, or make it have none."""
    if own.unnamed is server.dialogue.statements.unnamed:
        return b""
    server.dialogue.statements.unnamed = own.unnamed
    if own.unnamed is None:
        server.dialogue.pipeline.skip(ord("C"), REPLACE_UNNAMED)
        return write_close(b"")
    own.stats.server_parse_count += 1
    return own.readings.parse(server, own.unnamed_scope, REPLACE_UNNAMED, b"", own.unnamed)


def bind(own: "ClientStatements", server: Server, chunk: bytes, at: int, start: int, stop: int) -> bytes:
    """A Bind where the server has another unnamed statement, or has had; `asks` is set if it waits for the columns."""
    own.executes = True
    again = own.unnamed is None or not own.unnamed_told or is_described(chunk, stop) or b"" in own.describing
    moves = own.unnamed is not server.dialogue.statements.unnamed
    if (own.unnamed_changed and not again) or (moves and own.readings.are_lost(own.unnamed_scope)):
        server.dialogue.pipeline.expect(ord("B"), Bind.__new__(Bind).begin(b"", CHANGED, None))
        return write_bind(chunk, at, start, start, stop, CHANGED)
    ahead = move(own, server)
    if not again:
        own.asks = True
        own.stats.bind_count -= 1  # the Bind comes again
        server.dialogue.pipeline.skip(ord("D"), RENEWED)
        return ahead + write_describe(b"") + FLUSH
    own.unnamed_shape.count()
    own.bound = UNNAMED_PORTAL
    server.dialogue.pipeline.expect(ord("B"))
    return ahead + chunk[at:stop]


def learn(own: "ClientStatements", columns: int, full: int, renewed: bool) -> None:
    """It was described, to the client or (`renewed`) to us, where it was prepared again (wire.extended.columns_key)."""
    if not renewed:
        own.unnamed_told = full
        own.unnamed_changed = False
        return
    told = own.unnamed_told
    if told == BY_PORTAL:
        told = columns_key(b"", own.portal_columns, 0)
    own.unnamed_changed = told not in (0, columns, full)
