"""Which answers about a database are current: what it has committed through this proxy, table by table.

A write is seen before it is carried out, and its end before its client hears of it. In between, nobody knows whether
others see it already:

    before anything that may commit it is sent      committing += 1 for each of its tables
    once the end is known, be it a rollback         generation += 1, then committing -= 1

An answer that is kept has the generations that its tables had before it was asked for. It is current while they still
have them, and nobody is committing to them. If a write comes in between, the answer may be of before or of after, and
counts as neither. What a statement writes that cannot be told (a call of a function, DDL) is all of the database.

What is known of the database (which tables a statement writes) is itself changed by DDL, and by what cannot be told:
from before that is committed until it has been read again, whatever is written counts as all of the database, and no
answer is current. What is under way by then is judged once more, by what is known now.

Where a statement tells which row it is about, by its key, a part of its table counts in the table's place: all rows
whose keys have one remainder are a *cell*. Who writes a row enters its cell, and with it the table; who writes what
cannot be told enters the table, and with it its *bulk*. So an answer about all of a table depends on the table, one
about a row on its cell and the bulk.

A server that is lost may still be committing what it was sent, without anybody to tell: its tables stay closed until
PostgreSQL has no such process any more, or has one that is idle so long afterwards that it never got what was sent.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Protocol
from weakref import WeakValueDictionary

from dbproxy.cache.commit import LastCommit
from dbproxy.cache.table import BULK, Table
from dbproxy.net.direct import monotonic
from dbproxy.sql.identity import Shape
from dbproxy.sql.rows import Place

SHAPES = 8192  # that were not judged yet
# Sources of invalidations.
BY_WRITE, BY_MARK, BY_NOTIFICATION, BY_SETTINGS = "write", "mark", "notification", "settings"
Oids = frozenset[int]
_versions = count(1)  # of what is known, of all databases


class Row(Protocol):
    """Rows of one table (cache.reading)."""

    @property
    def table(self) -> int: ...
    @property
    def places(self) -> tuple[Place, ...]: ...


class Knowledge(Protocol):
    """What is known of the database (cache.schema). `names`: of tables, by OID."""

    names: dict[int, str]

    def find_targets(self, shape: Shape, temporary: bool = False) -> Oids | None: ...
    def find_row(self, shape: Shape) -> Row | None: ...
    def find_sources(self, shape: Shape) -> Oids | None: ...
    def has(self, name: str) -> bool: ...
    def find_below(self, oid: int) -> Oids: ...


class Writer(Protocol):
    """Has something under way (cache.writes)."""

    def judge_again(self) -> None: ...


class Footprint:
    """What a statement may write: `tables`; or `beside` these only the rows of `table` with the values at `places`."""

    def __init__(self, tables: list[Table]) -> None:
        self.tables = tables
        self.beside: list[Table] = []
        self.table: Table | None = None
        self.places: tuple[Place, ...] = ()

    def narrow(self, table: Table, places: tuple[Place, ...]) -> None:
        self.table, self.places = table, places
        self.beside = [other for other in self.tables if other is not table]


NO_FOOTPRINT = Footprint([])


class Reach:
    """What one statement reads and writes, by what was known in this version; its shape keeps it."""

    def __init__(self, version: int, written: Footprint) -> None:
        self.version = version
        self.written = written
        # The last commits to the tables that it reads; None: not known, or not asked yet.
        self.read: list[LastCommit] | None = None
        self.asked = False


class Doubt:
    """What a lost server may still commit. `process`: its number; if that is idle by `until`, it will not."""

    def __init__(self, tables: list[Table], alters: bool, process: int, until: float) -> None:
        self.tables = tables
        self.alters = alters
        self.process = process
        self.until = until


class Fence:
    """Of one database. `whole` stands for all of it; what was committed before it was made was not seen."""

    def __init__(self) -> None:
        self.whole = Table(0, monotonic())
        self.whole.last.lost_at = self.whole.left_at
        self.tables: dict[int, Table] = {}
        self.dropped = 0  # invalidations of tables that are no more
        self.everything = Footprint([self.whole])
        self.marks: WeakValueDictionary[str, Table] = (
            WeakValueDictionary()
        )  # by name, those that something has
        self.sources: Counter[str] = Counter()  # of invalidations, but for writes: of tables, and of marks
        self.knowledge: Knowledge | None = None
        self.version = next(_versions)
        self.alterations = 0  # of what is known; counted before and after each
        self.known_at = -1  # their number when that was read
        self.sees = True  # what is written; else only time ends an answer
        self.followed: frozenset[int] | None = None  # tables whose writes are told; None: all are seen
        self.writers: set[Writer] = set()  # with something under way
        self.unjudged: set[Shape] = set()  # carried out while what is known did not hold
        self.doubts: list[Doubt] = []

    def find(self, oid: int) -> Table:
        table = self.tables.get(oid)
        if table is None:
            now = self.whole.left_at
            table = self.tables[oid] = Table(oid, now, Table(BULK, now))
        return table

    def knows(self) -> bool:
        """Whether what is known holds."""
        return self.known_at == self.alterations

    def learn(self, knowledge: Knowledge, alterations: int) -> None:
        """It was read when there had been so many. It does not hold if somebody may have altered it meanwhile."""
        if knowledge is not self.knowledge:
            self.knowledge, self.version = knowledge, next(_versions)
            self.leave_out(knowledge.names)
        self.known_at = alterations
        if not self.knows():
            return
        for shape in self.unjudged:
            if knowledge.find_targets(shape) is None:
                self.alterations += 1
                break
        self.unjudged.clear()
        if self.knows():
            for writer in list(self.writers):
                writer.judge_again()

    def leave_out(self, names: Mapping[int, str]) -> None:
        """Tables without a name are no more, but for those that somebody is writing; their last commits were to all."""
        for oid, table in list(self.tables.items()):
            if oid not in names and not table.committing and not table.last.pending:
                del self.tables[oid]
                self.dropped += table.generation
                self.whole.last.follow(table.last)

    def keep_unjudged(self, shapes: set[Shape]) -> None:
        """Until something is known; if that takes too long, one of them counts as an alteration, unseen."""
        self.unjudged.update(shapes)
        if len(self.unjudged) > SHAPES:
            self.unjudged.clear()
            self.alterations += 1

    def forget(self) -> None:
        """What is known does not hold."""
        self.known_at = -1

    def find_written(self, shape: Shape) -> Footprint:
        """What carrying it out may write."""
        if self.knows():
            return self.judge(shape)
        return NO_FOOTPRINT if is_idle(shape) else self.everything

    def judge(self, shape: Shape) -> Footprint:
        """The same, by what was last read."""
        return self.find_reach(shape).written

    def find_reach(self, shape: Shape) -> Reach:
        """What carrying it out may write, by what was last read."""
        reach = shape.reach
        if not isinstance(reach, Reach) or reach.version != self.version:
            reach = shape.reach = Reach(self.version, self.look_up(shape))
        return reach

    def look_up(self, shape: Shape) -> Footprint:
        knowledge: Knowledge = self.knowledge  # type: ignore[assignment]  # something was read
        oids = knowledge.find_targets(shape)
        if oids is None:
            return self.everything
        if not oids:
            return NO_FOOTPRINT
        found, row = Footprint([self.find(oid) for oid in oids]), knowledge.find_row(shape)
        if row is not None:
            found.narrow(self.find(row.table), row.places)
        return found

    def find_read(self, shape: Shape) -> list[LastCommit] | None:
        """The last commits to what its answer depends on, but for those to all of the database; None: not known."""
        if not self.knows():
            return None
        reach = self.find_reach(shape)
        if not reach.asked:
            oids = self.knowledge.find_sources(shape)  # type: ignore[union-attr]  # what is known holds
            reach.read = None if oids is None else [self.find(oid).last for oid in oids]
            reach.asked = True
        return reach.read

    def turn(self, base: int) -> None:
        """The primary is another one, which was at `base` at first."""
        for table in [self.whole, *self.tables.values()]:
            table.last.turn(base)

    def find_below(self, oid: int) -> Oids:
        """What a statement that names this table may have written, by what was last read."""
        return frozenset() if self.knowledge is None else self.knowledge.find_below(oid)

    def find_mark(self, name: str) -> Table:
        """Of a tag, or a statement."""
        mark = self.marks.get(name)
        if mark is None:
            mark = self.marks[name] = Table(-1, 0.0)
        return mark

    def invalidate(self, oids: Iterable[int] | None, source: str = "other") -> None:
        """Somebody else has written these; None: nobody knows what."""
        for table in [self.whole] if oids is None else [self.find(oid) for oid in oids]:
            table.renew()
            self.sources[source] += 1

    def invalidate_mark(self, name: str) -> bool:
        """Whether something has it."""
        mark = self.marks.get(name)
        if mark is None:
            return False
        mark.renew()
        self.sources[BY_MARK] += 1
        return True

    def count_invalidations(self) -> dict[str, int]:
        """Of tables, by what has caused them."""
        other = {source: count for source, count in self.sources.items() if source != BY_MARK}
        every = (
            self.whole.generation + self.dropped + sum([table.generation for table in self.tables.values()])
        )
        return {**other, BY_WRITE: every - sum(other.values()), BY_MARK: self.sources[BY_MARK]}

    def settle(self, now: float, processes: Mapping[int, bool], own: bool) -> None:
        """Open what is in doubt no more. `processes`: PostgreSQL's, and whether they are idle.

        `own`: a server's number is that of its process, not one that a pooler between has given it.
        """
        for doubt in self.doubts[:]:
            idle = processes.get(doubt.process)
            if (own and idle is None) or (doubt.until <= now and idle is not False):
                self.doubts.remove(doubt)
                self.alterations += doubt.alters
                for table in doubt.tables:
                    table.leave()


def is_idle(shape: Shape) -> bool:
    """Whether it writes nothing, whatever the database defines: BEGIN, SET and the like."""
    access = shape.access
    return not (access.opaque or access.targets or access.functions or access.operators or access.relations)
