"""A client's statement names that its SQL uses, too: PREPARE, EXECUTE, DEALLOCATE.

A name that only the protocol uses is translated (session.translator): servers know the statement by a name of ours.
What SQL names, a server must have under that very name. So before a text that names statements is sent, they are
*given* to the server: what the client has by these names is prepared under them. From then on, for this loan, whatever
the client says of a given name goes to the server as it is, and PostgreSQL judges it. At the transaction's end the
server is asked what it has (pool.audit), and `conclude` takes that over.

A request has one outcome: behind an error all of it is ignored. Whether an *earlier* one has given or taken a name is
known once it is answered, so what uses given names waits for that (`must_wait`), behind a Flush, without which
PostgreSQL would keep back the answers to what has been sent since.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from dbproxy.pool.insertions import spell_sync
from dbproxy.pool.preparation import close_shared
from dbproxy.pool.server import Server
from dbproxy.session.given import Giver, encode
from dbproxy.session.readings import Readings
from dbproxy.session.series import Series
from dbproxy.session.vocabulary import Vocabulary
from dbproxy.sql import statement as sql
from dbproxy.sql.parser import find_prepares
from dbproxy.sql.statement import Statement
from dbproxy.wire import build
from dbproxy.wire.extended import bind_name, cut, parse_parts, target_name

MOVES = sql.PREPARES | sql.DEALLOCATES | sql.DISCARDS  # may make names, or take them away
FLUSH = build.flush()
ALL = b""  # DEALLOCATE ALL's name
USES = MOVES | sql.EXECUTES | sql.SHOWS_NAMES
DEPENDS = USES | sql.SHOWS_CHANNELS  # its answer may depend on answers that are due


class Binder(Protocol):
    """Says what goes ahead of a Bind (session.binding)."""

    def begin(self, server: Server, effects: Statement, chunk: bytes, at: int, stop: int) -> bytes: ...


class Names:
    """The names of one client, whose statements are `own`."""

    __slots__ = ("giver", "own", "readings", "series")

    def __init__(self, own: Vocabulary, readings: Readings, series: Series) -> None:
        self.own = own
        self.readings = readings
        self.series = series
        self.giver = Giver(own, readings)

    def are_given(self, server: Server, name: bytes) -> bool:
        """Whether what the name means is for the server to say."""
        return (
            name in server.dialogue.given.names or server.dialogue.given.contested or name in self.own.by_sql
        )

    def must_wait(self, server: Server) -> bool:
        """Whether it is not known yet what a name means: an earlier request, or our question, is not answered."""
        pipeline = server.dialogue.pipeline
        if pipeline.empty():
            server.dialogue.given.deallocating_all = False
        return (server.dialogue.traces.asked > 0 or pipeline.owes_ready()) and not pipeline.copying

    def must_wait_for_settings(self, server: Server) -> bool:
        """Whether the settings that were changed are not known yet, and will be: those of an open transaction are not.

        What is parsed before the answer could not be prepared elsewhere as its client's Parse has read it.
        """
        traces = server.dialogue.traces
        changed = traces.asked > 0 or traces.effects > 0
        return changed and server.dialogue.status == ord("I") and self.must_wait(server)

    # --- before SQL that names statements ---

    def use(self, server: Server, statement: Statement, effects: int, simple: bool) -> bytes:
        """Messages that go ahead of the statement; `simple`: it is a Query, which needs a Sync before it."""
        if server.dialogue.status == ord("E") and statement.single:
            return b""  # PostgreSQL refuses the statement
        involved = self._involved(server, statement)
        moved = [name for one in involved for name in encode((*one.prepares, *one.deallocates))]
        ahead = b""
        if server.dialogue.status != ord("E"):  # where PostgreSQL refuses it, and could be given nothing
            ahead = self._spell_used(server, involved, moved, effects, simple)
        ahead += self._note_scopes(server, statement, effects, simple)
        self._note_moved(server, statement, moved, effects)
        return ahead

    def _spell_used(self, server: Server, involved: list[Statement], moved: list[bytes], effects: int,
                    simple: bool) -> bytes:  # fmt: skip
        """Messages that make the server have what the statement uses; `moved`: what it makes or takes away."""
        ahead = close_shared(server.dialogue) if effects & sql.SHOWS_NAMES else b""
        executed = self._find_executed(server, involved, effects)
        only = len(involved) == 1 and involved[0].single
        kept = [name for name in moved if only and name not in executed]
        given = [name for name in (*moved, *executed[::-1]) if name not in kept]
        held = b"".join([self.giver.hold(server, name, effects) for name in kept])
        held += self.giver.give(server, given)
        return ahead + held + spell_sync(server.dialogue) if held and simple else ahead + held

    def _find_executed(self, server: Server, involved: list[Statement], effects: int) -> list[bytes]:
        """The names that may be executed, or seen."""
        if effects & sql.SHOWS_NAMES:  # the statement sees all names that there are
            return [*self.own.statements, *self.own.by_sql]
        executed = [name for one in involved for name in encode(one.executes)]
        if effects & sql.UNKNOWN and "search_path" not in server.dialogue.traces.touched:
            # A function may put an EXECUTE together. But what cannot be read now would fail the transaction.
            executed += [name for name in self.own.by_sql if name not in executed]
        return executed

    def _note_moved(self, server: Server, statement: Statement, moved: list[bytes], effects: int) -> None:
        """From now on it is for the server to say what the statement has made of these names, or of any."""
        given = server.dialogue.given
        for name in moved:
            if name != ALL and not self.own.knows(name):  # what the client knows was given, or could not be
                given.names.setdefault(name, [])
        if effects & sql.DISCARDS and statement.single and server.dialogue.status == ord("T"):
            return  # DISCARD ALL fails inside a transaction
        if effects & sql.DISCARDS or ALL in moved:
            given.contested = given.deallocating_all = True
        elif effects & MOVES and not moved:
            given.contested = True

    def _note_scopes(self, server: Server, statement: Statement, effects: int, simple: bool) -> bytes:
        """What a PREPARE is read by is to be known where it is prepared again; messages that ask the server for it.

        If the text itself changes that, the session's settings are taken, as they are behind it.
        """
        readings = self.readings
        if not statement.prepares or server.dialogue.status == ord("E"):
            return b""
        if effects & sql.MOVES_SETTINGS:
            for name in encode(statement.prepares):
                readings.by_sql.pop(name, None)
            return b""
        readings.prepares.update(dict.fromkeys(encode(statement.prepares), self.own.scope))
        return readings.note(server, self.own.scope, simple)

    def _involved(self, server: Server, statement: Statement) -> list[Statement]:
        """The statement, and those that it executes."""
        involved = [statement]
        names = encode(statement.executes)
        for name in names:
            for called in self.giver.effects_of(name, server):
                involved.append(called)
                names += [other for other in encode(called.executes) if other not in names]
        return involved

    def describe(self, server: Server, effects: Statement) -> bytes:
        """What goes ahead of a Parse or Describe: what an EXECUTE is described by, and a setting that has no value yet.

        `Series.waits` is set if it is not known yet what the names mean.
        """
        if not effects.executes:
            return self.own.state.show(server, effects.effects, simple=False)
        if self.must_wait(server):
            self.series.waits = True
            return FLUSH
        return self.use(server, effects, sql.EXECUTES, simple=False)

    # --- messages of the protocol ---

    def translate(self, binder: Binder, server: Server, kind: int, chunk: bytes, at: int,
                  stop: int) -> bytes | None:  # fmt: skip
        """What to send for a Parse, Bind, Describe or Close about a given name; None: the message is not about one."""
        name = _name_of(kind, chunk, at, stop)
        if not name or not self.are_given(server, name) or self._is_refused(kind, chunk, at, stop):
            return None
        own = self.own
        if self.must_wait(server):
            self.series.waits = True
            return FLUSH
        given = name in server.dialogue.given.names or server.dialogue.given.deallocating_all
        if not given and (kind == ord("C") or (kind == ord("P") and own.knows(name))):
            return None  # what was not given need not be taken, and its name is not free
        ahead = self.giver.give(server, [name])
        if kind == ord("B"):
            ahead += self._begin(binder, server, name, chunk, at, stop)
            if self.series.waits:
                return ahead
        else:
            ahead += self._note(server, kind, name, chunk[at + 6 + len(name) : stop])
        server.dialogue.pipeline.expect(kind)
        return ahead + chunk[at:stop]

    def _begin(self, binder: Binder, server: Server, name: bytes, chunk: bytes, at: int, stop: int) -> bytes:
        """What goes ahead of a Bind, which may have to wait."""
        ahead = b""
        for effects in self.giver.effects_of(name, server):
            effects = replace(effects, bare=False)  # it is run as it is: no answer is put in
            ahead += binder.begin(server, effects, chunk, at, stop)
            if self.series.waits:
                return ahead
        self._note_run(server, name)
        self.series.executes = True
        return ahead

    def _note(self, server: Server, kind: int, name: bytes, body: bytes) -> bytes:
        """Note what a Parse (with this body), Describe or Close does; what goes ahead of it."""
        traces = server.dialogue.traces
        if kind == ord("P"):
            server.dialogue.given.names.setdefault(name, []).append(body)
            traces.effects |= sql.PREPARES
            return self.describe(server, self.own.state.classify(body))
        if kind == ord("C"):
            traces.effects |= sql.DEALLOCATES
            return b""
        return b"".join([self.describe(server, effects) for effects in self.giver.effects_of(name, server)])

    def _note_run(self, server: Server, name: bytes) -> None:
        """The statement of this name is run: count it, and note its text for the log."""
        bodies = server.dialogue.given.names.get(name)
        body = bodies[-1] if bodies else self.own.by_sql.get(name)
        if body is not None:
            self.series.said.bound(name, body)
            self.own.state.find_shape(body).count()

    def _is_refused(self, kind: int, chunk: bytes, at: int, stop: int) -> bool:
        if kind != ord("P"):
            return False
        state = self.own.state
        parts = parse_parts(chunk, at, stop)
        return parts is not None and state.refusal(state.classify(parts[1])) is not None

    # --- after the transaction ---

    def conclude(self, server: Server, found: Mapping[str, tuple[bool, str]]) -> None:
        """`found`: what the server has by the client's own names, whether by PREPARE, and the text."""
        there = {encode([name])[0]: statement for name, statement in found.items()}
        for name in server.dialogue.given.names.keys() - there.keys():
            del server.dialogue.given.names[name]
            self.own.forget(name)
            self.own.by_sql.pop(name, None)
        within: dict[
            bytes, dict[str, bytes]
        ] = {}  # PostgreSQL remembers all of the text that a PREPARE stood in
        for name, (by_sql, text) in there.items():
            source = text.encode(errors="surrogateescape")
            bodies = server.dialogue.given.names.get(name, [])
            server.dialogue.given.names[name] = []
            if by_sql:
                self.own.forget(name)
                if source not in within and self.own.by_sql.get(name) != source:
                    within[source] = find_prepares(source)
                prepares = within.get(source, {})
                self.own.by_sql[name] = prepares.get(name.decode(errors="surrogateescape"), source)
            elif bodies:
                self.own.by_sql.pop(name, None)
                body = next((body for body in bodies if body.startswith(source + b"\0")), bodies[-1])
                server.dialogue.given.names[name] = [body]
                self.own.define(name, body)
        self.readings.follow(self.own.by_sql)
        server.dialogue.given.empty &= server.dialogue.given.names.keys()
        server.dialogue.given.contested = server.dialogue.given.deallocating_all = False


def _name_of(kind: int, chunk: bytes, at: int, stop: int) -> bytes | None:
    """The statement's name in a Parse, Bind, Describe or Close."""
    if kind == ord("P"):
        parts = parse_parts(chunk, at, stop)
        return parts[0] if parts is not None else None
    if kind == ord("B"):
        where = bind_name(chunk, at, stop)
        return cut(chunk, *where) if where is not None else None
    return target_name(chunk, at, stop)
