"""Prepared statements shared by clients and servers.

A client prepares `s1`; what it means is a *body*: text and parameter types. Equal bodies are one `Statement`, with one
name of ours on every server that has it. A server that has not gets it when somebody binds it there; it keeps the
`max_prepared_statements` used last. The registry that makes bodies equal forgets the ones used longest ago: who
holds one of those keeps it, and only sharing it with newcomers is lost.

A table may change between two servers' preparing the same body. PostgreSQL refuses a plan whose result changed, since
clients read rows by the columns that they were told once; so under one name all servers must describe equal columns.
Where columns were told already, a server that prepares the statement now is asked for them too; if they differ, the
statement takes a new name, and whoever was told the old ones gets PostgreSQL's error.

What is read at Parse (pool.scopes) parts statements, too. Where a statement has types that the database has defined,
they may have been dropped and made again by somebody whom we do not see, and PostgreSQL keeps their old numbers: then
a client's Parse is sent, as a *twin*, which stays the client's own until it has been described like the shared one.
"""

from collections import OrderedDict
from collections.abc import Callable
from itertools import count

from dbproxy.pool.scopes import Scope, Scopes
from dbproxy.sql.identity import NO_SHAPE, Shape

PREFIX = b"dbproxy_"
NOWHERE = (
    b"dbproxy/none"  # a name that no server has: PostgreSQL itself says that the statement does not exist
)

AGAIN = b"dbproxy/again"  # a name to prepare twice, so that PostgreSQL says what it says to that
CHANGED = b"dbproxy/changed"  # like NOWHERE, for one whose columns are no longer what the client was told

NOWHERE_ELSE = Scopes.of({}).plain
_serials = count(1)


class Statement:
    """A body, and the name it has on servers at present. `parsed`: a server has accepted it once.

    `columns`: what servers describe under this name (`wire.reply.columns_key`), of a portal; `full`: with the types
    of parameters; 0 if nobody was told. `shape`: of its text; `effects`: what it may do to its session. `scope`: what
    else was read as it was parsed. `shared`: other clients may have it. `twin`: the shared one that this may turn out
    to be.
    """

    __slots__ = ("body", "columns", "effects", "full", "name", "parsed", "scope", "shape", "shared", "twin")

    def __init__(self, body: bytes, shape: Shape = NO_SHAPE, scope: Scope = NOWHERE_ELSE) -> None:
        self.body = body
        self.shape = shape
        self.effects = shape.effects
        self.scope = scope
        self.shared = False
        self.twin: Statement | None = None
        self.name = b""
        self.parsed = False
        self.renew()

    def renew(self) -> None:
        """Take a new name: what servers have under the old one is out of date, and is prepared again on demand."""
        self.name = PREFIX + str(next(_serials)).encode()
        self.columns = self.full = 0

    def may_have_own_types(self) -> bool:
        """Whether types that the database has defined are among those of its columns and parameters."""
        if self.full or self.columns & 1:
            return bool((self.full or self.columns) & 1)
        return b"$1" in self.text()

    def learn(self, columns: int, full: int) -> None:
        """A server describes it so, `full` is 0 for a portal; if another told something else it takes a new name."""
        if (full and self.full not in (0, full)) or self.columns not in (0, columns):
            self.renew()
        else:
            self.columns = columns
            self.full = full or self.full

    def text(self) -> bytes:
        return self.body[: self.body.find(b"\0")]


class Statements:
    """At most `size` bodies, the ones used last."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.everywhere: Callable[[], object] = self.forget  # what DDL has forgotten: those of others, too
        self.by_body: OrderedDict[bytes, Statement] = OrderedDict()

    def __len__(self) -> int:
        return len(self.by_body)

    def forget(self) -> None:
        """Tables may have changed: who prepares a body from now on shares it with nobody who did before."""
        self.by_body.clear()

    def find(
        self, body: bytes, where: Scope = NOWHERE_ELSE, shape: Shape = NO_SHAPE, owner: bytes = b""
    ) -> Statement:
        """The statement with this body, new if nobody has it. `owner`: of what equal words are another's."""
        key = b"%s\0%s\0%s" % (owner, where.key, body)
        statement = self.by_body.get(key)
        if statement is not None:
            self.by_body.move_to_end(key)
            return statement
        statement = self.by_body[key] = Statement(body, shape, where)
        statement.shared = True
        while len(self.by_body) > self.size:
            self.by_body.popitem(last=False)
        return statement

    def replace(self, outdated: Statement, statement: Statement) -> None:
        """Who prepares the body from now on gets this statement."""
        key = b"\0%s\0%s" % (outdated.scope.key, outdated.body)
        if self.by_body.get(key) is outdated:
            self.by_body[key] = statement
            statement.shared = True
