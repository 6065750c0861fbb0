"""What has been said on a server connection: what is due, what the server was told and has become. No transport.

The transaction's state is the server's (`status`, TransactionStatus of the last ReadyForQuery). Whatever depends on
several of these facts at once is asked here, and nowhere else.
"""

from dbproxy.pool.given import Given
from dbproxy.pool.parameters import NOTHING, Parameters
from dbproxy.pool.statements import ServerStatements
from dbproxy.pool.traces import Traces
from dbproxy.wire.pipeline import Pipeline


class Dialogue:
    """With one server."""

    def __init__(self, statements: ServerStatements) -> None:
        self.pipeline = Pipeline()
        self.statements = statements
        self.traces = Traces()
        self.given = Given()
        self.settings: Parameters = NOTHING  # of the session
        self.status = ord("I")
        # A command, since the last ReadyForQuery: nothing else ends a transaction block. After a Sync that ended an
        # implicit one behind a Query, PostgreSQL 18 fails the next command, whoever sends it.
        self.ran = False
        self.failed = False  # something has, or was rolled back, since no transaction was open

    def begin_loan(self) -> None:
        self.traces.begin_loan()
        self.given.begin_loan()

    def in_transaction(self) -> bool:
        """Whether a transaction block is open, as the last ReadyForQuery said."""
        return self.status != ord("I")

    def only_ours(self) -> bool:
        """Whether all that is due are answers to whole Queries of our own: the client has its answers."""
        return self.pipeline.only_ours()

    def between_requests(self) -> bool:
        """Whether no transaction is open and the client has all its answers: what comes next begins something."""
        return self.status == ord("I") and self.pipeline.only_ours()

    def ready(self, status: int) -> bool:
        """ReadyForQuery has come; False if the server is not to be lent again, as it is in a broken state."""
        sound = self.ran or self.status != ord("T") or status != ord("I")
        self.ran = False
        self.status = status
        return sound

    def take_away(self) -> str:
        """SQL that takes away what is no pin, "" if there is nothing; from now on it is gone."""
        statements = ["UNLISTEN *"] if self.traces.listens else []
        self.traces.listens = False
        return "; ".join(statements + self.given.take_away())

    def is_dirty(self) -> bool:
        """Whether it takes DISCARD ALL to make the session as good as new."""
        return self.traces.is_dirty() or bool(self.given.names)

    def clear(self) -> None:
        """DISCARD ALL is on its way."""
        self.traces.clear()
        self.given.clear()
