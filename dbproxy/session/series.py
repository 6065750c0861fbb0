"""How far the series of extended-query messages has come that the client's next Sync ends.

See "Extended Query" in PostgreSQL's documentation of the message flow.
"""

from dbproxy.pool.dues import Portal
from dbproxy.pool.parameters import Parameters
from dbproxy.session.said import Said


class Series:
    """Of one client."""

    def __init__(self) -> None:
        self.begun = False  # a Parse, Bind or Describe lacks its Sync: to PostgreSQL a transaction is open
        self.executes = False  # a transaction may be open that the next Sync ends, and a Query does not
        self.waits = False  # the message at hand waits for an answer, or for the hub, and comes again
        # Of the Bind that came last.
        self.bound: Portal | None = None  # whose columns a Describe of its portal tells anew
        self.restores: list[str] | None = None  # SQL that goes behind its Execute, which is a RESET
        self.restored: Parameters | None = None  # what goes behind the next Sync
        self.said = Said()  # for the log

    def end(self) -> None:
        """No transaction is open that a Sync would end."""
        self.begun = self.executes = False
