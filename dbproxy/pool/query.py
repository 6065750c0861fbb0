"""A request with its reply, as gates and listeners see it (dbproxy.gates): made only where there are some."""

from typing import Any

from dbproxy.observe.record import NOT_ASKED, Facts
from dbproxy.sql.identity import Shape


class Query:
    """What is asked for, and how it went. Its SQL is where `at` is in `chunk` (wire.extended.statement_text)."""

    def __init__(self, session: Any, shape: Shape | None, chunk: bytes, at: int, arrived: float) -> None:
        self.session = session  # the client; its `identity` says who it is
        self.shape = shape  # of its first statement; None if it has none that is known
        self.chunk = chunk
        self.at = at
        self.arrived = arrived  # monotonic seconds
        # Of one that gates are asked about: its messages, from the first that is not answered yet.
        self.kinds = b""
        self.messages = b""
        self.whole = False  # all of it is there, and is nothing that only a server can answer
        # Once it is over.
        self.microseconds = 0
        self.failed = False  # its client was sent an error
        # Where it is traced.
        self.chosen = NOT_ASKED  # whether it becomes a span (observe.sampling)
        self.facts: Facts | None = None  # of one that does

    @property
    def database(self) -> str:
        return str(self.session.identity.database)

    @property
    def user(self) -> str:
        return str(self.session.identity.user)
