"""From which position in the WAL on an answer that somebody else was given is current here.

Another proxy, or this one before it was started anew, knows other things than we do: its generations say nothing here.
What both know is the primary's WAL. So an answer that is kept where others find it says of which position it has *seen*
all commits to its tables, and whoever finds it has a *floor* for them: a position read from the primary after all that
it knows of them. It is taken if seen >= floor, and is as current as what is kept here:

    seen    the position of our stream of everybody's writes before the answer was asked for, with none of the tables
            being committed to: all that was committed up to there has been told, and a snapshot has seen it
            (cache.witness). That alone makes it true; a position read from the primary would not be, as a commit is
            in the WAL before others see it.
    floor   of a generation of a table (cache.fence): the primary's position after the table had that generation.
            What has made it that, be it told by the stream, written by our own clients, found by a look at what the
            database defines, or the stream's beginning, was committed ahead of that position. Once the generation is
            another, so is the floor. A cell that nobody has written since has its bulk's.

Positions mean something in one history of one cluster only: `name` has the system's identifier, the timeline, and when
the postmaster was started, so that a clone of the disk, or a disk set back to an older state, is another. What depends
on other tables than we know of is not found at all: they are in the name, too.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol
from weakref import WeakKeyDictionary

from dbproxy.cache.fence import Fence
from dbproxy.cache.table import Table

POSITION = (
    "SELECT pg_catalog.pg_current_wal_insert_lsn() OPERATOR(pg_catalog.-) '0/0'::pg_catalog.pg_lsn,"
    " pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8),"
    " (pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())"
    " OPERATOR(pg_catalog.*) 1000000::pg_catalog.float8)::pg_catalog.int8,"
    " (SELECT oid FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())"
)
FORMAT = 1  # of all that is kept in Redis


class Heard(Protocol):
    """A stream of everybody's writes, as far as it has come (cache.witness)."""

    position: int
    hears: bool


@dataclass(frozen=True, slots=True)
class Stamp:
    """`seen`: what an answer that is about to be asked for sees. `name`: where it can be found by others."""

    name: bytes
    seen: int


class Horizon:
    """Of one database. `ask`: have POSITION asked, for what is `unsettled`."""

    def __init__(self, fence: Fence, heard: Heard, ask: Callable[[], object]) -> None:
        self.fence = fence
        self.heard = heard
        self.ask = ask
        self.name = b""  # of this history of the database, once it is known,
        self.named_at = -1  # and the generation of all of it by then
        # The generation that each had, and its floor. A mark that nothing has any more is gone.
        self.floors: WeakKeyDictionary[Table, tuple[int, int]] = WeakKeyDictionary()
        self.unsettled: set[Table] = set()
        self.asking = False

    def find_floor(self, tables: Sequence[Table]) -> int | None:
        """Of an answer that depends on these; None: it is not known yet."""
        floor = 0
        for table in (self.fence.whole, *tables):
            generation, position = self.floors.get(table, (-1, 0))
            if generation != table.generation and not table.is_untouched():
                self.unsettled.add(table)
            floor = max(floor, position)
        if not self.unsettled:
            return floor
        if not self.asking and self.heard.hears:
            self.asking = True
            self.ask()
        return None

    def stamp(self, tables: Sequence[Table]) -> Stamp | None:
        """Of an answer that is asked for now; None: it cannot be told what it sees."""
        whole = self.fence.whole
        if self.named_at != whole.generation:
            self.find_floor(tables)
            return None
        if not self.heard.hears or whole.committing or any(table.committing for table in tables):
            return None
        return Stamp(self.find_name(tables), self.heard.position)

    def find_name(self, tables: Iterable[Table]) -> bytes:
        return self.name + repr(sorted(table.oid for table in tables)).encode()

    def note(self) -> dict[Table, int]:
        """What is to be settled: which generations these have now, before POSITION is asked."""
        noted = {table: table.generation for table in self.unsettled}
        self.unsettled.clear()
        return noted

    def settle(self, noted: dict[Table, int], position: int, name: str) -> None:
        """The answer to POSITION; `name`: of this history."""
        named = blake2b(f"{FORMAT}/{name}".encode(), digest_size=16).digest()
        if named != self.name:
            self.name, self.named_at = named, -1
            self.floors.clear()
        for table, generation in noted.items():
            self.floors[table] = (generation, position)
        self.named_at = noted.get(self.fence.whole, self.named_at)
