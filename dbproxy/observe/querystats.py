"""What each statement costs: counted once, at its end, for its shape, database, user and the role of its host.

Counted is into the minute that runs. An entry's minutes that are over are packed, those of the last hour are kept, and
all are added up since the last reset. There are at most `capacity` entries of `memory_limit` bytes; beyond that those
that were not used for longest (by a clock hand, which needs no order) go into `<other>` with all their sums, so that
totals stay true. A shape has its last entry at hand: the data path looks nothing up.
"""

import re
from collections import deque
from itertools import count
from sys import getsizeof
from time import time
from weakref import WeakValueDictionary, ref

from dbproxy.observe.habits import Habits
from dbproxy.observe.sums import Sums
from dbproxy.sql.access import READ, UTILITY
from dbproxy.sql.identity import Shape

MINUTE = 60.0
KEPT = 60  # minutes that are over and can still be asked for
PRIMARY, REPLICA, CACHE = 0, 1, 2
ROLES = ("primary", "replica", "cache")
# What it does to a transaction that might run on a replica.
READS, NEITHER, WRITES, READS_ONLY = 0, 1, 2, 3  # READS_ONLY: it begins one that cannot write
_NEITHER = (
    "BEGIN",
    "START",
    "COMMIT",
    "END",
    "ROLLBACK",
    "ABORT",
    "SAVEPOINT",
    "RELEASE",
    "SET",
    "SHOW",
    "RESET",
)
LIMITED = re.compile(r"\b(LIMIT|FETCH)\b", re.IGNORECASE)
OTHER = "<other>"
UNKNOWN_TEXT, EMPTY_TEXT = "(not known)", "(empty)"
BASE_WEIGHT = 1400  # bytes of an entry without texts and histograms
SUMS_WEIGHT = 700  # bytes of a histogram without its buckets
BUCKET_WEIGHT = 10  # bytes: 8, and what the allocator loses where large ones come and go


class Account:
    """Whose statements they are; `user` is "" where users are not told apart."""

    def __init__(self, database: str, user: str, number: int) -> None:
        self.database = database
        self.user = user
        self.number = number


def judge_access(shape: Shape) -> int:
    """READS, NEITHER, WRITES or READS_ONLY."""
    if shape.effects.begins_read_only:
        return READS_ONLY
    if shape.effects.reads:
        return READS
    return NEITHER if shape.text.upper().startswith(_NEITHER) else WRITES


class Entry:
    """One statement of one account on one kind of host. Times are monotonic seconds; `minute`: from the origin."""

    def __init__(
        self, shape: Shape, account: Account, role: int, key: tuple[int, int, int], now: float
    ) -> None:
        self.id = shape.name()
        self.text = shape.text or (EMPTY_TEXT if shape.hash else UNKNOWN_TEXT)
        self.kind = shape.kind
        self.access = judge_access(shape)
        self.unlimited = shape.kind == READ and not LIMITED.search(shape.text)
        self.tables = shape.relations | shape.targets
        self.shape = ref(shape)  # which has this entry at hand
        self.account = account
        self.role = role
        self.key = key
        self.minute = 0
        self.running = Sums()
        self.since = Sums()  # without what runs
        self.past: deque[tuple[int, bytes]] = deque()  # minutes that are over, oldest first
        self.habits = Habits()
        self.first_seen = now
        self.last_seen = now
        self.used = False  # again, since the hand came by
        self.evicted = False
        self.weight = 0

    def lie_at_hand(self, shape: Shape) -> None:
        self.shape = ref(shape)
        shape.statistics = self

    def leave(self) -> None:
        """It is in the table no more, and nobody keeps it."""
        self.evicted = True
        shape = self.shape()
        if shape is not None and shape.statistics is self:
            shape.statistics = None

    def turn(self, minute: int) -> None:
        """The minute that has been counted into is over."""
        if self.running.calls:
            self.since.merge(self.running)
            self.past.append((self.minute, self.running.pack()))
            self.running = Sums()
        while self.past and self.past[0][0] < minute - KEPT:
            self.past.popleft()
        self.minute = minute

    def weigh(self) -> int:
        """Its memory in bytes, about."""
        size = BASE_WEIGHT + getsizeof(self.text)
        for sums in (self.running, self.since):
            for histogram in (sums.direct, sums.total, sums.run, sums.wait, sums.stall):
                if histogram is not None:
                    size += SUMS_WEIGHT + BUCKET_WEIGHT * histogram.size
        return size + sum([getsizeof(packed) + 96 for _, packed in self.past])


class Other:
    """What entries had counted that are no more."""

    def __init__(self) -> None:
        self.since = Sums()
        self.minutes: dict[int, Sums] = {}

    def take(self, entry: Entry, oldest: int) -> None:
        """All that it has counted; by minute from the `oldest` on."""
        self.since.merge(entry.since)
        self.since.merge(entry.running)
        if entry.running.calls and entry.minute >= oldest:
            self.find(entry.minute).merge(entry.running)
        for minute, packed in entry.past:
            if minute >= oldest:
                self.find(minute).unpack(packed)

    def find(self, minute: int) -> Sums:
        if minute not in self.minutes:
            self.minutes[minute] = Sums()
        return self.minutes[minute]

    def forget(self, oldest: int) -> None:
        for minute in [minute for minute in self.minutes if minute < oldest]:
            del self.minutes[minute]


