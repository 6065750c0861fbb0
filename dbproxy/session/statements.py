"""What a server is sent for a client's Parse, Bind, Describe and Close.

A named statement is shared: the server knows it by a name of ours (pool.prepared), gets it when somebody binds it
there, and is not sent a Parse of what it has. The unnamed statement stays the client's own: it is prepared again on a
server that has another one. Each message that is answered leaves an entry in the server's pipeline, with what follows
from the answer (pool.dues).
"""

from collections.abc import Mapping

from dbproxy.errors import MessageTooLarge
from dbproxy.pool.dues import UNNAMED, UNNAMED_PORTAL, Close, Describe, Portal, new_bind, new_parse
from dbproxy.pool.parameters import NOTHING, Parameters
from dbproxy.pool.pool import Pool
from dbproxy.pool.preparation import compare, keep, spell_prepare
from dbproxy.pool.prepared import AGAIN, CHANGED, NOWHERE, Statement
from dbproxy.pool.request import Refusal
from dbproxy.pool.server import Server
from dbproxy.session import unnamed
from dbproxy.session.names import Names
from dbproxy.session.readings import Readings
from dbproxy.session.state import SessionState
from dbproxy.session.vocabulary import Vocabulary, constants_of, cut_body
from dbproxy.sql.identity import Shape
from dbproxy.sql.statement import DISCARDS, EXECUTES, READS_SETTINGS, SHOWS_NAMES
from dbproxy.sql.statement import Statement as Effects
from dbproxy.wire import build
from dbproxy.wire.extended import (
    OWN,
    bind_name,
    bind_parameters,
    bind_values,
    cut,
    is_described,
    length_at,
    parse_parts,
    target_name,
    write_bind,
    write_close,
    write_describe,
    write_parse,
)

REFUSED = (
    b"refused by the proxy\0\0\0"  # no SQL: PostgreSQL fails it where the refused statement would have run
)
FLUSH = build.flush()
PDO = b"pdo_stmt_"  # how names of PDO's statements begin


