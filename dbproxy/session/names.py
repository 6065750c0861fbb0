"""A client's statement names that its SQL uses, too: PREPARE, EXECUTE, DEALLOCATE.

A name that only the protocol uses is translated (session.statements): servers know the statement by a name of ours.
What SQL names, a server must have under that very name. So before a text that names statements is sent, they are
*given* to the server: what the client has by these names is prepared under them. From then on, for this loan, whatever
the client says of a given name goes to the server as it is, and PostgreSQL judges it. At the transaction's end the
server is asked what it has (pool.audit), and `conclude` takes that over.

A request has one outcome: behind an error all of it is ignored. Whether an *earlier* one has given or taken a name is
known once it is answered, so what uses given names waits for that (`must_wait`), behind a Flush, without which
PostgreSQL would keep back the answers to what has been sent since.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from dbproxy.pool.dues import Give
from dbproxy.pool.insertions import spell_sync
from dbproxy.pool.preparation import close_shared
from dbproxy.pool.server import Server
from dbproxy.session.readings import Readings
from dbproxy.session.vocabulary import Vocabulary
from dbproxy.sql import statement as sql
from dbproxy.sql.parser import find_prepare
from dbproxy.sql.statement import Statement
from dbproxy.wire import build
from dbproxy.wire.extended import bind_name, cut, parse_parts, target_name, write_close, write_parse

MOVES = sql.PREPARES | sql.DEALLOCATES | sql.DISCARDS  # may make names, or take them away
FLUSH = build.flush()
NO_SQL = b"\0\0\0"  # the body of an empty statement
ALL = b""  # DEALLOCATE ALL's name
USES = MOVES | sql.EXECUTES | sql.SHOWS_NAMES
DEPENDS = USES | sql.SHOWS_CHANNELS  # its answer may depend on answers that are due


def encode(names: Iterable[str]) -> list[bytes]:
    return [name.encode(errors="surrogateescape") for name in names]


class Translator(Protocol):
    """Says what goes ahead of a statement (session.statements). `asks`: the message has to wait, and comes again."""

    asks: bool
    executes: bool

    def begin(self, server: Server, effects: Statement, chunk: bytes, at: int, stop: int) -> bytes: ...
    def names_on(self, server: Server, effects: Statement) -> bytes: ...


class Names:
    """The names of one client, whose statements are `own`."""

    __slots__ = ("own", "readings")

    def __init__(self, own: Vocabulary, readings: Readings) -> None:
        self.own = own
        self.readings = readings

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

    # --- before SQL that names statements ---

    def use(self, server: Server, statement: Statement, effects: int, simple: bool) -> bytes:
        """Messages that go ahead of the statement; `simple`: it is a Query, which needs a Sync before it."""
        if server.dialogue.status == ord("E") and statement.single:
            return b""  # PostgreSQL refuses the statement
        involved = self._involved(server, statement)
        moved = [name for one in involved for name in encode((*one.prepares, *one.deallocates))]
        executed = [name for one in involved for name in encode(one.executes)]
        ahead = b""
        if server.dialogue.status != ord("E"):  # where PostgreSQL refuses it, and could be given nothing
            if effects & sql.SHOWS_NAMES:  # the statement sees all names that there are
                ahead = close_shared(server.dialogue)
                executed = [*self.own.statements, *self.own.by_sql]
            elif effects & sql.UNKNOWN and "search_path" not in server.dialogue.traces.touched:
                # A function may put an EXECUTE together. But what cannot be read now would fail the transaction.
                executed += [name for name in self.own.by_sql if name not in executed]
            kept = moved if len(involved) == 1 and statement.single else []
            kept = [name for name in kept if name not in executed]
            given = [name for name in (*moved, *executed[::-1]) if name not in kept]
            held = b"".join([self._hold(server, name, effects) for name in kept])
            held += self.give(server, given, simple=False)
            ahead += held + spell_sync(server.dialogue) if held and simple else held
        ahead += self._note_scopes(server, statement, effects, simple)
        for name in moved:
            if name != ALL and not self.own.knows(name):  # what the client knows was given, or could not be
                server.dialogue.given.names.setdefault(name, [])
        if effects & sql.DISCARDS and statement.single and server.dialogue.status == ord("T"):
            return ahead  # DISCARD ALL fails inside a transaction
        if effects & sql.DISCARDS or ALL in moved:
            server.dialogue.given.contested = server.dialogue.given.deallocating_all = True
        elif effects & MOVES and not moved:
            server.dialogue.given.contested = True
        return ahead

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
            for called in self.effects_of(name, server):
                involved.append(called)
                names += [other for other in encode(called.executes) if other not in names]
        return involved

    def give(self, server: Server, names: Iterable[bytes], simple: bool) -> bytes:
        """Messages that make the server have what the client has by these names."""
        ahead = b"".join([self._give(server, name) for name in names])
        if ahead and simple:
            ahead += spell_sync(server.dialogue)
        return ahead

    def _hold(self, server: Server, name: bytes, effects: int) -> bytes:
        """Messages that make the server have anything by this name, for a PREPARE to be refused, or to be deallocated.

        What the client has may not be readable any more: its tables were dropped, or are not on the search path.
        """
        given = server.dialogue.given
        if effects & sql.DEALLOCATES:  # and the name is gone
            given.empty.discard(name)
        if name in given.names or given.deallocating_all or not self.own.knows(name):
            return b""
        statement = self.own.statements.get(name)
        given.names[name] = [] if statement is None else [statement.body]
        if effects & sql.PREPARES:
            given.empty.add(name)
        server.dialogue.pipeline.skip(ord("P"), Give(name))
        return write_parse(name, NO_SQL)

    def _give(self, server: Server, name: bytes) -> bytes:
        hollow = name in server.dialogue.given.empty
        if server.dialogue.given.deallocating_all or (name in server.dialogue.given.names and not hollow):
            return b""
        if not hollow:
            return self._prepare(server, name)
        server.dialogue.given.empty.discard(name)
        server.dialogue.pipeline.skip(ord("C"))
        return write_close(name) + self._prepare(server, name)

    def _prepare(self, server: Server, name: bytes) -> bytes:
        statement = self.own.statements.get(name)
        if statement is not None:
            server.dialogue.given.names[name] = [statement.body]
            ahead = self.give(server, encode(statement.effects.executes), simple=False)
            return ahead + self.readings.parse(server, statement.scope, Give(name), name, statement.body)
        prepare = self.own.by_sql.get(name)
        if prepare is None:
            return b""
        server.dialogue.given.names[name] = []
        return self.readings.prepare_by_sql(server, name, prepare)

    def effects_of(self, name: bytes, server: Server | None = None) -> list[Statement]:
        """What the statement of this name may do, for each that it may be; none if there is none."""
        bodies = server.dialogue.given.names.get(name, []) if server is not None else []
        if bodies:
            return [self.own.state.classify(body) for body in bodies]
        if name in self.own.statements:
            return [self.own.statements[name].effects]
        if name in self.own.by_sql:
            prepare = self.own.state.classify(self.own.by_sql[name])
            return [replace(prepare, effects=prepare.effects & ~sql.PREPARES, prepares=())]
        return []

    # --- messages of the protocol ---

    def translate(self, translator: Translator, server: Server, kind: int, chunk: bytes, at: int,
                  stop: int) -> bytes | None:  # fmt: skip
        """What to send for a Parse, Bind, Describe or Close about a given name; None: the message is not about one."""
        name = _name_of(kind, chunk, at, stop)
        if not name or not self.are_given(server, name) or self._is_refused(kind, chunk, at, stop):
            return None
        own = self.own
        if self.must_wait(server):
            translator.asks = True
            return FLUSH
        given = name in server.dialogue.given.names or server.dialogue.given.deallocating_all
        if not given and (kind == ord("C") or (kind == ord("P") and own.knows(name))):
            return None  # what was not given need not be taken, and its name is not free
        ahead = self.give(server, [name], simple=False)
        if kind == ord("P"):
            body = chunk[at + 6 + len(name) : stop]
            server.dialogue.given.names.setdefault(name, []).append(body)
            server.dialogue.traces.effects |= sql.PREPARES
            ahead += translator.names_on(server, own.state.classify(body))
        elif kind == ord("D"):
            for effects in self.effects_of(name, server):
                ahead += translator.names_on(server, effects)
        elif kind == ord("B"):
            for effects in self.effects_of(name, server):
                effects = replace(effects, bare=False)  # it is run as it is: no answer is put in
                ahead += translator.begin(server, effects, chunk, at, stop)
                if translator.asks:
                    return ahead
            self._count(server, name)
            translator.executes = True
        elif kind == ord("C"):
            server.dialogue.traces.effects |= sql.DEALLOCATES
        server.dialogue.pipeline.expect(kind)
        return ahead + chunk[at:stop]

    def _count(self, server: Server, name: bytes) -> None:
        bodies = server.dialogue.given.names.get(name)
        body = bodies[-1] if bodies else self.own.by_sql.get(name)
        if body is not None:
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
        for name, (by_sql, text) in there.items():
            source = text.encode(errors="surrogateescape")
            bodies = server.dialogue.given.names.get(name, [])
            server.dialogue.given.names[name] = []
            if by_sql:
                self.own.forget(name)
                if (
                    self.own.by_sql.get(name) != source
                ):  # PostgreSQL remembers all of the text that a PREPARE stood in
                    self.own.by_sql[name] = find_prepare(source, name.decode(errors="surrogateescape"))
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
