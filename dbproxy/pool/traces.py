"""What a server's session has become: what statements may have done to it, and what is known to be left there.

Traces are noted before a statement is sent (session.state) and taken over by the answer of an audit (pool.inquiry).
"""

from dbproxy.pool.audit import AUDITED, SPOILING, SPOILS
from dbproxy.sql.statement import ADVANCES, LOCAL


class Traces:
    """Of one server."""

    def __init__(self) -> None:
        self.effects = 0  # what was sent since the last audit may have done to the session (sql.statement)
        self.touched: set[str] = set()  # settings that it may have changed
        self.asked = 0  # the effects that an audit on its way is about
        self.tries = 0  # to audit
        self.seen = 0  # LOCAL and ADVANCES, if anything in this loan may have had that effect
        self.pins: frozenset[str] = frozenset()  # why its client keeps it beyond the transaction
        self.listens = False  # to its client's channels, for this loan
        self.has_unlisted_settings = False  # custom ones may have been made that cannot be listed
        self.unplaced = False  # it was not said yet where in the WAL a commit is

    def begin_loan(self) -> None:
        self.seen = 0

    def note(self, effects: int) -> None:
        """A statement is sent that may have these."""
        self.effects |= effects & AUDITED
        self.seen |= effects & (LOCAL | ADVANCES)

    def is_local(self) -> bool:
        """Whether settings that change now may change for the transaction only."""
        return self.seen & LOCAL != 0

    def has_advanced(self) -> bool:
        """Whether nextval was called in this loan."""
        return self.seen & ADVANCES != 0

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
