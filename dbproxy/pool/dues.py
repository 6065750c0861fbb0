"""The replies due, by what was sent, and what follows from each.

A client calls a statement by a name of its own, the server knows it by another (pool.prepared). So a message that
names one notes both, and what the client's name meant before: PostgreSQL discards what stands behind an error, and then
the name means that again. What is made for each Bind or Parse is made by a function, which compiled takes no tuple.
"""

from typing import Any, NoReturn

from dbproxy.errors import ProtocolViolation, SessionLost
from dbproxy.pool.answer import Answer
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.prepared import Statement
from dbproxy.pool.request import Refusal
from dbproxy.pool.statements import UNKNOWN_STATEMENT
from dbproxy.wire.due import Due
from dbproxy.wire.extended import length_at
from dbproxy.wire.pipeline import FAKE
from dbproxy.wire.reply import columns_key


class Sent(Due):
    """A message of the extended protocol, a client's or ours. `answer` is the one that its reply is part of."""

    __slots__ = ()

    def done(self, answer: Answer) -> None:
        """The server has carried it out."""

    def described(self, answer: Answer, columns: int, full: int) -> None:
        """A statement's Describe is answered (wire.reply.columns_key)."""

    def dropped(self, answer: Answer, entry: int, first: bool) -> None:
        """The server has not carried it out; `first`: since it has failed itself. `entry`: its pipeline's."""

    def take_back(self, client: Borrower) -> None:
        """It is to be sent again, to another server."""


class Mention(Sent):
    """Of a statement: by the client's name, b"" if it is our own message, and by its name on servers.

    `statement` is None where PostgreSQL is only to say that there is none; `refusal`: why we have made it fail.
    """

    __slots__ = ("name", "refusal", "server_name", "statement")

    def __init__(self, name: bytes, server_name: bytes, statement: Statement | None) -> None:
        self.name = name
        self.server_name = server_name
        self.statement = statement
        self.refusal: Refusal | None = None

    def tells_columns(self) -> bool:
        """Whether the client is told the statement's columns in the same request."""
        return False


# --- a client's ---------------------------------------------------------------------------------------------


class Parse(Mention):
    """`server_name` is b"" for the unnamed statement, and where the server has it already. `previous`: of `name`."""

    __slots__ = ("previous",)
    previous: Any

    def done(self, answer: Answer) -> None:
        if self.statement is not None:
            self.statement.parsed = True

    def dropped(self, answer: Answer, entry: int, first: bool) -> None:
        if self.server_name:
            answer.dialogue.statements.lose(self.server_name)
        elif not entry & FAKE:
            answer.dialogue.statements.unnamed = UNKNOWN_STATEMENT
        # PostgreSQL gives up the unnamed one before it looks at a new one.
        restore(answer, self.name, None if first and not self.name else self.previous)

    def take_back(self, client: Borrower) -> None:
        client.restore(self.name, self.previous)

    def amend_unnamed(self, previous: object) -> bool:
        if self.name:
            return False
        self.previous = previous
        return True


class Bind(Mention):
    """`told`: the statement's columns are asked for in the same request, or the client has never been told any."""

    __slots__ = ("told",)
    told: bool

    def tells_columns(self) -> bool:
        return self.told


def new_parse(name: bytes, previous: Any, server_name: bytes, statement: Statement | None) -> Parse:
    due = Parse.__new__(Parse)
    due.name = name
    due.server_name = server_name
    due.statement = statement
    due.previous = previous
    due.refusal = None
    return due


def new_bind(name: bytes, server_name: bytes, statement: Statement | None, told: bool = False) -> Bind:
    due = Bind.__new__(Bind)
    due.name = name
    due.server_name = server_name
    due.statement = statement
    due.told = told
    due.refusal = None
    return due


class Describe(Mention):
    """Of a named statement; of ours, if servers have to describe it alike."""

    __slots__ = ()

    def tells_columns(self) -> bool:
        return bool(self.name)

    def described(self, answer: Answer, columns: int, full: int) -> None:
        """Keep to one name for one set of columns; the client was told, or not."""
        statement, client = self.statement, answer.loan.client
        if statement is None:
            return
        if self.server_name == statement.name:
            statement.learn(columns, full)
        if self.name and client is not None:
            client.told(self.name, statement, full)
        twin, statement.twin = statement.twin, None
        if twin is not None and twin.full != full:
            answer.tenant.statements.replace(twin, statement)
        elif twin is not None and client is not None:
            client.merge(statement, twin)


class DescribeUnnamed(Sent):
    """Of the unnamed statement; `renewed`: by us, where it was prepared again."""

    __slots__ = ("renewed",)

    def __init__(self, renewed: bool) -> None:
        self.renewed = renewed

    def described(self, answer: Answer, columns: int, full: int) -> None:
        if answer.loan.client is not None:
            answer.loan.client.told_unnamed(columns, full, self.renewed)


