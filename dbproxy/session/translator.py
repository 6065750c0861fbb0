"""What a server is sent for a client's Parse, Bind, Describe and Close, and for a Query that may change the session.

A named statement is shared: the server knows it by a name of ours (pool.prepared), gets it when somebody binds it
there, and is not sent a Parse of what it has. The unnamed statement stays the client's own: it is prepared again on a
server that has another one. Each message that is answered leaves an entry in the server's pipeline, with what follows
from the answer (pool.dues).
"""

from dbproxy.pool.dues import UNNAMED, UNNAMED_PORTAL, Close, Describe, new_parse
from dbproxy.pool.insertions import restore, spell_ours
from dbproxy.pool.parameters import NOTHING
from dbproxy.pool.preparation import compare, keep, spell_prepare
from dbproxy.pool.prepared import AGAIN, NOWHERE
from dbproxy.pool.request import Refusal, Request
from dbproxy.pool.server import Server
from dbproxy.session.binding import Binder
from dbproxy.session.names import FLUSH, Names
from dbproxy.session.readings import Readings
from dbproxy.session.series import Series
from dbproxy.session.state import SessionState
from dbproxy.session.unnamed import BY_PORTAL
from dbproxy.session.vocabulary import Vocabulary, constants_of, cut_body
from dbproxy.sql.identity import Shape
from dbproxy.sql.statement import READS_SETTINGS
from dbproxy.wire import build
from dbproxy.wire.extended import (
    cut,
    length_at,
    parse_parts,
    target_name,
    write_close,
    write_describe,
    write_parse,
)

REFUSED = "refused by the proxy"  # no SQL: PostgreSQL fails it where the refused statement would have run


