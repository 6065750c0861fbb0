"""Prepared statements shared by clients and servers.

A client prepares `s1`; what it means is a *body*: text and parameter types. Equal bodies are one `Statement`, with one
name of ours on every server that has it. A server that has not gets it when somebody binds it there; it keeps the
`max_prepared_statements` used last. The registry that makes bodies equal forgets the ones used longest ago: who
holds one of those keeps it, and only sharing it with newcomers is lost.

A table may change between two servers' preparing the same body. PostgreSQL refuses a plan whose result changed, since
clients read rows by the columns that they were told once; so under one name all servers must describe equal columns.
Where columns were told already, a server that prepares the statement now is asked for them too; if they differ, the
statement takes a new name, and whoever was told the old ones gets PostgreSQL's error.
"""

from collections import OrderedDict
from itertools import count

from dbproxy.sql.identity import NO_SHAPE, Shape

PREFIX = b"dbproxy_"
NOWHERE = (
    b"dbproxy/none"  # a name that no server has: PostgreSQL itself says that the statement does not exist
)

AGAIN = b"dbproxy/again"  # a name to prepare twice, so that PostgreSQL says what it says to that
CHANGED = b"dbproxy/changed"  # like NOWHERE, for one whose columns are no longer what the client was told

_serials = count(1)


class Statement:
    """A body, and the name it has on servers at present. `parsed`: a server has accepted it once.

    `columns`: what servers describe under this name (`wire.extended.columns_key`); 0 if nobody was told. `shape`: of
    its text; `effects`: what it may do to its session.
    """

    __slots__ = ("body", "columns", "effects", "name", "parsed", "shape")

    def __init__(self, body: bytes, shape: Shape = NO_SHAPE) -> None:
        self.body = body
        self.shape = shape
        self.effects = shape.effects
        self.name = b""
        self.parsed = False
        self.renew()

    def renew(self) -> None:
        """Take a new name: what servers have under the old one is out of date, and is prepared again on demand."""
        self.name = PREFIX + str(next(_serials)).encode()
        self.columns = 0

    def text(self) -> bytes:
        return self.body[: self.body.find(b"\0")]


class Statements:
    """At most `size` bodies, the ones used last."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.by_body: OrderedDict[bytes, Statement] = OrderedDict()

    def __len__(self) -> int:
        return len(self.by_body)

    def forget(self) -> None:
        """Tables may have changed: who prepares a body from now on shares it with nobody who did before."""
        self.by_body.clear()

    def find(self, body: bytes, scope: bytes = b"", shape: Shape = NO_SHAPE) -> Statement:
        """The statement with this body, new if nobody has it.

        `scope`: where its client looks for tables (search_path), as equal words may mean another table elsewhere.
        """
        key = scope + body
        statement = self.by_body.get(key)
        if statement is not None:
            self.by_body.move_to_end(key)
            return statement
        statement = self.by_body[key] = Statement(body, shape)
        while len(self.by_body) > self.size:
            self.by_body.popitem(last=False)
        return statement
