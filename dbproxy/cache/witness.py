"""What follows for kept answers from a stream of everybody's writes (cache.stream): the fence learns of those, too.

A commit is told as it is written to the WAL, which may be before others see it. An answer that is asked for in between
is of before, though it comes behind the news. So the tables of a commit stay closed until a snapshot of the primary
sees it. PostgreSQL: "pg_snapshot Components" (what `SNAPSHOT` answers is the same in its older form, for all versions).
"""

from collections.abc import Callable

from dbproxy.cache.fence import BY_NOTIFICATION, Fence
from dbproxy.cache.table import Table

SNAPSHOT = "SELECT pg_catalog.txid_current_snapshot()::pg_catalog.text"
_XIDS = 1 << 32  # a commit is told by the lower half of its transaction's number


class Witness:
    """A `cache.stream.Follower` of one database. `ask`: have `SNAPSHOT` asked, until nothing is `pending`.

    While nothing is told, no answer is current.
    """

    def __init__(self, fence: Fence, ask: Callable[[], object]) -> None:
        self.fence = fence
        self.ask = ask
        self.position = 0
        self.hears = False
        self.pending: list[tuple[int, list[Table]]] = []  # what was told, and may not be seen yet
        fence.whole.enter()

    def began(self, _: int) -> None:
        self.hears = True
        self.fence.whole.leave()

    def committed(self, xid: int, _: int, tables: frozenset[int] | None) -> None:
        fence = self.fence
        closed = [fence.whole] if tables is None else [fence.find(oid) for oid in tables]
        for table in closed:
            table.enter()
        self.pending.append((xid, closed))
        if len(self.pending) == 1:
            self.ask()

    def notified(self, oid: int | None) -> None:
        """Of a table that somebody has written, None: any; others see it already."""
        below = None if oid is None else self.fence.find_below(oid)
        self.fence.invalidate(below, BY_NOTIFICATION)

    def lost(self, _: str) -> None:
        """What was told will be seen by the time that a stream begins again (cache.stream)."""
        self.hears = False
        self.fence.whole.enter()
        self.open_all()

    def see(self, snapshot: str) -> None:
        """What it sees is open again."""
        limit, running = read_snapshot(snapshot)
        unseen = [commit for commit in self.pending if not is_seen(commit[0], limit, running)]
        for _, tables in (commit for commit in self.pending if commit not in unseen):
            for table in tables:
                table.leave()
        self.pending = unseen

    def move(self, fence: Fence) -> None:
        """What is told from now on is for another one."""
        self.open_all()
        if not self.hears:
            self.fence.whole.leave()
            fence.whole.enter()
        self.fence = fence

    def open_all(self) -> None:
        pending, self.pending = self.pending, []
        for _, tables in pending:
            for table in tables:
                table.leave()


def read_snapshot(snapshot: str) -> tuple[int, frozenset[int]]:
    """Of `xmin:xmax:xip,xip`: what follows all that it may see, and what it does not see of those before."""
    _, limit, running = snapshot.split(":")
    return int(limit), frozenset(int(xid) % _XIDS for xid in running.split(",") if xid)


def is_seen(xid: int, limit: int, running: frozenset[int]) -> bool:
    """Whether a transaction that has committed is one that a snapshot sees."""
    return 0 < (limit - xid) % _XIDS < _XIDS // 2 and xid not in running