class ClientStatements(Vocabulary):
    """One client's statements, and what a server is sent for them."""

    def __init__(self, pool: Pool, shares: bool, settings: Mapping[str, str], state: SessionState) -> None:
        Vocabulary.__init__(self, pool, shares, settings, state)
        self.state: SessionState = state
        self.readings = Readings(self)
        self.names = Names(self, self.readings)
        self.restores: list[str] | None = None  # SQL that goes behind the next Execute, which is a RESET
        self.restored: Parameters | None = None  # what goes behind the next Sync
        self.asks = False  # what comes next is not sent until the server has told a statement's columns
        self.bound: Portal | None = None  # whose columns a Describe of the portal at hand tells anew
        self.executes = False  # a transaction may be open that the next Sync ends, and a Query does not
        self.seen: bytes = b""  # where the text of the request at hand is, for the log
        self.seen_at = -1

    def translate(self, server: Server, kind: int, chunk: bytes, at: int, stop: int) -> bytes | None:
        """What to send instead of a Parse, Bind, Describe or Close; None: the message as it is."""
        self.begun |= kind != ord("C")
        if server.dialogue.given.names or server.dialogue.given.contested or self.by_sql:
            new = self.names.translate(self, server, kind, chunk, at, stop)
            if new is not None:
                return new
        if kind == ord("B"):
            return self.bind(server, chunk, at, stop)
        if kind == ord("P"):
            return self.parse(server, chunk, at, stop)
        if kind == ord("D"):
            return self.describe(server, chunk, at, stop)
        return self.close(server, chunk, at, stop)

    def parse(self, server: Server, chunk: bytes, at: int, stop: int) -> bytes | None:
        self.stats.client_parse_count += 1
        self.seen = chunk
        self.seen_at = at
        parts = parse_parts(chunk, at, stop) if self.shares else None
        if parts is None:
            server.dialogue.pipeline.expect(ord("P"))
            return None
        name, body = parts
        if name:  # the statement is shared
            body = cut_body(body)
        shape = self.unnamed_shape if body == self.unnamed else self.state.find_shape(body)
        effects = shape.effects
        ahead = b""
        if not shape.harmless:
            refusal = self.state.refusal(effects)
            if refusal is not None:
                previous = self.meaning(name) if name else self.unnamed
                due = new_parse(name, previous, b"", None)
                due.refusal = refusal
                server.dialogue.pipeline.expect(ord("P"), due)
                return write_parse(name and AGAIN, REFUSED)
            ahead = self.names_on(server, effects)
            if self.asks:
                self.stats.client_parse_count -= 1  # the message comes again
                return ahead
        if not name:
            previous, self.unnamed = self.unnamed, body
            server.dialogue.statements.unnamed = body
            self.unnamed_shape = shape
            self.unnamed_scope = self.scope
            if self.scope.read is None and constants_of(body, effects) & READS_SETTINGS:
                ahead += self.readings.note(server, self.scope, simple=False)
            self.unnamed_told = 0
            self.unnamed_changed = False
            server.dialogue.pipeline.expect(ord("P"), new_parse(b"", previous, b"", None))
            return ahead + write_parse(b"", body) if ahead else None
        known = self.statements.get(name)
        if known is not None or name in self.by_sql:
            return ahead + self.parse_again(server, name, body)
        statement = self.statements[name] = self.find(body, shape)
        if statement.name in server.dialogue.statements.prepared and server.dialogue.status != ord("E"):
            ahead += spell_prepare(server.dialogue, statement)
            server.dialogue.pipeline.fake(ord("P"), new_parse(name, None, b"", None))
            return ahead
        if statement.name in server.dialogue.statements.prepared:
            # In a failed transaction PostgreSQL must say what it says to a Parse.
            statement.renew()
        if statement.scope.read is None:
            ahead += self.readings.note(server, statement.scope, simple=False)
        closes = keep(server.dialogue, statement)
        server.dialogue.pipeline.expect(ord("P"), new_parse(name, None, statement.name, statement))
        self.stats.server_parse_count += 1
        return ahead + closes + write_parse(statement.name, body) + compare(server.dialogue, statement)

    def parse_again(self, server: Server, name: bytes, body: bytes) -> bytes:
        """A name that exists. PostgreSQL judges the text first and then the name; what servers have is not touched."""
        server.dialogue.pipeline.skip(ord("C"))
        server.dialogue.pipeline.skip(ord("P"))
        server.dialogue.pipeline.expect(ord("P"), new_parse(name, self.meaning(name), AGAIN, None))
        return write_close(AGAIN) + write_parse(AGAIN, body) + write_parse(AGAIN, body)

    def bind(self, server: Server, chunk: bytes, at: int, stop: int) -> bytes | None:
        self.stats.bind_count += 1
        where = bind_name(chunk, at, stop) if self.shares else None
        if where is None:
            if self.shares and stop < at + length_at(chunk, at):
                raise MessageTooLarge(f"portal and statement name of a Bind are over {stop - at} bytes")
            self.executes = True
            server.dialogue.pipeline.expect(ord("B"))
            return None
        start, end = where
        if start == end:
            shape = self.unnamed_shape
            ahead = self.begin_harmful(server, shape, chunk, at, stop)
            if self.asks:
                return ahead
            new = self.bind_answer(server, shape, self.unnamed, chunk, at, stop)
            self.executes = True
            if new:
                shape.count()
                return ahead + new
            if server.dialogue.statements.unnamed is not self.unnamed or self.unnamed_changed:
                return ahead + unnamed.bind(self, server, chunk, at, start, stop)
            shape.count()
            self.bound = UNNAMED_PORTAL
            server.dialogue.pipeline.expect(ord("B"))
            return ahead + chunk[at:stop] if ahead else None
        name = cut(chunk, start, end)
        statement = self.statements.get(name)
        if statement is None:
            self.executes = True
            server.dialogue.pipeline.expect(ord("B"), new_bind(name, NOWHERE, None))
            return write_bind(chunk, at, start, end, stop, NOWHERE)
        shape = statement.shape
        if shows_names(shape):
            server.dialogue.given.contested = True
            return self.names.translate(self, server, ord("B"), chunk, at, stop)
        self.seen = statement.body
        self.seen_at = -1
        if statement.scope is not self.plain and statement.scope is not self.scope:
            statement = self.part(name, statement)
            if self.readings.are_lost(statement.scope) and not server.dialogue.statements.has(statement):
                return self.bind_changed(server, name, chunk, at, start, end, stop)
        told = self.described.get(name, 0)
        again = (
            not told
            or asks_again(name, chunk, stop)
            or (len(self.describing) > 0 and name in self.describing)
        )
        self.bound = None
        if told == 0 or (told != statement.full and told != statement.columns):
            self.bound = Portal(name, statement)
        if not again and (
            self.bound is not None or statement.name not in server.dialogue.statements.prepared
        ):
            if statement.columns and self.bound is not None:
                return self.bind_changed(server, name, chunk, at, start, end, stop)
            self.asks = self.executes = True
            self.stats.bind_count -= 1  # the message comes again
            return self.ask_columns(server, statement) + FLUSH
        ahead = self.begin_harmful(server, shape, chunk, at, stop)
        if self.asks:
            return ahead
        new = self.bind_answer(server, shape, statement.body, chunk, at, stop)
        self.executes = True
        shape.count()
        if new:
            return ahead + new
        ahead += self.prepare(server, statement)
        server.dialogue.pipeline.expect(ord("B"), new_bind(name, statement.name, statement, again))
        bind = write_bind(chunk, at, start, end, stop, statement.name)
        return ahead + bind if ahead else bind

    def bind_changed(self, server: Server, name: bytes, chunk: bytes, at: int, start: int, end: int,
                     stop: int) -> bytes:  # fmt: skip
        """The statement is no longer what the client prepared: a Bind that fails, for PostgreSQL's error to that."""
        self.executes = True
        server.dialogue.pipeline.expect(ord("B"), new_bind(name, CHANGED, None))
        return write_bind(chunk, at, start, end, stop, CHANGED)

    def begin_harmful(self, server: Server, shape: Shape, chunk: bytes, at: int, stop: int) -> bytes:
        """`begin`, which for most need not be called."""
        return b"" if shape.harmless else self.begin(server, shape.effects, chunk, at, stop)

    def begin(self, server: Server, effects: Effects, chunk: bytes, at: int, stop: int) -> bytes:
        """What has to go ahead of a Bind for what its statement may do; `asks` is set if it has to wait for the hub."""
        if effects.harmless:
            return b""
        waits = self.state.must_wait(server, effects, simple=False)
        if waits or self.state.must_hear(effects):
            self.asks = True
            self.stats.bind_count -= 1  # the message comes again
            return FLUSH if waits else b""
        restored = self.state.restored(effects)
        if (
            restored.values and effects.effects & DISCARDS
        ):  # nothing may come behind DISCARD ALL in its transaction
            self.restored = restored
        elif restored.values:
            self.restores = restored.steps(NOTHING)
        return self.state.begin(server, effects, bind_values(chunk, at, stop), simple=False)

    def bind_answer(self, server: Server, shape: Shape, body: bytes | None, chunk: bytes, at: int,
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

    def describe(self, server: Server, chunk: bytes, at: int, stop: int) -> bytes | None:
        name = target_name(chunk, at, stop) if self.shares else None
        if name is None:
            server.dialogue.pipeline.expect(ord("D"), self.bound)
            if self.bound is UNNAMED_PORTAL and not self.unnamed_told:
                self.unnamed_told = unnamed.BY_PORTAL
            return None
        self.describing.add(name)
        if not name:
            ahead = self.names_on(server, self.unnamed_shape.effects)
            if self.asks:
                return ahead
            ahead += unnamed.move(self, server)
            server.dialogue.pipeline.expect(ord("D"), UNNAMED)
            return ahead + chunk[at:stop] if ahead else None
        statement = self.statements.get(name)
        if statement is None:
            server.dialogue.pipeline.expect(ord("D"), Describe(name, NOWHERE, None))
            return write_describe(NOWHERE)
        ahead = self.names_on(server, statement.effects)
        if self.asks:
            return ahead
        ahead += self.prepare(server, statement)
        server.dialogue.pipeline.expect(ord("D"), Describe(name, statement.name, statement))
        return ahead + write_describe(statement.name)

    def close(self, server: Server, chunk: bytes, at: int, stop: int) -> bytes | None:
        name = target_name(chunk, at, stop) if self.shares else None
        if name is None:
            server.dialogue.pipeline.expect(ord("C"))
            return None
        if not name:
            server.dialogue.pipeline.expect(ord("C"), Close(b"", self.unnamed))
            self.unnamed = server.dialogue.statements.unnamed = None
            return None
        previous = self.forget(name) or self.by_sql.pop(name, None)
        server.dialogue.pipeline.fake(ord("C"), Close(name, previous))
        return b""

    # --- what its Parse was read by (session.readings) ---

    def part(self, name: bytes, statement: Statement) -> Statement:
        """The session's settings are not those of its Parse: what others share is not to be read again under them."""
        if not statement.shared or statement.scope.reads_as(self.scope):
            return statement
        own = self.statements[name] = Statement(statement.body, statement.shape, statement.scope)
        return own

    def looks_elsewhere(self, statement: Statement) -> bool:
        """Whether names mean something else to the session than they did at the statement's Parse."""
        return statement.scope.path != self.scope.path

    def prepare(self, server: Server, statement: Statement) -> bytes:
        """Messages that make the server have the statement."""
        if (
            statement.scope is self.plain
            or statement.scope is self.scope
            or server.dialogue.statements.has(statement)
        ):
            return spell_prepare(server.dialogue, statement)
        return self.readings.prepare(server, statement)

    def ask_columns(self, server: Server, statement: Statement) -> bytes:
        """Messages that ask the server for the statement's columns, which it may not have yet."""
        ahead = self.state.show(server, statement.effects.effects, simple=False)
        if server.dialogue.statements.has(statement):
            return ahead + compare(server.dialogue, statement, describe=True)
        return ahead + self.readings.prepare(server, statement, describe=True)

    # --- names that SQL uses too (session.names) ---

    def names_on(self, server: Server, effects: Effects) -> bytes:
        """What an EXECUTE is to be described by, and SHOW of a setting that has no value yet."""
        if not effects.executes:
            return self.state.show(server, effects.effects, simple=False)
        if self.names.must_wait(server):
            self.asks = True
            return FLUSH
        return self.names.use(server, effects, EXECUTES, simple=False)


def shows_names(shape: Shape) -> bool:
    """Whether the statement sees the name that it is run by."""
    return not shape.harmless and shape.effects.effects & SHOWS_NAMES != 0


def asks_again(name: bytes, chunk: bytes, stop: int) -> bool:
    """Whether its portal is described behind the Bind that ends at `stop`, and the client looks at that.

    libpq always asks. PDO keeps to the columns that it was told first, and would read others by them.
    """
    return is_described(chunk, stop) and not name.startswith(PDO)
