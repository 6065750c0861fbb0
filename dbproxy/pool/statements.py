"""Which prepared statements a server has, under names of ours (pool.prepared), and what it is sent to have others.

A message that is sent for one leaves a note in the pipeline: (client's name, what that meant before, server's name,
statement), and for a Parse of ours the batch that it was sent in, which tells whether an error has discarded it.
"""

from typing import Any

from dbproxy.pool.prepared import RENEWED, Portal, Statement
from dbproxy.pool.tenant import Tenant
from dbproxy.wire.extended import columns_key, length_at, write_close, write_describe, write_parse
from dbproxy.wire.pipeline import FAKE, KIND, Pipeline

UNKNOWN_STATEMENT = b"\0"  # an unnamed statement on the server that is no client's


class ServerStatements:
    """One server's. `unnamed`: the body of its unnamed one; `batch`: how many Syncs clients have sent to it."""

    def __init__(self, tenant: Tenant, pipeline: Pipeline) -> None:
        self.tenant = tenant
        self.stats = tenant.stats
        self.pipeline = pipeline
        self.prepared: dict[bytes, Statement] = {}
        self.unnamed: bytes | None = None
        self.batch = 0
        # What we prepared and is not known to be there: in which batch.
        self.unconfirmed: dict[bytes, int] = {}

    # --- sending ---

    def keep(self, statement: Statement) -> bytes:
        """Note that the server has the statement; returns Close messages for what it must give up for it."""
        self.prepared[statement.name] = statement
        closes = b""
        while len(self.prepared) > self.tenant.settings.max_prepared_statements > 0:
            name = next(iter(self.prepared))
            oldest = self.prepared.pop(name)
            self.pipeline.skip(ord("C"), (b"", None, name, oldest))
            closes += write_close(name)
        return closes

    def has(self, statement: Statement) -> bool:
        """Whether `prepare` would send nothing."""
        name = statement.name
        return name in self.prepared and self.unconfirmed.get(name, self.batch) == self.batch

    def prepare(self, statement: Statement, describe: bool = False) -> bytes:
        """Messages that make the server have the statement, unseen by the client; empty if it has.

        `describe`: ask for its columns too, even if nobody was told them yet.
        """
        if statement.name in self.prepared:
            self.prepared[statement.name] = self.prepared.pop(statement.name)  # now the one used last
            if self.unconfirmed.get(statement.name, self.batch) == self.batch:
                return b""
        closes = self.keep(statement)
        if self.unconfirmed.get(statement.name, self.batch) != self.batch:
            # An error before the last Sync may have made the server discard our Parse: whether or not, it has it then.
            self.pipeline.skip(ord("C"))
            closes += write_close(statement.name)
        self.unconfirmed[statement.name] = self.batch
        self.pipeline.skip(ord("P"), (b"", None, statement.name, statement, self.batch))
        self.stats.server_parse_count += 1
        return closes + write_parse(statement.name, statement.body) + self.compare(statement, describe)

    def compare(self, statement: Statement, describe: bool = False) -> bytes:
        """A Describe behind a Parse, if the columns have to be those that other servers told (pool.prepared)."""
        if not (describe or statement.columns or statement.twin is not None):
            return b""
        self.pipeline.skip(ord("D"), (b"", None, statement.name, statement))
        return write_describe(statement.name)

    def close_shared(self) -> bytes:
        """Messages that take away all statements with names of ours."""
        names = list(self.prepared)
        for name in names:
            self.pipeline.skip(ord("C"), (b"", None, name, self.prepared.pop(name)))
        return b"".join(map(write_close, names))

    # --- replies ---

    def accepted(self, note: Any) -> None:
        """ParseComplete: the statement is known to be good, and there."""
        if note is None or type(note) is bytes:
            return
        if len(note) > 4:
            self.unconfirmed.pop(note[2], None)
        if note[3] is not None:
            note[3].parsed = True

    def learn(self, columns: int, full: int, note: Any, client: Any) -> None:
        """A statement's Describe was answered: keep to one name for one set of columns; the client was told, or not."""
        if isinstance(note, Portal):
            if client is not None:
                client.told_unnamed(columns, full, note is RENEWED)
            return
        if note is None or note[3] is None:
            return
        name, _, server_name, statement = note
        if server_name == statement.name:
            statement.learn(columns, full)
        if name and client is not None:
            client.told(name, statement, full)
        twin, statement.twin = statement.twin, None
        if twin is not None and twin.full != full:
            self.tenant.statements.replace(twin, statement)
        elif twin is not None and client is not None:
            client.merge(statement, twin)

    def learn_portal(self, chunk: bytes, at: int, note: Portal, client: Any) -> None:
        """The client was told a portal's columns; those of the unnamed statement are seldom needed."""
        if client is None:
            return
        if note.statement is None:
            client.told_portal(chunk[at : at + length_at(chunk, at)])
            return
        columns = columns_key(b"", chunk, at)
        if note.server_name == note.statement.name:
            note.statement.learn(columns, 0)
        client.told(note.name, note.statement, columns)

    def forget(self, client: Any) -> None:
        """All named statements are gone, but for those whose Parse was sent since and is still due."""
        later = self.pipeline.notes_of(ord("P"))
        self.prepared.clear()
        self.prepared.update({note[2]: note[3] for note in later if note[3] is not None})
        if client is not None:
            client.forget_statements({note[0] for note in later})

    def undo(self, entry: int, note: Any) -> None:
        """The server has discarded this Parse or Close."""
        _, _, name, statement = note[:4]
        if len(note) > 4:
            self.undo_ours(note)
        elif name and entry & KIND == ord("P"):
            self.prepared.pop(name, None)
            self.unconfirmed.pop(name, None)
        elif name:
            self.prepared[name] = statement
        elif not entry & FAKE:
            self.unnamed = UNKNOWN_STATEMENT

    def undo_ours(self, note: Any) -> None:
        """A Parse of ours was discarded. If the statement is there all the same, or was sent again, it stays."""
        if self.unconfirmed.get(note[2]) == note[4]:
            del self.unconfirmed[note[2]]
            self.prepared.pop(note[2], None)