class QueryStats:
    """All entries of one proxy. `now` is monotonic seconds."""

    def __init__(
        self,
        capacity: int,
        memory_limit: int,
        now: float,
        *,
        by_user: bool = True,
        track_utility: bool = True,
    ) -> None:
        self.capacity = capacity
        self.memory_limit = memory_limit
        self.by_user = by_user
        self.track_utility = track_utility
        self.accounts: WeakValueDictionary[tuple[str, str], Account] = WeakValueDictionary()  # in use
        self.numbers = count()  # of accounts
        self.entries: dict[tuple[int, int, int], Entry] = {}
        self.ring: list[Entry] = []  # all of them, as the hand goes around
        self.hand = 0
        self.other = Other()
        self.memory = 0
        self.evicted = 0  # since start
        self.origin = now  # where the first minute begins
        self.reset_at = now
        self.minute = 0
        self.turns_at = now + MINUTE

    def find_account(self, database: str, user: str) -> Account:
        """Whose statements those of this database and user are."""
        key = (database, user if self.by_user else "")
        found = self.accounts.get(key)
        if found is None:
            found = self.accounts[key] = Account(*key, next(self.numbers))
        return found

    # --- counting ---

    def find(self, shape: Shape, account: Account, role: int, now: float) -> Entry | None:
        """The entry, made where there was none; None for a statement that is not counted."""
        shape = shape.identity()
        entry: Entry | None = shape.statistics  # type: ignore[assignment]  # ours alone
        if entry is None or entry.account is not account or entry.role != role or entry.evicted:
            return self.look_up(shape, account, role, now)
        entry.used = True
        return entry

    def look_up(self, shape: Shape, account: Account, role: int, now: float) -> Entry | None:
        if not self.track_utility and shape.kind == UTILITY:
            return None
        key = (shape.hash, account.number, role)
        entry = self.entries.get(key)
        if entry is None:
            if len(self.ring) >= self.capacity or self.memory > self.memory_limit:
                self.evict()
            entry = self.entries[key] = Entry(shape, account, role, key, now)
            self.ring.append(entry)
        else:
            entry.used = True
        entry.lie_at_hand(shape)
        return entry

    def record(
        self,
        entry: Entry,
        now: float,
        total: int,
        wait: int,
        stall: int,
        rows: int,
        bytes_sent: int,
        state: str | None,
    ) -> None:
        """A call has ended; times in microseconds. `state`: an SQLSTATE if it has failed."""
        if now >= self.turns_at:
            self.turn(now)
        larger = entry.minute != self.minute
        if larger:
            entry.turn(self.minute)
        entry.last_seen = now
        larger |= entry.running.add(total, wait, stall, rows, bytes_sent)
        if state is not None:
            entry.running.fail(state)
        if larger:
            self.weigh(entry)

    def fail(self, entry: Entry, state: str) -> None:
        """A call that was recorded has failed after all."""
        (self.other.since if entry.evicted else entry.running).fail(state)

    def turn(self, now: float) -> None:
        """The minute is over."""
        self.minute = int((now - self.origin) // MINUTE)
        self.turns_at = self.origin + (self.minute + 1) * MINUTE
        self.other.forget(self.minute - KEPT)

    def weigh(self, entry: Entry) -> None:
        """It has become larger, or smaller: if all are too large now, others go."""
        self.reweigh(entry)
        while self.memory > self.memory_limit and len(self.ring) > 1:
            self.evict()

    def reweigh(self, entry: Entry) -> None:
        weight = entry.weigh()
        self.memory += weight - entry.weight
        entry.weight = weight

    def evict(self) -> None:
        """The hand passes those that were used since it came by last, and drops the next."""
        while True:
            if self.hand >= len(self.ring):
                self.hand = 0
            entry = self.ring[self.hand]
            if not entry.used:
                break
            entry.used = False
            self.hand += 1
        self.ring[self.hand] = self.ring[-1]
        self.ring.pop()
        self.drop(entry)

    def drop(self, entry: Entry) -> None:
        self.other.take(entry, self.minute - KEPT)
        del self.entries[entry.key]
        entry.leave()
        self.memory -= entry.weight
        self.evicted += 1

    # --- beside the data path ---

    def sweep(self, now: float, most: int = 200) -> None:
        """Pack minutes that are over, of `most` entries: of those that are not used nobody else does."""
        if now >= self.turns_at:
            self.turn(now)
        late = (entry for entry in self.ring if entry.minute != self.minute)
        for entry, _ in zip(late, range(most), strict=False):
            entry.turn(self.minute)
            self.reweigh(entry)

    def reset(self, now: float) -> None:
        """Count from nothing; what runs is counted when it ends."""
        for entry in self.ring:
            entry.leave()
        self.entries.clear()
        self.ring.clear()
        self.hand = self.memory = 0
        self.other = Other()
        self.origin = self.reset_at = now
        self.minute = 0
        self.turns_at = now + MINUTE

    def label(self, minute: int, now: float) -> float:
        """When a minute began, in seconds since 1970."""
        return time() - (now - self.origin) + minute * MINUTE