class Portal(Sent):
    """Describe of a portal, whose statement's columns the client may not have been told yet."""

    __slots__ = ("name", "server_name", "statement")

    def __init__(self, name: bytes, statement: Statement | None) -> None:
        """`statement` is None for the unnamed one."""
        self.name = name
        self.statement = statement
        self.server_name = b"" if statement is None else statement.name

    def told(self, answer: Answer, chunk: bytes, at: int) -> None:
        """By the RowDescription or NoData at `at`. Columns of the unnamed statement are seldom needed."""
        client = answer.loan.client
        if client is None:
            return
        if self.statement is None:
            client.told_portal(chunk[at : at + length_at(chunk, at)])
            return
        columns = columns_key(b"", chunk, at)
        if self.server_name == self.statement.name:
            self.statement.learn(columns, 0)
        client.told(self.name, self.statement, columns)


class Close(Sent):
    """`previous`: what the name meant."""

    __slots__ = ("name", "previous")

    def __init__(self, name: bytes, previous: Any) -> None:
        self.name = name
        self.previous = previous

    def dropped(self, answer: Answer, entry: int, first: bool) -> None:
        if not entry & FAKE:
            answer.dialogue.statements.unnamed = UNKNOWN_STATEMENT
        restore(answer, self.name, self.previous)

    def take_back(self, client: Borrower) -> None:
        client.restore(self.name, self.previous)

    def amend_unnamed(self, previous: object) -> bool:
        if self.name:
            return False
        self.previous = previous
        return True


def restore(answer: Answer, name: bytes, previous: object) -> None:
    """The client's name means again what it did before."""
    client = answer.loan.client
    if client is not None and (name or not answer.dialogue.pipeline.amend_unnamed(previous)):
        client.restore(name, previous)


# --- ours ---------------------------------------------------------------------------------------------------


class Prepare(Mention):
    """Parse of a statement that the server lacks; `batch`: in which it was sent, and may be discarded."""

    __slots__ = ("batch",)

    def __init__(self, statement: Statement, batch: int) -> None:
        Mention.__init__(self, b"", statement.name, statement)
        self.batch = batch

    def done(self, answer: Answer) -> None:
        answer.dialogue.statements.unconfirmed.pop(self.server_name, None)
        self.statement.parsed = True  # type: ignore[union-attr]  # it has one

    def dropped(self, answer: Answer, entry: int, first: bool) -> None:
        """If the statement is there all the same, or was sent again, it stays."""
        statements = answer.dialogue.statements
        if statements.unconfirmed.get(self.server_name) == self.batch:
            statements.lose(self.server_name)


class ReplaceUnnamed(Sent):
    """Parse or Close: the server's unnamed statement becomes the client's."""

    __slots__ = ()

    def dropped(self, answer: Answer, entry: int, first: bool) -> None:
        answer.dialogue.statements.unnamed = UNKNOWN_STATEMENT


class Evict(Sent):
    """Close of a statement that the server must give up."""

    __slots__ = ("server_name", "statement")

    def __init__(self, server_name: bytes, statement: Statement) -> None:
        self.server_name = server_name
        self.statement = statement

    def dropped(self, answer: Answer, entry: int, first: bool) -> None:
        answer.dialogue.statements.prepared[self.server_name] = self.statement


class Give(Sent):
    """What makes the server have a statement by its client's own name (session.names)."""

    __slots__ = ("name",)

    def __init__(self, name: bytes) -> None:
        self.name = name

    def dropped(self, answer: Answer, entry: int, first: bool) -> None:
        answer.dialogue.given.forget(self.name)


def fail_unexpectedly(fields: dict[str, str]) -> NoReturn:
    raise ProtocolViolation(f"a statement of ours failed: {fields.get('C')} {fields.get('M')}")


class Ours(Due):
    """A Query of our own; one without a note must not fail."""

    __slots__ = ()

    def done(self, answer: Answer) -> None:
        """ReadyForQuery has come."""

    def failed(self, answer: Answer, fields: dict[str, str]) -> None:
        """ProxyError if the server is of no use now."""


class Adopt(Ours):
    """Gives the server its client's settings."""

    __slots__ = ()

    def failed(self, answer: Answer, fields: dict[str, str]) -> None:
        raise SessionLost(
            f"the session's settings cannot be given to another server connection: {fields.get('M')}",
            sqlstate=fields.get("C", ""),
        )


class Optional(Ours):
    """May fail: what follows it says so to the client."""

    __slots__ = ()


UNNAMED_PORTAL = Portal(b"", None)
UNNAMED = DescribeUnnamed(renewed=False)
RENEWED = DescribeUnnamed(renewed=True)
REPLACE_UNNAMED = ReplaceUnnamed()
ADOPT = Adopt()
OPTIONAL = Optional()
