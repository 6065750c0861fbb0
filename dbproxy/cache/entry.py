"""One answer that is kept, and what it holds on to: the generations that its tables had before it was asked for."""

from dbproxy.cache.fence import Fence
from dbproxy.cache.table import Table
from dbproxy.cache.value import Value
from dbproxy.sql.identity import Shape

OVERHEAD = 600  # bytes of an entry besides its key and value


class Moment:
    """Of some tables: which generations they had then."""

    def __init__(self, fence: Fence, tables: list[Table]) -> None:
        self.fence = fence
        self.tables = tables
        self.whole = fence.whole.generation
        self.generations = [table.generation for table in tables]

    def is_unchanged(self) -> bool:
        """Whether nothing has been committed to them since; what is being committed at the moment does not count."""
        if self.fence.whole.generation != self.whole:
            return False
        for number in range(len(self.tables)):
            table = self.tables[number]
            if table.generation != self.generations[number]:
                return False
        return True

    def was_over_by(self, time: float) -> bool:
        """Whether all that was committed to them ahead of this was by then; monotonic seconds."""
        latest = self.fence.whole.left_at
        for table in self.tables:
            latest = max(latest, table.left_at)
        return latest <= time

    def is_current(self) -> bool:
        """Whether nothing has been committed to them since, nor is about to be."""
        if self.fence.whole.committing:
            return False
        for table in self.tables:
            if table.committing:
                return False
        return self.is_unchanged()


class Entry:
    """`cost`: seconds that the server took for it. Times are monotonic seconds."""

    def __init__(
        self, key: bytes, value: Value, moment: Moment, shape: Shape, cost: float, expires_at: float
    ) -> None:
        self.key = key
        self.value = value
        self.moment = moment
        self.shape = shape
        self.cost = cost
        self.expires_at = expires_at
        self.hits = 0
        self.size = OVERHEAD + len(key) + value.size()
