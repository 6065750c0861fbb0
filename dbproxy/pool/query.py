"""A request with its reply, as gates and listeners see it (dbproxy.gates): made only where there are some."""

from typing import Any

from dbproxy.cache.fill import Fill
from dbproxy.observe.record import NOT_ASKED, Facts
from dbproxy.sql.identity import Shape
from dbproxy.wire.extended import statement_text


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
        # Where answers are kept: what hears its own, whether it has waited for another's, or looked outside.
        self.fill: Fill | None = None
        self.waited = False
        self.looked = False
        # Inside a transaction: all that was committed by then (monotonic seconds) its server has; 0: it is in none.
        self.browses_by = 0.0
        # Once it is over.
        self.microseconds = 0
        self.failed = False  # its client was sent an error
        # Where it is traced.
        self.chosen = NOT_ASKED  # whether it becomes a span (observe.sampling)
        self.facts: Facts | None = None  # of one that does

    def browse(self, seen_by: float) -> None:
        """It is asked inside a transaction that browses, and does not wait: others may for the server that it holds."""
        self.browses_by = seen_by
        self.waited = self.looked = True

    def read_text(self) -> bytes:
        """Of its first statement."""
        return statement_text(self.chunk, self.at)

    @property
    def database(self) -> str:
        return str(self.session.identity.database)

    @property
    def user(self) -> str:
        return str(self.session.identity.user)
