"""Prepared statements shared by clients and servers.

A client prepares `s1`; what it means is a *body*: text and parameter types. Equal bodies are one `Statement`, with one
name of ours on every server that has it. A server that has not gets it when somebody binds it there; it keeps the
`max_prepared_statements` used last. The registry that makes bodies equal forgets the ones used longest ago: who
holds one of those keeps it, and only sharing it with newcomers is lost.
"""

from collections import OrderedDict
from itertools import count

PREFIX = b"dbproxy_"
NOWHERE = (
    b"dbproxy/none"  # a name that no server has: PostgreSQL itself says that the statement does not exist
)

AGAIN = b"dbproxy/again"  # a name to prepare twice, so that PostgreSQL says what it says to that

_serials = count(1)


class Statement:
    """A body, and the name it has on servers at present. `parsed`: a server has accepted it once."""

    __slots__ = ("body", "name", "parsed")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.name = b""
        self.parsed = False
        self.renew()

    def renew(self) -> None:
        """Take a new name: what servers have under the old one is out of date, and is prepared again on demand."""
        self.name = PREFIX + str(next(_serials)).encode()

    def text(self) -> bytes:
        return self.body[: self.body.find(b"\0")]


class Statements:
    """At most `size` bodies, the ones used last."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.by_body: OrderedDict[bytes, Statement] = OrderedDict()

    def __len__(self) -> int:
        return len(self.by_body)

    def find(self, body: bytes) -> Statement:
        """The statement with this body, new if nobody has it."""
        statement = self.by_body.get(body)
        if statement is not None:
            self.by_body.move_to_end(body)
            return statement
        statement = self.by_body[body] = Statement(body)
        while len(self.by_body) > self.size:
            self.by_body.popitem(last=False)
        return statement
