"""What a client's statement names mean, and what is sent for its Parse, Bind, Describe and Close.

A named statement is shared: the server knows it by a name of ours (pool.prepared), gets it when somebody binds it
there, and is not sent a Parse of what it has. The unnamed statement stays the client's own: it is prepared again on a
server that has another one. Each message that is answered leaves an entry in the server's pipeline; its note says
what to undo if the server discards it: (client's name, what that meant before, server's name, statement).
"""

from typing import Any

from dbproxy.errors import MessageTooLarge
from dbproxy.pool.pool import Pool
from dbproxy.pool.prepared import AGAIN, CHANGED, NOWHERE, Statement
from dbproxy.pool.server import Server
from dbproxy.wire import build
from dbproxy.wire.extended import (
    bind_name,
    cut,
    length_at,
    parse_parts,
    target_name,
    write_bind,
    write_close,
    write_describe,
    write_parse,
)
from dbproxy.wire.pipeline import faked_reply

FORGOTTEN = 1  # the columns that a client was told before a Close that failed: equal to no others
FLUSH = build.flush()
PROMISE_LIMIT = 10000  # Parse and Close messages dealt with before there is a server


class ClientStatements:
    """One client's statements. `shares`: whether they are shared at all (not in session mode); `scope`: search_path."""

    def __init__(self, pool: Pool, shares: bool, scope: bytes) -> None:
        self.pool = pool
        self.stats = pool.stats
        self.shares = shares
        self.scope = scope
        self.statements: dict[bytes, Statement] = {}
        self.promised: list[tuple[int, tuple[bytes, Statement | None, bytes, None], Statement | None]] = []
        self.faked = self.promised  # those of the request at hand
        self.described: dict[bytes, int] = {}  # by name, the columns that the client was told
        self.asks = False  # what comes next is not sent until the server has told a statement's columns
        self.unnamed: bytes | None = None
        self.describes = False  # the request at hand asks for its columns
        self.executes = False  # since the last Sync, more was asked for than to prepare
        self.seen: bytes = b""  # where the text of the request at hand is, for the log
        self.seen_at = -1

    def __len__(self) -> int:
        return len(self.statements)

    def promise(self, kind: int, chunk: bytes, at: int) -> bool:
        """Deal with a Parse or Close without a server, if none need be asked: its reply is faked in its turn.

        Without this a driver that prepares in one connection, and keeps transactions open in as many others as
        there are servers, would wait for itself.
        """
        if len(self.promised) >= PROMISE_LIMIT:
            return False
        stop = at + length_at(chunk, at)
        previous = statement = None
        if kind == ord("P"):
            parts = parse_parts(chunk, at, stop)
            if parts is None or not parts[0] or parts[0] in self.statements:
                return False
            name, body = parts
            statement = self.pool.statements.find(body, self.scope)
            if not statement.parsed:
                return False
            self.stats.client_parse_count += 1
            self.statements[name] = statement
        else:
            name = target_name(chunk, at, stop) or b""
            if not name:
                return False
            previous = self.forget(name)
        self.promised.append((kind, (name, previous, b"", None), statement))
        return True

    def keep_promises(self) -> bytes:
        """The replies promised without a server."""
        replies = b"".join([faked_reply(kind) for kind, _, _ in self.promised])
        self.promised.clear()
        return replies

    def translate(self, server: Server, kind: int, chunk: bytes, at: int, stop: int) -> bytes | None:
        """What to send instead of a Parse, Bind, Describe or Close; None: the message as it is."""
        if kind == ord("B"):
            return self.bind(server, chunk, at, stop)
        if kind == ord("P"):
            return self.parse(server, chunk, at, stop)
        if kind == ord("D"):
            self.describes = True
            return self.describe(server, chunk, at, stop)
        return self.close(server, chunk, at, stop)

    def parse(self, server: Server, chunk: bytes, at: int, stop: int) -> bytes | None:
        self.stats.client_parse_count += 1
        self.seen = chunk
        self.seen_at = at
        parts = parse_parts(chunk, at, stop) if self.shares else None
        if parts is None:
            server.pipeline.expect(ord("P"))
            return None
        name, body = parts
        if not name:
            server.pipeline.expect(ord("P"), (b"", self.unnamed, b"", None))
            self.unnamed = server.unnamed = body
            return None
        known = self.statements.get(name)
        if known is not None:
            return self.parse_again(server, name, known, body)
        statement = self.pool.statements.find(body, self.scope)
        self.statements[name] = statement
        if statement.name in server.prepared and server.status != ord("E"):
            server.prepare(statement)
            server.pipeline.fake(ord("P"), (name, None, b"", None))
            return b""
        if statement.name in server.prepared:
            # In a failed transaction PostgreSQL must say what it says to a Parse.
            statement.renew()
        closes = server.keep(statement)
        server.pipeline.expect(ord("P"), (name, None, statement.name, statement))
        self.stats.server_parse_count += 1
        return closes + write_parse(statement.name, body) + server.compare(statement)

    def parse_again(self, server: Server, name: bytes, known: Statement, body: bytes) -> bytes:
        """A name that exists. PostgreSQL judges the text first and then the name; what servers have is not touched."""
        server.pipeline.skip(ord("C"))
        server.pipeline.skip(ord("P"))
        server.pipeline.expect(ord("P"), (name, known, AGAIN, None))
        return write_close(AGAIN) + write_parse(AGAIN, body) + write_parse(AGAIN, body)

    def bind(self, server: Server, chunk: bytes, at: int, stop: int) -> bytes | None:
        self.stats.bind_count += 1
        self.executes = True
        where = bind_name(chunk, at, stop) if self.shares else None
        if where is None:
            if self.shares and stop < at + length_at(chunk, at):
                raise MessageTooLarge(f"portal and statement name of a Bind are over {stop - at} bytes")
            server.pipeline.expect(ord("B"))
            return None
        start, end = where
        if start == end:
            prepares = self.unnamed_on(server)
            server.pipeline.expect(ord("B"))
            return prepares + chunk[at:stop] if prepares else None
        name = cut(chunk, start, end)
        statement = self.statements.get(name)
        if statement is None:
            server.pipeline.expect(ord("B"), (name, None, NOWHERE, None))
            return write_bind(chunk, at, start, end, stop, NOWHERE)
        self.seen = statement.body
        self.seen_at = -1
        told = self.described.get(name, 0)
        if told and not self.describes:
            if statement.columns and statement.columns != told:
                server.pipeline.expect(ord("B"), (name, None, CHANGED, None))
                return write_bind(chunk, at, start, end, stop, CHANGED)
            if statement.name not in server.prepared:
                self.asks = True
                self.stats.bind_count -= 1  # it comes again
                return server.prepare(statement, describe=True) + FLUSH
        prepares = server.prepare(statement)
        server.pipeline.expect(ord("B"), (name, None, statement.name, statement))
        bind = write_bind(chunk, at, start, end, stop, statement.name)
        return prepares + bind if prepares else bind

    def describe(self, server: Server, chunk: bytes, at: int, stop: int) -> bytes | None:
        name = target_name(chunk, at, stop) if self.shares else None
        if name is None:
            server.pipeline.expect(ord("D"))
            return None
        if not name:
            prepares = self.unnamed_on(server)
            server.pipeline.expect(ord("D"))
            return prepares + chunk[at:stop] if prepares else None
        statement = self.statements.get(name)
        if statement is None:
            server.pipeline.expect(ord("D"), (name, None, NOWHERE, None))
            return write_describe(NOWHERE)
        prepares = server.prepare(statement)
        server.pipeline.expect(ord("D"), (name, None, statement.name, statement))
        return prepares + write_describe(statement.name)

    def close(self, server: Server, chunk: bytes, at: int, stop: int) -> bytes | None:
        name = target_name(chunk, at, stop) if self.shares else None
        if name is None:
            server.pipeline.expect(ord("C"))
            return None
        if not name:
            server.pipeline.expect(ord("C"), (b"", self.unnamed, b"", None))
            self.unnamed = server.unnamed = None
            return None
        previous = self.forget(name)
        server.pipeline.fake(ord("C"), (name, previous, b"", None))
        return b""

    def forget(self, name: bytes) -> Statement | None:
        self.described.pop(name, None)
        return self.statements.pop(name, None)

    def unnamed_on(self, server: Server) -> bytes:
        """Messages that make the server's unnamed statement this client's, or make it have none."""
        if self.unnamed is server.unnamed:
            return b""
        server.unnamed = self.unnamed
        if self.unnamed is None:
            server.pipeline.skip(ord("C"), (b"", None, b"", None))
            return write_close(b"")
        server.pipeline.skip(ord("P"), (b"", None, b"", None))
        self.stats.server_parse_count += 1
        return write_parse(b"", self.unnamed)

    def restore(self, name: bytes, previous: Any) -> None:
        """A Parse or Close of this name did not happen after all."""
        if not name:
            self.unnamed = previous
        elif previous is None:
            self.statements.pop(name, None)
        else:
            self.statements[name] = previous
            self.described[name] = FORGOTTEN

    def forget_all(self, spared: set[bytes]) -> None:
        """DEALLOCATE ALL or DISCARD ALL was carried out; `spared` were prepared since."""
        for name in self.statements.keys() - spared:
            self.forget(name)

    # --- a loan ---

    def borrow(self, server: Server) -> None:
        """A loan begins: what was promised is answered in its turn."""
        if self.promised:
            for kind, note, _ in self.promised:
                server.pipeline.fake(kind, note)
            self.faked, self.promised = self.promised, []

    def end_request(self) -> None:
        """All that was sent has been answered."""
        if self.faked:
            self.faked = []
        self.describes = False

    def spell_faked(self) -> bytes:
        """The messages that were dealt with before there was a server, as they were sent."""
        return b"".join(
            [
                write_close(note[0]) if statement is None else write_parse(note[0], statement.body)
                for _, note, statement in self.faked
            ]
        )
