"""A client's unnamed statement on a server that has another one.

It is prepared there again. Meanwhile its tables may have become others: a client that was told its columns, and does
not ask anew, is refused rows of another shape, as PostgreSQL refuses them where it has the statement.
"""

from collections.abc import Set
from typing import Protocol

from dbproxy.pool.dues import RENEWED, REPLACE_UNNAMED, UNNAMED_PORTAL, Portal, new_bind
from dbproxy.pool.prepared import CHANGED
from dbproxy.pool.scopes import Scope
from dbproxy.pool.server import Server
from dbproxy.pool.stats import PoolStats
from dbproxy.session.readings import Readings
from dbproxy.sql.identity import Shape
from dbproxy.wire import build
from dbproxy.wire.extended import columns_key, is_described, write_bind, write_close, write_describe

BY_PORTAL = 1  # in `unnamed_told`: what the client's `portal_columns` say
FLUSH = build.flush()


class Unnamed(Protocol):
    """What a client's statements say of the unnamed one (session.statements, session.vocabulary)."""

    unnamed_told: int
    unnamed_changed: bool
    asks: bool
    executes: bool
    bound: Portal | None

    @property
    def unnamed(self) -> bytes | None: ...
    @property
    def unnamed_shape(self) -> Shape: ...
    @property
    def unnamed_scope(self) -> Scope: ...
    @property
    def portal_columns(self) -> bytes: ...
    @property
    def describing(self) -> Set[bytes]: ...
    @property
    def stats(self) -> PoolStats: ...
    @property
    def readings(self) -> Readings: ...


def move(own: Unnamed, server: Server) -> bytes:
    """Messages that make the server's unnamed statement this client's, or make it have none."""
    if own.unnamed is server.dialogue.statements.unnamed:
        return b""
    server.dialogue.statements.unnamed = own.unnamed
    if own.unnamed is None:
        server.dialogue.pipeline.skip(ord("C"), REPLACE_UNNAMED)
        return write_close(b"")
    own.stats.server_parse_count += 1
    return own.readings.parse(server, own.unnamed_scope, REPLACE_UNNAMED, b"", own.unnamed)


def bind(own: Unnamed, server: Server, chunk: bytes, at: int, start: int, stop: int) -> bytes:
    """A Bind where the server has another unnamed statement, or has had; `asks` is set if it waits for the columns."""
    own.executes = True
    again = own.unnamed is None or not own.unnamed_told or is_described(chunk, stop) or b"" in own.describing
    moves = own.unnamed is not server.dialogue.statements.unnamed
    if (own.unnamed_changed and not again) or (moves and own.readings.are_lost(own.unnamed_scope)):
        server.dialogue.pipeline.expect(ord("B"), new_bind(b"", CHANGED, None))
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


def learn(own: Unnamed, columns: int, full: int, renewed: bool) -> None:
    """It was described, to the client or (`renewed`) to us, where it was prepared again (wire.extended.columns_key)."""
    if not renewed:
        own.unnamed_told = full
        own.unnamed_changed = False
        return
    told = own.unnamed_told
    if told == BY_PORTAL:
        told = columns_key(b"", own.portal_columns, 0)
    own.unnamed_changed = told not in (0, columns, full)
