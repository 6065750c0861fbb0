"""What a client's statement names mean, whichever server knows them.

A named statement is shared by all clients that prepare the same text (pool.prepared); the unnamed one is the client's
own. What is parsed or closed while there is no server is *promised*: it counts at once, and is answered in its turn.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from dbproxy.pool.dues import Close, Parse, new_parse
from dbproxy.pool.pool import Pool
from dbproxy.pool.prepared import Statement
from dbproxy.pool.request import Refusal
from dbproxy.pool.scopes import PATH, READ, Scope, Scopes
from dbproxy.pool.server import Server
from dbproxy.session.unnamed import Unnamed
from dbproxy.sql.comments import cut_comments
from dbproxy.sql.constants import judge_text
from dbproxy.sql.identity import NO_SHAPE, Shape
from dbproxy.sql.statement import MOMENTARY, OWN_TYPES, READS_SETTINGS
from dbproxy.sql.statement import Statement as Effects
from dbproxy.wire.extended import (
    cut,
    find_zero,
    length_at,
    parse_parts,
    stands_at,
    target_name,
    write_close,
    write_parse,
)
from dbproxy.wire.pipeline import faked_reply

# Of a name: its statement, and the columns that the client was told, 0 if none.
Meaning = tuple[Statement, int]
# Of one that a Parse or Close is taken back for; bytes: the text of a PREPARE, or the unnamed statement.
Previous = Meaning | bytes | None
PROMISE_LIMIT = 10000  # Parse and Close messages dealt with before there is a server


def cut_body(body: bytes) -> bytes:
    """A Parse's body without the comments that tell who asks, which would make each request's another one."""
    if b"/*" not in body:
        return body
    stop = body.find(b"\0")
    return cut_comments(body[:stop]) + body[stop:] if stop >= 0 else body


def constants_of(body: bytes, effects: Effects) -> int:
    """What is read as a Parse's body is parsed (sql.constants); a function in SQL may be made part of its plan."""
    stop = body.find(b"\0")
    own = READS_SETTINGS if effects.functions else 0
    return effects.constants | own | judge_text(body if stop < 0 else body[:stop])


def kind_of(statement: Statement | None) -> int:
    """The kind of a promise: a Parse has a statement, a Close has none."""
    return ord("C") if statement is None else ord("P")


class Session(Protocol):
    """What a vocabulary asks of its client's session (session.state)."""

    @property
    def owner(self) -> int: ...
    def find_shape(self, body: bytes) -> Shape: ...
    def classify(self, body: bytes) -> Effects: ...
    def refusal(self, statement: Effects) -> Refusal | None: ...
    def show(self, server: Server, effects: int, simple: bool) -> bytes: ...


