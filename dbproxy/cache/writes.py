"""What is written through one server, as the fence hears of it: before it is sent, and once its end is known."""

from dbproxy.cache.commit import Unplaced
from dbproxy.cache.fence import Doubt, Fence, Footprint
from dbproxy.cache.table import Table
from dbproxy.cache.values import read_values
from dbproxy.sql.access import READ, WRITE
from dbproxy.sql.identity import Shape

DOUBT = 60.0  # seconds
MOST = 64  # rows and tables that are told apart in one transaction


class Writes:
    """What the borrower of one server may have written since its last transaction ended.

    `alters`: also what is known of the database; `guesses`: some of it was judged while nothing was known.
    """

    def __init__(self, fence: Fence) -> None:
        self.fence = fence
        self.alters = False
        self.guesses = False
        self.closing = False  # what was sent may have ended the transaction that was open
        self.shapes: set[Shape] = set()
        self.tables: set[Table] = set()
        self.entered: list[Table] = []  # may be committed by what was sent
        self.unplaced = Unplaced()

    def note(
        self,
        shape: Shape,
        stays_open: bool,
        chunk: bytes = b"",
        at: int = 0,
        stop: int = 0,
        body: bytes = b"",
    ) -> None:
        """It is about to be sent. `stays_open`: a transaction is open, and nothing sent before may end it.

        The rest is where its values are (cache.values).
        """
        written = self.fence.find_written(shape)
        if written.tables:
            keys = None
            if written.table is not None and self.tells_apart(written.table):
                keys = read_values(written.places, chunk, at, stop, body)
            self.take(shape, written, keys)
        if shape.ends_transaction:
            self.closing = True
        if self.closing or not stays_open:
            self.enter()

    def tells_apart(self, table: Table) -> bool:
        """Whether it matters which rows of it are written."""
        return table not in self.tables and len(self.tables) < MOST

    def take(self, shape: Shape, written: Footprint, keys: list[int] | None) -> None:
        """`keys`: of the rows of its table."""
        self.fence.writers.add(self)
        self.shapes.add(shape)
        if keys is None:
            self.tables.update(written.tables)
        else:
            self.tables.update(written.beside)
            for key in keys:
                self.tables.add(written.table.find_cell(key))  # type: ignore[union-attr]  # there is one
        if written is not self.fence.everything:
            return
        if self.fence.knows() or (shape.kind != READ and shape.kind != WRITE):
            self.alter()
        else:
            self.guesses = True

    def alter(self) -> None:
        if not self.alters:
            self.alters = True
            self.fence.alterations += len(self.entered) > 0

    def judge_again(self) -> None:
        """More is known now than when it was noted; of what was altered meanwhile, it may have met either."""
        if self.guesses and not self.alters:
            self.tables.discard(self.fence.whole)
        self.guesses = False
        for shape in self.shapes:
            written = self.fence.judge(shape)
            self.tables.update(written.tables)
            if written is self.fence.everything:
                self.alter()
        if self.entered or self.closing:
            self.enter()
        for table in self.entered[:]:
            if table not in self.tables:
                self.entered.remove(table)
                table.leave()

    def note_unseen(self) -> None:
        """The server is lent, and what it was sent until now was not noted."""
        self.fence.writers.add(self)
        self.tables.add(self.fence.whole)
        self.alters = self.closing = True
        self.enter()

    def enter(self) -> None:
        if self.alters and not self.entered:
            self.fence.alterations += 1
        for table in self.tables:
            if table not in self.entered:
                table.enter()
                self.entered.append(table)

    def acknowledge(self) -> None:
        """Its client hears of what may have been committed by now."""
        for table in self.entered:
            self.unplaced.add(table.last)

    def end(self) -> None:
        """No transaction is open any more, and nothing is due."""
        if self.tables:
            for table in self.tables:
                if table in self.entered:
                    table.leave()
                else:
                    table.renew()  # rolled back, by all that is known
            if self.guesses:
                self.fence.keep_unjudged(self.shapes)
            self.fence.alterations += self.alters
            self.clear()
        self.closing = False

    def lose(self, now: float, process: int) -> None:
        """The server was lost, or is closed."""
        self.unplaced.lose(now)
        for table in self.entered:
            table.last.lost_at = now
        if self.entered:
            self.fence.doubts.append(Doubt(self.entered, self.alters or self.guesses, process, now + DOUBT))
        self.clear()
        self.closing = False

    def clear(self) -> None:
        self.fence.writers.discard(self)
        self.shapes.clear()
        self.tables.clear()
        self.entered = []
        self.alters = self.guesses = False
