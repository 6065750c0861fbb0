"""A transaction that only reads, on a replica: how it began, and how far what comes now goes with it.

What follows its end is judged by itself, so it waits until the replica has carried out the end: whether it does is
known only then. And while the replica has told nothing but what may be said again (BEGIN, SET, SHOW), the transaction
can be begun anew on the primary, where it gets what no standby can do.
"""

from dbproxy.sql.identity import Shape
from dbproxy.sql.statement import Statement

STEPS = 16  # statements that are kept to be carried out again
TEXT_LIMIT = 1024  # bytes of each

Step = tuple[bytes, Statement]


class Request:
    """A request, or its part up to what may end the transaction; `at`: where that begins on the chunk."""

    __slots__ = ("at", "statements", "whole")

    def __init__(self, at: int) -> None:
        self.at = at
        self.statements: list[tuple[Shape | None, bytes]] = []  # None: not known
        self.whole = False

    def ends(self) -> bool:
        return any(shape is not None and shape.effects.ends for shape, _ in self.statements)

    def needs_primary(self) -> bool:
        return any(shape is not None and shape.effects.needs_primary for shape, _ in self.statements)


class Opening:
    """What was sent of a transaction, or of several in one breath. `answered`: requests of the loan before it."""

    def __init__(self, answered: int) -> None:
        self.requests = answered  # of the loan, that were sent
        self.steps: list[tuple[int, Step | None]] = []  # the request, and None for what cannot be said again
        self.whole = True  # no request lacks its Sync
        self.ending = False  # the end was sent, or what may be one, and not all is answered
        self.closed = False  # it has failed, or is too long: no other server can be brought to where it is

    def note(self, request: Request) -> None:
        """The request is sent."""
        for shape, text in request.statements:
            statement = shape.effects if shape is not None else None
            if statement is not None and statement.ends:
                self.ending = True
                self.steps.clear()
            elif self.steps or (statement is not None and (statement.begins or statement.begins_read_only)):
                self.keep(statement, text)
        self.whole = request.whole
        self.requests += request.whole

    def keep(self, statement: Statement | None, text: bytes) -> None:
        if len(self.steps) >= STEPS:
            self.closed = True
        elif statement is not None and statement.repeats and len(text) <= TEXT_LIMIT:
            self.steps.append((self.requests, (text, statement)))
        elif not self.steps or self.steps[-1][1] is not None:
            self.steps.append((self.requests, None))

    def answered(self, status: int) -> None:
        """All that was sent has been answered, and a transaction is open."""
        self.ending = False
        self.closed = self.closed or status == ord("E")

    def beginning(self) -> list[Step]:
        """What begins an empty transaction, instead of one that is to end; nothing if that cannot be said again."""
        step = self.steps[0][1] if self.steps else None
        return [step] if step is not None else []

    def to_repeat(self, served: int) -> list[Step] | None:
        """What brings another server to where this one is, after so many requests of the loan; None if nothing does."""
        found: list[Step] = []
        said = self.closed
        for request, step in self.steps:
            if request >= served:
                break
            if step is None:
                said = True
                continue
            said = said and (self.closed or not step[1].chains)
            found.append(step)
        return None if said or not found else found
