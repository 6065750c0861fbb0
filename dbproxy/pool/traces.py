"""What a server's session has become: what statements may have done to it, and what is known to be left there.

Traces are noted before a statement is sent (session.state) and taken over by the answer of an audit (pool.inquiry).
"""

from dbproxy.pool.parameters import identifier


class Traces:
    """Of one server."""

    def __init__(self) -> None:
        self.effects = 0  # what was sent since the last audit may have done to the session (sql.statement)
        self.touched: set[str] = set()  # settings that it may have changed
        self.asked = 0  # the effects that an audit on its way is about
        self.tries = 0  # to audit
        self.pins: frozenset[str] = frozenset()  # why its client keeps it beyond the transaction
        self.listens = False  # to its client's channels, for this loan
        # For this loan: names that the server knows as its client does, and the bodies that they may have there.
        self.named: dict[bytes, list[bytes]] = {}
        self.hollow: set[bytes] = set()  # those of them that only hold the name
        # What PostgreSQL says to the one that could not be prepared again, for the request at hand.
        self.unreadable: bytes | None = None
        self.contested = False  # all of the client's names are such
        self.swept = False  # DEALLOCATE ALL is under way: only what comes behind it is still there
        self.local = False  # settings that change now may change for the transaction only
        self.advanced = False  # its client has called nextval, in this loan
        self.murky = False  # custom settings may have been made that cannot be listed
        self.unplaced = False  # it was not said yet where in the WAL a commit is
        self.spoiled = False  # can never be as good as new: closed when its client leaves it

    def begin_loan(self) -> None:
        self.contested = self.swept = self.local = self.advanced = False

    def end_request(self) -> None:
        """All that was sent has been answered."""
        self.swept = False
        self.unreadable = None

    def dirty(self) -> bool:
        """Whether it takes DISCARD ALL to make the session as good as new."""
        return bool(self.effects or self.pins or self.named)

    def clear(self) -> None:
        """DISCARD ALL is on its way."""
        self.named.clear()
        self.hollow.clear()
        self.effects = 0
        self.touched = set()
        self.pins = frozenset()

    def leftovers(self) -> str:
        """SQL that takes away what is no pin; from now on it is gone."""
        statements = ["UNLISTEN *"] if self.listens else []
        statements += [f"DEALLOCATE {identifier(name)}" for name in self.named]
        self.named.clear()
        self.hollow.clear()
        self.listens = False
        return "; ".join(statements)
