"""One table of a fence: how many commits to it are under way, and how many there were (cache.fence)."""

from dbproxy.cache.commit import LastCommit
from dbproxy.net.direct import monotonic

CELLS = 1024  # of a table, at most
BULK = -2  # the number of each


class Table:
    """Or all of a database: number 0; or a mark that nobody writes, by which answers are invalidated: below that.

    Or a table's bulk, or a cell of it. `beside`: what is entered along with it: a table's bulk, or a cell's table.
    Times are monotonic seconds.
    """

    def __init__(self, oid: int, now: float, beside: "Table | None" = None) -> None:
        self.oid = oid
        self.beside = beside
        self.cells: dict[int, Table] | None = None
        self.committing = 0
        self.generation = 0
        self.left_at = now  # all that was committed to it was by then
        self.last: LastCommit = LastCommit() if beside is None else beside.last  # a cell's is its table's

    def enter(self) -> None:
        self.committing += 1
        if self.beside is not None:
            self.beside.committing += 1

    def leave(self) -> None:
        self.committing -= 1
        if self.beside is not None:
            self.beside.committing -= 1
        self.renew()

    def renew(self) -> None:
        """Somebody else has written it."""
        self.generation += 1
        self.left_at = monotonic()
        if self.beside is not None:
            self.beside.generation += 1
            self.beside.left_at = self.left_at

    def is_untouched(self) -> bool:
        """Whether it is a cell that nobody has written: what was committed to it was before its bulk had a floor."""
        return self.generation == 0 and self.beside is not None and self.beside.oid == self.oid

    def find_cell(self, key: int) -> "Table":
        """Of the row with this key, in this table."""
        if self.cells is None:
            self.cells = {}
        number = key % CELLS
        cell = self.cells.get(number)
        if cell is None:
            cell = self.cells[number] = Table(self.oid, self.left_at, self)
        return cell
