# cython: boundscheck=False, wraparound=False
"""What is counted of one statement in some time: ints, and how often which duration.

A call's `total` is *wait* (until it had a server), *run* and *stall* (its client did not take the answer). Most calls
neither wait nor stall: those are in the histogram `direct` alone, which counts for `total` and for `run`. The others
are in one histogram for each part. Sums are added, in any order; packed, a minute takes some 200 bytes.
"""

from struct import Struct

from dbproxy.observe.histogram import Histogram

PARTS = ("direct", "total", "run", "wait", "stall")
STATES = 32  # different SQLSTATEs that are told apart; further ones are counted as OTHER_STATES
OTHER_STATES = "other"
LOST = "lost"  # instead of an SQLSTATE: server or client was gone before the answer had ended
_HEAD = Struct("<10q6H")
_PAIR = Struct("<HI")
_STATE = Struct("<5sI")
_MOST = 2**32 - 1


class Sums:
    """Times in microseconds. `errors` are among the calls, and `lost` among the errors; `min_us` is -1 for no calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.rows = 0
        self.bytes_sent = 0
        self.errors = 0
        self.lost = 0
        self.total_us = 0
        self.min_us = -1
        self.max_us = 0
        self.wait_us = 0
        self.stall_us = 0
        self.states: dict[str, int] | None = None  # errors by SQLSTATE
        self.direct: Histogram | None = None
        self.total: Histogram | None = None
        self.run: Histogram | None = None
        self.wait: Histogram | None = None
        self.stall: Histogram | None = None

    @property
    def run_us(self) -> int:
        return self.total_us - self.wait_us - self.stall_us

    # --- counting ---

    def add(self, total: int, wait: int, stall: int, rows: int, bytes_sent: int) -> bool:
        """One call; whether the object has become larger by that."""
        self.calls += 1
        self.rows += rows
        self.bytes_sent += bytes_sent
        self.total_us += total
        if total > self.max_us:
            self.max_us = total
        if total < self.min_us or self.min_us < 0:
            self.min_us = total
        if wait or stall:
            self.wait_us += wait
            self.stall_us += stall
            return self.spread(total, wait, stall)
        if self.direct is None:
            self.direct = Histogram()
        return self.direct.add(total)

    def spread(self, total: int, wait: int, stall: int) -> bool:
        """Into a histogram for each part."""
        larger = self.histogram(1).add(total)
        larger |= self.histogram(2).add(total - wait - stall)
        if wait:
            larger |= self.histogram(3).add(wait)
        if stall:
            larger |= self.histogram(4).add(stall)
        return larger

    def fail(self, sqlstate: str) -> None:
        """The call that was added has failed; `sqlstate` may be LOST."""
        self.errors += 1
        self.lost += sqlstate == LOST
        if self.states is None:
            self.states = {}
        if sqlstate not in self.states and len(self.states) >= STATES:
            sqlstate = OTHER_STATES
        self.states[sqlstate] = self.states.get(sqlstate, 0) + 1

    def merge(self, other: "Sums") -> None:
        self.calls += other.calls
        self.rows += other.rows
        self.bytes_sent += other.bytes_sent
        self.errors += other.errors
        self.lost += other.lost
        self.total_us += other.total_us
        self.wait_us += other.wait_us
        self.stall_us += other.stall_us
        self.enclose(other.min_us, other.max_us)
        for number in range(5):
            theirs = (other.direct, other.total, other.run, other.wait, other.stall)[number]
            if theirs is not None:
                self.histogram(number).merge(theirs)
        self.merge_states(other.states)

    def merge_states(self, states: dict[str, int] | None) -> None:
        for state, count in (states or {}).items():
            if self.states is None:
                self.states = {}
            known = state if state in self.states or len(self.states) < STATES else OTHER_STATES
            self.states[known] = self.states.get(known, 0) + count

    def enclose(self, least: int, most: int) -> None:
        if most > self.max_us:
            self.max_us = most
        if least >= 0 and (least < self.min_us or self.min_us < 0):
            self.min_us = least

    def histogram(self, number: int) -> Histogram:
        """That of PARTS[number], made where it was not needed yet."""
        if number == 0:
            self.direct = self.direct or Histogram()
            return self.direct
        if number == 1:
            self.total = self.total or Histogram()
            return self.total
        if number == 2:
            self.run = self.run or Histogram()
            return self.run
        if number == 3:
            self.wait = self.wait or Histogram()
            return self.wait
        self.stall = self.stall or Histogram()
        return self.stall

    # --- packed ---

    def pack(self) -> bytes:
        parts = (self.direct, self.total, self.run, self.wait, self.stall)
        pairs = [part.pairs() if part is not None else [] for part in parts]
        states = self.states or {}
        head = _HEAD.pack(
            self.calls,
            self.rows,
            self.bytes_sent,
            self.errors,
            self.lost,
            self.total_us,
            self.min_us,
            self.max_us,
            self.wait_us,
            self.stall_us,
            *map(len, pairs),
            len(states),
        )
        errors = [_STATE.pack(state.encode()[:5], min(count, _MOST)) for state, count in states.items()]
        return b"".join([head, *map(pack_pairs, pairs), *errors])

    def unpack(self, data: bytes) -> None:
        """Add what was packed."""
        head = _HEAD.unpack_from(data)
        self.calls += head[0]
        self.rows += head[1]
        self.bytes_sent += head[2]
        self.errors += head[3]
        self.lost += head[4]
        self.total_us += head[5]
        self.enclose(head[6], head[7])
        self.wait_us += head[8]
        self.stall_us += head[9]
        at = _HEAD.size
        for number in range(5):
            if head[10 + number]:
                at = unpack_pairs(self.histogram(number), data, at, head[10 + number])
        if head[15]:
            self.merge_states(unpack_states(data, at, head[15]))

    # --- telling ---

    def pairs(self, part: str) -> list[tuple[int, int]]:
        """The buckets of `total`, `run`, `wait` or `stall`, with those of `direct`; for the last two those above 0."""
        own: Histogram | None = getattr(self, part)
        if part in ("wait", "stall") or self.direct is None:
            return own.pairs() if own is not None else []
        if own is None:
            return self.direct.pairs()
        both = Histogram()
        both.merge(self.direct)
        both.merge(own)
        return both.pairs()


def pack_pairs(pairs: list[tuple[int, int]]) -> bytes:
    return b"".join([_PAIR.pack(index, min(count, _MOST)) for index, count in pairs])


def unpack_states(data: bytes, at: int, count: int) -> dict[str, int]:
    places = range(at, at + count * _STATE.size, _STATE.size)
    found = [_STATE.unpack_from(data, place) for place in places]
    return {state.rstrip(b"\0").decode(): number for state, number in found}


def unpack_pairs(histogram: Histogram, data: bytes, at: int, count: int) -> int:
    """Add `count` pairs that begin at `at`; where they end."""
    buffer = data
    for _ in range(count):
        index = buffer[at] | buffer[at + 1] << 8
        number = buffer[at + 2] | buffer[at + 3] << 8 | buffer[at + 4] << 16 | buffer[at + 5] << 24
        histogram.put(index, number)
        at += 6
    return at
