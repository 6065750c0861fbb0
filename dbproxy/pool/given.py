"""The names of its client's statements that a server knows as they are, for the client's SQL (session.names)."""

from dbproxy.pool.parameters import identifier


class Given:
    """The names that were given for one loan."""

    def __init__(self) -> None:
        self.names: dict[bytes, list[bytes]] = {}  # with the bodies that each may have there
        self.empty: set[bytes] = set()  # those of them that only hold the name
        # What PostgreSQL says to the one that could not be prepared again, for the request at hand.
        self.unreadable: bytes | None = None
        self.contested = False  # all names of the client may mean something else there
        self.deallocating_all = False  # only what comes behind DEALLOCATE ALL is there

    def begin_loan(self) -> None:
        self.contested = self.deallocating_all = False

    def end_request(self) -> None:
        """All that was sent has been answered."""
        self.deallocating_all = False
        self.unreadable = None

    def forget(self, name: bytes) -> None:
        """The name was not given after all."""
        self.names.pop(name, None)
        self.empty.discard(name)

    def clear(self) -> None:
        """DISCARD ALL is on its way."""
        self.names.clear()
        self.empty.clear()

    def take_away(self) -> list[str]:
        """SQL that takes the names away; from now on they are gone."""
        statements = [f"DEALLOCATE {identifier(name)}" for name in self.names]
        self.clear()
        return statements
