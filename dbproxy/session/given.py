"""What a client has by names that SQL uses, and giving it to a server under just these names (session.names)."""

from collections.abc import Iterable
from dataclasses import replace

from dbproxy.pool.dues import Give
from dbproxy.pool.server import Server
from dbproxy.session.readings import Readings
from dbproxy.session.vocabulary import Vocabulary
from dbproxy.sql import statement as sql
from dbproxy.sql.statement import Statement
from dbproxy.wire.extended import write_close, write_parse

NO_SQL = b"\0\0\0"  # the body of an empty statement


def encode(names: Iterable[str]) -> list[bytes]:
    return [name.encode(errors="surrogateescape") for name in names]


class Giver:
    """Of one client, whose statements are `own`."""

    __slots__ = ("own", "readings")

    def __init__(self, own: Vocabulary, readings: Readings) -> None:
        self.own = own
        self.readings = readings

    def give(self, server: Server, names: Iterable[bytes]) -> bytes:
        """Messages that make the server have what the client has by these names."""
        return b"".join([self._give(server, name) for name in names])

    def hold(self, server: Server, name: bytes, effects: int) -> bytes:
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
        is_empty = name in server.dialogue.given.empty
        if server.dialogue.given.deallocating_all or (name in server.dialogue.given.names and not is_empty):
            return b""
        if not is_empty:
            return self._prepare(server, name)
        server.dialogue.given.empty.discard(name)
        server.dialogue.pipeline.skip(ord("C"))
        return write_close(name) + self._prepare(server, name)

    def _prepare(self, server: Server, name: bytes) -> bytes:
        statement = self.own.statements.get(name)
        if statement is not None:
            server.dialogue.given.names[name] = [statement.body]
            ahead = self.give(server, encode(statement.effects.executes))
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
