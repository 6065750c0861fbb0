"""What a client's statements were read by at their Parse (pool.scopes), and preparing them again under just that.

A statement that was prepared under other settings than the session has now is prepared on another server with those
settings around its Parse, for the transaction. Where a transaction has changed them itself, only the server knows what
a Parse in it was read by: it is asked to write that down, in a setting of ours that the audit reads. What is rolled
back is not known then, and such a statement has to be prepared anew by its client.
"""

from collections.abc import Callable, Mapping
from itertools import count

from dbproxy.pool.audit import MARKS
from dbproxy.pool.insertions import spell_ours, spell_run
from dbproxy.pool.preparation import spell_prepare
from dbproxy.pool.prepared import Statement
from dbproxy.pool.scopes import Scope
from dbproxy.pool.server import Server
from dbproxy.session.vocabulary import Vocabulary, constants_of
from dbproxy.sql.statement import READS_SETTINGS, SETS
from dbproxy.wire.due import Due
from dbproxy.wire.extended import write_parse


class Readings:
    """The readings of one client, whose statements are `own`."""

    __slots__ = ("by_sql", "own", "prepares", "unread")

    def __init__(self, own: Vocabulary) -> None:
        self.own = own
        self.by_sql: dict[bytes, Scope] = {}  # of statements made by PREPARE
        self.prepares: dict[bytes, Scope] = {}  # of a PREPARE that is under way
        self.unread: dict[str, Scope] = {}  # what is asked of the server, by the setting that it is to be in

    def prepare(self, server: Server, statement: Statement, describe: bool = False) -> bytes:
        """Messages that make the server have the statement."""
        return self.under(
            server, statement.scope, lambda: spell_prepare(server.dialogue, statement, describe=describe)
        )

    def parse(self, server: Server, scope: Scope, due: Due, name: bytes, body: bytes) -> bytes:
        """A Parse of ours."""

        def spell() -> bytes:
            server.dialogue.pipeline.skip(ord("P"), due)
            return write_parse(name, body)

        return self.under(server, self._of(scope, body), spell)

    def prepare_by_sql(self, server: Server, name: bytes, prepare: bytes) -> bytes:
        scope = self._of(self.by_sql.get(name, self.own.scope), prepare)
        return self.under(server, scope, lambda: spell_run(server.dialogue, prepare, name))

    def under(self, server: Server, scope: Scope, spell: Callable[[], bytes]) -> bytes:
        """What `spell` says, which makes a statement, with the scope's settings around it."""
        turns = None if scope is self.own.scope or scope is self.own.plain else scope.turns(self.own.scope)
        if turns is None or server.dialogue.status == ord("E"):
            return spell()
        ahead = spell_run(server.dialogue, turns[0].encode(errors="surrogateescape"))
        ahead += spell()
        return ahead + spell_run(server.dialogue, turns[1].encode(errors="surrogateescape"))

    def _of(self, scope: Scope, body: bytes) -> Scope:
        concerned = constants_of(body, self.own.state.classify(body)) & READS_SETTINGS
        return scope if concerned or scope is self.own.scope else scope.without_settings()

    # --- what only the server knows ---

    def are_lost(self, scope: Scope) -> bool:
        """Whether nobody knows any more what it was read by."""
        return scope.read is None and scope is not self.own.scope

    def note(self, server: Server, scope: Scope, simple: bool) -> bytes:
        """What goes ahead of a Parse or PREPARE, if the transaction has changed what it is read by."""
        if scope.read is not None or scope in self.unread.values() or server.dialogue.status == ord("E"):
            return b""
        name = next(name for name in map(f"{MARKS}{{}}".format, count()) if name not in self.unread)
        self.unread[name] = scope
        server.dialogue.traces.touched.add(name)
        server.dialogue.traces.effects |= SETS
        sets = f"SELECT pg_catalog.set_config('{name}', {scope.question()}, false)"
        return spell_ours(server.dialogue, [sets], simple)

    def conclude(self, named: Mapping[str, str | None]) -> None:
        """A transaction is over; `named`: settings, by name, those that were asked for. Others are of a later one."""
        for name in self.unread.keys() & named.keys():
            scope, answer = self.unread.pop(name), named[name]
            if answer:
                scope.learn(answer)

    def follow(self, by_sql: Mapping[bytes, bytes]) -> None:
        """These are the statements made by PREPARE now; of one that was not noted the session's settings are taken."""
        for name in self.by_sql.keys() - by_sql.keys():
            del self.by_sql[name]
        for name in by_sql:
            self.by_sql[name] = self.prepares.get(name) or self.by_sql.get(name) or self.own.scope
        self.prepares.clear()
