"""Who waits for a server of one pool: first come, first served, or in turns.

In turns each *key* (a user, a tenant) has a queue of its own. They are served one after the other, each as often in a
round as its weight says: who has one client waiting is served next but a few, however many of another's wait.
To look at them, they are in the order in which they came.
"""

from collections import OrderedDict
from collections.abc import Iterator

from dbproxy.pool.borrower import Borrower


class Turn:
    """One key's clients. `left`: how many more of them are served in this round."""

    def __init__(self, key: str, weight: int) -> None:
        self.key = key
        self.weight = self.left = weight
        self.clients: OrderedDict[Borrower, None] = OrderedDict()


class Turns:
    """The keys of whom somebody waits; the first is served next."""

    def __init__(self) -> None:
        self.queues: OrderedDict[str, Turn] = OrderedDict()
        self.places: dict[Borrower, Turn] = {}

    def add(self, client: Borrower) -> None:
        """A key that is new here comes last."""
        key, weight = client.find_turn()
        turn = self.queues.get(key)
        if turn is None:
            turn = self.queues[key] = Turn(key, weight)
        turn.weight = weight
        turn.clients[client] = None
        self.places[client] = turn

    def remove(self, client: Borrower) -> None:
        turn = self.places.pop(client)
        del turn.clients[client]
        if not turn.clients:
            del self.queues[turn.key]

    def next(self) -> Borrower:
        """Whose turn it is, of some: it waits no more."""
        turn = next(iter(self.queues.values()))
        client = next(iter(turn.clients))
        turn.left -= 1
        if turn.left <= 0:
            turn.left = turn.weight
            self.queues.move_to_end(turn.key)
        self.remove(client)
        return client


class Waiting:
    """`since`: when each began to wait (monotonic seconds), in this order. `turns`: None: first come, first served."""

    def __init__(self) -> None:
        self.since: OrderedDict[Borrower, float] = OrderedDict()
        self.turns: Turns | None = None

    def __len__(self) -> int:
        return len(self.since)

    def any(self) -> bool:
        """As `len`, without a call of Python's: asked at each checkout and checkin."""
        return bool(self.since)

    def __iter__(self) -> Iterator[Borrower]:
        return iter(self.since)

    def __contains__(self, client: object) -> bool:
        return client in self.since

    def items(self) -> Iterator[tuple[Borrower, float]]:
        return iter(self.since.items())

    def oldest(self) -> float:
        """Since when the first has waited, of some."""
        return next(iter(self.since.values()))

    def add(self, client: Borrower, now: float) -> None:
        self.since[client] = now
        if self.turns is not None:
            self.turns.add(client)

    def remove(self, client: Borrower) -> None:
        """Who does not wait is not there."""
        if self.since.pop(client, None) is not None and self.turns is not None:
            self.turns.remove(client)

    def take_next(self) -> tuple[Borrower, float]:
        """Who is served now, of some, and since when it has waited."""
        if self.turns is None:
            return self.since.popitem(last=False)
        client = self.turns.next()
        return client, self.since.pop(client)

    def take_turns(self, *, wanted: bool) -> None:
        """In turns from now on, or not."""
        if not wanted:
            self.turns = None
        elif self.turns is None:
            self.turns = Turns()
            for client in self.since:
                self.turns.add(client)