class Translator:
    """Of one client, whose names mean what `prepared` says."""

    def __init__(self, prepared: Vocabulary, state: SessionState) -> None:
        self.prepared = prepared
        self.state = state
        self.stats = prepared.stats
        self.shares: bool = prepared.shares
        self.series = Series()
        self.readings = Readings(prepared)
        self.names = Names(prepared, self.readings, self.series)
        self.binder = Binder(prepared, self.series, state, self.names)

    def translate(self, server: Server, kind: int, chunk: bytes, at: int, stop: int) -> bytes | None:
        """What to send instead of a Parse, Bind, Describe or Close; None: the message as it is."""
        series = self.series
        series.begun |= kind != ord("C")
        if kind == ord("B"):
            series.bound = series.restores = None  # what was noted for the Bind before
            if series.said.keeps:
                series.said.bind = cut(chunk, at, stop)
        if server.dialogue.given.names or server.dialogue.given.contested or self.prepared.by_sql:
            new = self.names.translate(self.binder, server, kind, chunk, at, stop)
            if new is not None:
                return new
        if kind == ord("B"):
            return self.binder.bind(server, chunk, at, stop)
        if kind == ord("P"):
            return self.parse(server, chunk, at, stop)
        if kind == ord("D"):
            return self.describe(server, chunk, at, stop)
        return self.close(server, chunk, at, stop)

    def parse(self, server: Server, chunk: bytes, at: int, stop: int) -> bytes | None:
        self.stats.client_parse_count += 1
        parts = parse_parts(chunk, at, stop) if self.shares else None
        if parts is None:
            self.series.said.parsed(chunk, at, b"")
            server.dialogue.pipeline.expect(ord("P"))
            return None
        name, body = parts
        self.series.said.parsed(chunk, at, name)
        if name:  # the statement is shared
            body = cut_body(body)
        prepared = self.prepared
        if prepared.departed and self.names.must_wait_for_settings(server):
            self.series.waits = True
            self.stats.client_parse_count -= 1  # the message comes again
            return FLUSH
        shape = prepared.unnamed.shape if body == prepared.unnamed.body else self.state.find_shape(body)
        ahead = b""
        if not shape.harmless:
            refusal = self.state.refusal(shape.effects)
            if refusal is not None:
                return self.refuse(server, name, refusal)
            ahead = self.names.describe(server, shape.effects)
            if self.series.waits:
                self.stats.client_parse_count -= 1  # the message comes again
                return ahead
        if not name:
            return self.parse_unnamed(server, body, shape, ahead)
        if prepared.knows(name):
            return ahead + self.parse_again(server, name, body)
        return ahead + self.parse_named(server, name, body, shape)

    def parse_unnamed(self, server: Server, body: bytes, shape: Shape, ahead: bytes) -> bytes | None:
        unnamed, scope = self.prepared.unnamed, self.prepared.scope
        previous = unnamed.body
        unnamed.become(body, shape, scope)
        unnamed.changed = False
        server.dialogue.statements.unnamed = body
        if scope.read is None and constants_of(body, shape.effects) & READS_SETTINGS:
            ahead += self.readings.note(server, scope, simple=False)
        server.dialogue.pipeline.expect(ord("P"), new_parse(b"", previous, b"", None))
        return ahead + write_parse(b"", body) if ahead else None

    def parse_named(self, server: Server, name: bytes, body: bytes, shape: Shape) -> bytes:
        """A name that is new to the client. Its statement may be known to the server."""
        dialogue, prepared = server.dialogue, self.prepared
        statement = prepared.find(body, shape)
        prepared.keep(name, statement)
        if statement.name in dialogue.statements.prepared:
            if dialogue.status != ord("E"):
                ahead = spell_prepare(dialogue, statement)
                dialogue.pipeline.fake(ord("P"), new_parse(name, None, b"", None))
                return ahead
            # In a failed transaction PostgreSQL must say what it says to a Parse.
            statement.renew()
        ahead = b""
        if statement.scope.read is None:
            ahead = self.readings.note(server, statement.scope, simple=False)
        closes = keep(dialogue, statement)
        dialogue.pipeline.expect(ord("P"), new_parse(name, None, statement.name, statement))
        self.stats.server_parse_count += 1
        return ahead + closes + write_parse(statement.name, body) + compare(dialogue, statement)

    def parse_again(self, server: Server, name: bytes, body: bytes) -> bytes:
        """A name that exists. PostgreSQL judges the text first and then the name; what servers have is not touched."""
        pipeline = server.dialogue.pipeline
        pipeline.skip(ord("C"))
        pipeline.skip(ord("P"))
        pipeline.expect(ord("P"), new_parse(name, self.prepared.meaning(name), AGAIN, None))
        return write_close(AGAIN) + write_parse(AGAIN, body) + write_parse(AGAIN, body)

    def refuse(self, server: Server, name: bytes, refusal: Refusal) -> bytes:
        previous = self.prepared.meaning(name) if name else self.prepared.unnamed.body
        due = new_parse(name, previous, b"", None)
        due.refusal = refusal
        server.dialogue.pipeline.expect(ord("P"), due)
        return write_parse(name and AGAIN, REFUSED.encode() + b"\0\0\0")

    def describe(self, server: Server, chunk: bytes, at: int, stop: int) -> bytes | None:
        prepared, series = self.prepared, self.series
        name = target_name(chunk, at, stop) if self.shares else None
        if name is None:
            server.dialogue.pipeline.expect(ord("D"), series.bound)
            if series.bound is UNNAMED_PORTAL and not prepared.unnamed.told:
                prepared.unnamed.told = BY_PORTAL
            return None
        prepared.describing.add(name)
        if not name:
            ahead = self.names.describe(server, prepared.unnamed.shape.effects)
            if series.waits:
                return ahead
            ahead += self.binder.move_unnamed(server)
            server.dialogue.pipeline.expect(ord("D"), UNNAMED)
            return ahead + chunk[at:stop] if ahead else None
        statement = prepared.statements.get(name)
        if statement is None:
            server.dialogue.pipeline.expect(ord("D"), Describe(name, NOWHERE, None))
            return write_describe(NOWHERE)
        ahead = self.names.describe(server, statement.effects)
        if series.waits:
            return ahead
        ahead += self.binder.prepare(server, statement)
        server.dialogue.pipeline.expect(ord("D"), Describe(name, statement.name, statement))
        return ahead + write_describe(statement.name)

    def close(self, server: Server, chunk: bytes, at: int, stop: int) -> bytes | None:
        prepared = self.prepared
        name = target_name(chunk, at, stop) if self.shares else None
        if name is None:
            server.dialogue.pipeline.expect(ord("C"))
            return None
        if not name:
            server.dialogue.pipeline.expect(ord("C"), Close(b"", prepared.unnamed.body))
            prepared.unnamed.body = server.dialogue.statements.unnamed = None
            return None
        previous = prepared.forget(name) or prepared.by_sql.pop(name, None)
        server.dialogue.pipeline.fake(ord("C"), Close(name, previous))
        return b""

    # --- Query ---

    def spell_query(self, server: Server, request: Request, shape: Shape, chunk: bytes, at: int,
                    stop: int) -> list[bytes]:  # fmt: skip
        """A Query that may change the session: what is sent instead of it; `Series.waits` is set if it has to wait."""
        state, series, effects = self.state, self.series, shape.effects
        refusal = state.refusal(effects)
        if refusal is not None:
            return self.refuse_query(server, request, refusal)
        if state.must_wait(server, effects, simple=True):
            series.waits = True
            return [FLUSH]
        if state.ask_hub(effects):
            series.waits = True
            return []
        pieces: list[bytes] = []
        if series.restored is not None:  # no Sync came behind DISCARD ALL
            pieces.append(spell_ours(server.dialogue, [series.restored.difference(NOTHING)], simple=True))
            series.restored = None
        shape.count()
        server.loan.use.chains += effects.chains
        # What Execute has done since the last Sync is part of the Query's transaction: nothing may end it before.
        pieces.append(state.begin(server, effects, (), simple=not series.executes))
        answered = state.answer(server, chunk[at + 5 : stop - 1]) if effects.bare else None
        if isinstance(answered, Refusal):
            return [*pieces, *self.refuse_query(server, request, answered)]
        pieces.append(chunk[at:stop] if answered is None else build.query(answered.decode()))
        restored = state.restored(effects) if stop - at == length_at(chunk, at) else NOTHING
        if restored is NOTHING:
            server.dialogue.pipeline.expect(ord("Q"), request)
        else:
            pieces.append(restore(server.dialogue, restored, ord("Q"), request))
        return pieces

    def refuse_query(self, server: Server, request: Request, refusal: Refusal) -> list[bytes]:
        """PostgreSQL is sent what it fails: to all that stands beside it the Query has failed."""
        request.refusal = refusal
        server.dialogue.pipeline.expect(ord("Q"), request)
        return [build.query(REFUSED)]
