"""What a server's session has become: what statements may have done to it, and what is known to be left there.

Traces are noted before a statement is sent (session.state) and taken over by the answer of an audit (pool.inquiry).
"""

from dbproxy.pool.audit import AUDITED, SPOILING, SPOILS
from dbproxy.pool.sequences import Sequences
from dbproxy.sql.statement import LOCAL


class Traces:
    """Of one server."""

    def __init__(self) -> None:
        self.effects = 0  # what was sent since the last audit may have done to the session (sql.statement)
        self.touched: set[str] = set()  # settings that it may have changed
        self.asked = 0  # the effects that an audit on its way is about
        self.tries = 0  # how often that audit was asked for
        self.sequences = Sequences()
        self.local = False  # settings that change now may change for the transaction only
        self.pins: frozenset[str] = frozenset()  # why its client keeps it beyond the transaction
        self.listens = False  # to its client's channels, for this loan
        self.has_unlisted_settings = False  # custom ones may have been made that cannot be listed
        self.unplaced = False  # where in the WAL a commit is was not said yet

    def begin_loan(self) -> None:
        self.local = False
        self.sequences.begin_loan()

    def note(self, effects: int) -> None:
        """A statement is sent that may have these effects."""
        self.effects |= effects & AUDITED
        if effects & LOCAL:
            self.local = True

    def is_dirty(self) -> bool:
        """Whether it takes DISCARD ALL to make the session as good as new."""
        return bool(self.effects or self.pins)

    def is_not_reusable(self) -> bool:
        """Whether nothing can make the session as good as new: the server is closed when its client leaves it."""
        return bool((self.effects | self.asked) & SPOILS or self.pins & SPOILING)

    def clear(self) -> None:
        """DISCARD ALL is on its way."""
        self.effects = 0
        self.touched = set()
        self.pins = frozenset()