class Vocabulary:
    """Of one client. `shares`: whether statements are shared at all (not in session mode).

    `scope`: what is read at Parse now (pool.scopes); `plain`: by texts that settings do not concern.
    """

    def __init__(self, pool: Pool, shares: bool, settings: Mapping[str, str], state: Session) -> None:
        self.pool = pool
        self.state = state
        self.stats = pool.stats
        self.shares = shares
        self.own_scopes = Scopes.of(settings)
        self.scope: Scope = self.own_scopes.full
        self.plain: Scope = self.own_scopes.plain
        # Whether the scopes are those of the transaction at hand, 2: as changed since the server was last asked.
        self.departed = 0
        self.statements: dict[bytes, Statement] = {}
        self.size = 0  # of their names and texts, in bytes
        self.called = b""  # the name that was asked for last
        self.called_statement: Statement | None = None  # what it means
        self.promised: list[tuple[Parse | Close, Statement | None]] = []
        self.faked = self.promised  # the promises of the request at hand
        self.described: dict[bytes, int] = {}  # by name, the columns that the client was told
        self.unnamed = Unnamed(self.scope)
        self.by_sql: dict[bytes, bytes] = {}  # statements made by PREPARE, with its text
        self.describing: set[bytes] = set()  # the request at hand asks for the columns of these

    def __len__(self) -> int:
        return len(self.statements)

    # --- what they mean ---

    def knows(self, name: bytes) -> bool:
        return name in self.statements or name in self.by_sql

    def find_called(self, chunk: bytes, start: int, stop: int) -> Statement | None:
        """What the name means that a Bind has there, which is `called` now: mostly the same as before."""
        if stop - start != len(self.called) or not stands_at(chunk, start, self.called):
            self.called = cut(chunk, start, stop)
            self.called_statement = self.statements.get(self.called)
        return self.called_statement

    def change(self, name: bytes, statement: Statement | None) -> None:
        """The name means this from now on, or nothing."""
        self.called = b""
        self.called_statement = None
        if statement is None:
            del self.statements[name]
        else:
            self.statements[name] = statement

    def body_of(self, name: bytes) -> bytes:
        """What the name means: a Parse's body, or the text of a PREPARE; b"" if that is not known."""
        if not name:
            return self.unnamed.body or b""
        known = self.statements.get(name)
        return known.body if known is not None else self.by_sql.get(name, b"")

    def shape_of(self, name: bytes) -> Shape:
        """Of the statement that the name means."""
        if not name:
            return self.unnamed.shape
        known = self.statements.get(name)
        return known.shape if known is not None else self.state.find_shape(self.body_of(name))

    def reads_as_now(self, name: bytes) -> bool:
        """Whether the session reads what the name means as it did at its Parse; so it is with one that is not known."""
        known = self.statements.get(name)
        scope = known.scope if known is not None else self.unnamed.scope
        return (bool(name) and known is None) or scope is self.scope or scope is self.plain

    def define(self, name: bytes, body: bytes) -> None:
        """The name means this, as a server says."""
        known = self.statements.get(name)
        if known is None or known.body != body:
            self.forget(name)
            self.keep(name, self.find(body, self.state.find_shape(body)))

    def keep(self, name: bytes, statement: Statement) -> None:
        """The name, which means nothing, means this."""
        self.change(name, statement)
        self.size += len(name) + len(statement.body)

    def find(self, body: bytes, shape: Shape) -> Statement:
        effects = shape.effects
        constants = constants_of(body, effects)
        scope = self.scope if constants & READS_SETTINGS else self.plain
        if constants & MOMENTARY or not scope.known():
            return Statement(body, shape, scope)
        # What EXECUTE runs is the client's own: equal texts are not equal statements.
        owner = b"%d" % self.state.owner if effects.executes else b""
        statement: Statement = self.pool.tenant.statements.find(body, scope, shape, owner)
        if statement.parsed and not owner and (constants & OWN_TYPES or statement.may_have_own_types()):
            twin, statement = statement, Statement(body, shape, scope)
            statement.twin = twin
        return statement

    def part(self, name: bytes, statement: Statement) -> Statement:
        """The session's settings are not those of its Parse: what others share is not to be read again under them."""
        if not statement.shared or statement.scope.reads_as(self.scope):
            return statement
        own = Statement(statement.body, statement.shape, statement.scope)
        self.change(name, own)
        return own

    def looks_elsewhere(self, statement: Statement) -> bool:
        """Whether names mean something else to the session than they did at the statement's Parse."""
        return statement.scope.path != self.scope.path

    def is_describing(self, name: bytes) -> bool:
        return len(self.describing) > 0 and name in self.describing

    def meaning(self, name: bytes) -> Meaning | None:
        statement = self.statements.get(name)
        return None if statement is None else (statement, self.described.get(name, 0))

    def forget(self, name: bytes) -> Meaning | None:
        """The name means nothing any more; what it meant."""
        meaning = self.meaning(name)
        self.described.pop(name, None)
        if meaning is not None:
            self.change(name, None)
            self.size -= len(name) + len(meaning[0].body)
        return meaning

    def restore(self, name: bytes, previous: Previous) -> None:
        """A Parse or Close of this name did not happen after all."""
        if isinstance(previous, tuple):
            statement, columns = previous
            self.forget(name)
            self.keep(name, statement)
            if columns:
                self.described[name] = columns
        elif not name:
            shape = self.state.find_shape(previous) if previous is not None else NO_SHAPE
            self.unnamed.become(previous, shape, self.scope)
        elif previous is None:
            self.forget(name)
        else:
            self.by_sql[name] = previous

    def merge(self, twin: Statement, statement: Statement) -> None:
        """What the client's Parse has made is the shared statement after all."""
        for name, known in self.statements.items():
            if known is twin:
                self.change(name, statement)

    def forget_all(self, spared: set[bytes]) -> None:
        """DEALLOCATE ALL or DISCARD ALL was carried out; `spared` were prepared since."""
        self.by_sql.clear()
        for name in self.statements.keys() - spared:
            self.forget(name)

    def share_no_more(self, settings: Iterable[str]) -> None:
        """Until the transaction ends equal words may mean something else than elsewhere, if these settings tell."""
        path, read = not PATH.isdisjoint(settings), not READ.isdisjoint(settings)
        if path or read:
            self.enter(Scopes(self.scope, self.plain).without(path, read))
            self.departed = 2

    def asked(self) -> None:
        """The server is asked for the session's settings, all that was sent having been carried out."""
        self.departed = min(self.departed, 1)

    def settle(self, settings: Mapping[str, str]) -> None:
        """The session's settings are these, or were when the server was asked, and others are on their way."""
        self.own_scopes = Scopes.of(settings)
        if self.departed < 2:
            self.enter(self.own_scopes)

    def enter(self, scopes: Scopes) -> None:
        self.departed = 0
        self.scope = scopes.full
        self.plain = scopes.plain

    # --- without a server ---

    def promise(self, kind: int, chunk: bytes, at: int) -> bool:
        """Deal with a Parse or Close without a server, if none need be asked: its reply is faked in its turn.

        Without this a driver that prepares in one connection, and keeps transactions open in as many others as
        there are servers, would wait for itself.
        """
        if len(self.promised) >= PROMISE_LIMIT:
            return False
        stop = at + length_at(chunk, at)
        if kind == ord("P") and find_zero(chunk, at + 5, stop) == at + 5:  # the unnamed one
            return False
        statement: Statement | None = None
        due: Parse | Close
        if kind == ord("P"):
            parts = parse_parts(chunk, at, stop)
            if parts is None or parts[0] in self.statements or parts[0] in self.by_sql:
                return False
            name, body = parts[0], cut_body(parts[1])
            shape = self.state.find_shape(body)
            effects = shape.effects
            if effects.listens or effects.executes or self.state.refusal(effects) is not None:
                return False
            statement = self.find(body, shape)
            if not statement.parsed:
                return False
            self.stats.client_parse_count += 1
            self.keep(name, statement)
            due = new_parse(name, None, b"", None)
        else:
            name = target_name(chunk, at, stop) or b""
            if not name or name in self.by_sql:
                return False
            due = Close(name, self.forget(name))
        self.promised.append((due, statement))
        return True

    def keep_promises(self) -> bytes:
        """The replies promised without a server."""
        replies = b"".join([faked_reply(kind_of(statement)) for _, statement in self.promised])
        self.promised.clear()
        return replies

    def borrow(self, server: Server) -> None:
        """A loan begins: what was promised is answered in its turn."""
        if self.departed:
            self.enter(self.own_scopes)
        if self.promised:
            for due, statement in self.promised:
                server.dialogue.pipeline.fake(kind_of(statement), due)
            self.faked, self.promised = self.promised, []

    def end_request(self) -> None:
        """All that was sent has been answered."""
        if self.faked:
            self.faked = []
        if self.describing:
            self.describing.clear()

    def spell_faked(self) -> bytes:
        """The messages that were dealt with before there was a server, as they were sent."""
        return b"".join(
            [
                write_close(due.name) if statement is None else write_parse(due.name, statement.body)
                for due, statement in self.faked
            ]
        )
