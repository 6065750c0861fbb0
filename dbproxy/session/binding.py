"""What a server is sent for a client's Bind.

It names a statement that the server may not have, or not with the columns that the client was told; and what that may
do is known only now, so what has to go ahead of it (session.state), or is put into it (session.answers), is said here.
"""

from dbproxy.errors import MessageTooLarge
from dbproxy.pool.dues import RENEWED, REPLACE_UNNAMED, UNNAMED_PORTAL, Portal, new_bind
from dbproxy.pool.parameters import NOTHING
from dbproxy.pool.preparation import compare, spell_prepare
from dbproxy.pool.prepared import CHANGED, NOWHERE, Statement
from dbproxy.pool.request import Refusal
from dbproxy.pool.server import Server
from dbproxy.session.names import FLUSH, Names
from dbproxy.session.readings import Readings
from dbproxy.session.series import Series
from dbproxy.session.state import SessionState
from dbproxy.session.vocabulary import Vocabulary
from dbproxy.sql.identity import Shape
from dbproxy.sql.statement import DISCARDS, SHOWS_NAMES
from dbproxy.sql.statement import Statement as Effects
from dbproxy.wire.extended import (
    OWN,
    bind_name,
    bind_parameters,
    bind_values,
    is_described,
    length_at,
    write_bind,
    write_close,
    write_describe,
    write_parse,
)

PDO = b"pdo_stmt_"  # how names of PDO's statements begin


class Binder:
    """Of one client."""

    def __init__(self, prepared: Vocabulary, series: Series, state: SessionState, names: Names) -> None:
        self.prepared = prepared
        self.series = series
        self.state = state
        self.names = names
        self.readings: Readings = names.readings
        self.stats = prepared.stats
        self.shares: bool = prepared.shares

    def bind(self, server: Server, chunk: bytes, at: int, stop: int) -> bytes | None:
        """What to send instead of it; None: the message as it is."""
        self.stats.bind_count += 1
        where = bind_name(chunk, at, stop) if self.shares else None
        if where is None:
            if self.shares and stop < at + length_at(chunk, at):
                raise MessageTooLarge(f"portal and statement name of a Bind are over {stop - at} bytes")
            self.series.executes = True
            server.dialogue.pipeline.expect(ord("B"))
            return None
        start, end = where
        if start == end:
            return self.bind_unnamed(server, chunk, at, start, stop)
        statement = self.prepared.find_called(chunk, start, end)
        name = self.prepared.called
        if statement is None:
            return self.fail(server, name, NOWHERE, chunk, at, start, end, stop)
        if shows_names(statement.shape):
            server.dialogue.given.contested = True
            return self.names.translate(self, server, ord("B"), chunk, at, stop)
        return self.bind_named(server, name, statement, chunk, at, start, end, stop)

    def bind_unnamed(self, server: Server, chunk: bytes, at: int, start: int, stop: int) -> bytes | None:
        unnamed, series = self.prepared.unnamed, self.series
        shape = unnamed.shape
        if unnamed.body is not None:
            series.said.bound(b"", unnamed.body)
        ahead = self.begin_harmful(server, shape, chunk, at, stop)
        if series.waits:
            return ahead
        new = self.answer(server, shape, unnamed.body, chunk, at, stop)
        series.executes = True
        if new:
            shape.count()
            return ahead + new
        if server.dialogue.statements.unnamed is not unnamed.body or unnamed.changed:
            return ahead + self.bind_elsewhere(server, chunk, at, start, stop)
        shape.count()
        series.bound = UNNAMED_PORTAL
        server.dialogue.pipeline.expect(ord("B"))
        return ahead + chunk[at:stop] if ahead else None

    def bind_elsewhere(self, server: Server, chunk: bytes, at: int, start: int, stop: int) -> bytes:
        """A Bind where the server has another unnamed statement, or has had; it may wait for the columns."""
        prepared, series, unnamed = self.prepared, self.series, self.prepared.unnamed
        series.executes = True
        again = (
            unnamed.body is None
            or not unnamed.told
            or is_described(chunk, stop)
            or prepared.is_describing(b"")
        )
        moves = unnamed.body is not server.dialogue.statements.unnamed
        if (unnamed.changed and not again) or (moves and self.readings.are_lost(unnamed.scope)):
            server.dialogue.pipeline.expect(ord("B"), new_bind(b"", CHANGED, None))
            return write_bind(chunk, at, start, start, stop, CHANGED)
        ahead = self.move_unnamed(server)
        if not again:
            series.waits = True
            self.stats.bind_count -= 1  # the Bind comes again
            server.dialogue.pipeline.skip(ord("D"), RENEWED)
            return ahead + write_describe(b"") + FLUSH
        unnamed.shape.count()
        series.bound = UNNAMED_PORTAL
        server.dialogue.pipeline.expect(ord("B"))
        return ahead + chunk[at:stop]

    def move_unnamed(self, server: Server) -> bytes:
        """Messages that make the server's unnamed statement this client's, or make it have none."""
        unnamed = self.prepared.unnamed
        if unnamed.body is server.dialogue.statements.unnamed:
            return b""
        server.dialogue.statements.unnamed = unnamed.body
        if unnamed.body is None:
            server.dialogue.pipeline.skip(ord("C"), REPLACE_UNNAMED)
            return write_close(b"")
        self.stats.server_parse_count += 1
        return self.readings.parse(server, unnamed.scope, REPLACE_UNNAMED, b"", unnamed.body)

    def bind_named(self, server: Server, name: bytes, statement: Statement, chunk: bytes, at: int, start: int,
                   end: int, stop: int) -> bytes:  # fmt: skip
        prepared, series = self.prepared, self.series
        series.said.bound(name, statement.body)
        if statement.scope is not prepared.plain and statement.scope is not prepared.scope:
            statement = prepared.part(name, statement)
            if self.is_lost(server, statement):
                return self.fail(server, name, CHANGED, chunk, at, start, end, stop)
        told = prepared.described.get(name, 0)
        again = not told or asks_again(name, chunk, stop) or prepared.is_describing(name)
        if told == 0 or (told != statement.full and told != statement.columns):
            series.bound = Portal(name, statement)
        if not again and (
            series.bound is not None or statement.name not in server.dialogue.statements.prepared
        ):
            return self.ask_first(server, name, statement, chunk, at, start, end, stop)
        ahead = self.begin_harmful(server, statement.shape, chunk, at, stop)
        if series.waits:
            return ahead
        new = self.answer(server, statement.shape, statement.body, chunk, at, stop)
        series.executes = True
        statement.shape.count()
        if new:
            return ahead + new
        ahead += self.prepare(server, statement)
        server.dialogue.pipeline.expect(ord("B"), new_bind(name, statement.name, statement, again))
        bind = write_bind(chunk, at, start, end, stop, statement.name)
        return ahead + bind if ahead else bind

    def fail(self, server: Server, name: bytes, missing: bytes, chunk: bytes, at: int, start: int, end: int,
             stop: int) -> bytes:  # fmt: skip
        """A Bind of a name that no server has, for PostgreSQL's error to that."""
        self.series.executes = True
        server.dialogue.pipeline.expect(ord("B"), new_bind(name, missing, None))
        return write_bind(chunk, at, start, end, stop, missing)

    def prepare(self, server: Server, statement: Statement) -> bytes:
        """Messages that make the server have the statement."""
        prepared = self.prepared
        if (
            statement.scope is prepared.plain
            or statement.scope is prepared.scope
            or server.dialogue.statements.has(statement)
        ):
            return spell_prepare(server.dialogue, statement)
        return self.readings.prepare(server, statement)

    def is_lost(self, server: Server, statement: Statement) -> bool:
        """Whether nobody knows what it was read by, and the server has not got it either."""
        return self.readings.are_lost(statement.scope) and not server.dialogue.statements.has(statement)

    def ask_first(self, server: Server, name: bytes, statement: Statement, chunk: bytes, at: int, start: int,
                  end: int, stop: int) -> bytes:  # fmt: skip
        """Messages that ask the server for the statement's columns, for which the Bind waits.

        If they are known to be others than the client was told, it fails.
        """
        if statement.columns and self.series.bound is not None:
            return self.fail(server, name, CHANGED, chunk, at, start, end, stop)
        self.series.waits = self.series.executes = True
        self.stats.bind_count -= 1  # the message comes again
        ahead = self.state.show(server, statement.effects.effects, simple=False)
        if server.dialogue.statements.has(statement):
            return ahead + compare(server.dialogue, statement, describe=True) + FLUSH
        return ahead + self.readings.prepare(server, statement, describe=True) + FLUSH

    # --- what its statement may do ---

    def begin_harmful(self, server: Server, shape: Shape, chunk: bytes, at: int, stop: int) -> bytes:
        """`begin`, which for most need not be called."""
        return b"" if shape.harmless else self.begin(server, shape.effects, chunk, at, stop)

    def begin(self, server: Server, effects: Effects, chunk: bytes, at: int, stop: int) -> bytes:
        """What has to go ahead of a Bind for what its statement may do; `Series.waits` is set if it has to wait."""
        if effects.harmless:
            return b""
        series = self.series
        waits = self.state.must_wait(server, effects, simple=False)
        if waits or self.state.ask_hub(effects):
            series.waits = True
            self.stats.bind_count -= 1  # the message comes again
            return FLUSH if waits else b""
        server.loan.use.chains += effects.chains
        restored = self.state.restored(effects)
        if restored.values and effects.effects & DISCARDS:
            # Nothing may come behind DISCARD ALL in its transaction.
            series.restored = restored
        elif restored.values:
            series.restores = restored.steps(NOTHING)
        return self.state.begin(server, effects, bind_values(chunk, at, stop), simple=False)

    def answer(self, server: Server, shape: Shape, body: bytes | None, chunk: bytes, at: int,
               stop: int) -> bytes:  # fmt: skip
        """A Bind of the statement with answers of ours in it, for this once; nothing if there is nothing to answer."""
        if shape.harmless or not shape.effects.bare or body is None:
            return b""
        text, types = body.split(b"\0", 1)
        answered = self.state.answer(server, text, bind_parameters(chunk, at, stop))
        if answered is None:
            return b""
        start, end = bind_name(chunk, at, stop) or (0, 0)  # the message has been read
        if isinstance(answered, Refusal):
            due = new_bind(b"", b"", None)
            due.refusal = answered
            server.dialogue.pipeline.expect(ord("B"), due)
            return write_bind(chunk, at, start, end, stop, NOWHERE)
        server.dialogue.pipeline.skip(ord("C"))
        server.dialogue.pipeline.skip(ord("P"))
        server.dialogue.pipeline.expect(ord("B"))
        parse = write_parse(OWN, b"%s\0%s" % (answered, types))
        return write_close(OWN) + parse + write_bind(chunk, at, start, end, stop, OWN)


def shows_names(shape: Shape) -> bool:
    """Whether the statement sees the name that it is run by."""
    return not shape.harmless and shape.effects.effects & SHOWS_NAMES != 0


def asks_again(name: bytes, chunk: bytes, stop: int) -> bool:
    """Whether its portal is described behind the Bind that ends at `stop`, and the client looks at that.

    libpq always asks. PDO keeps to the columns that it was told first, and would read others by them.
    """
    return is_described(chunk, stop) and not name.startswith(PDO)
