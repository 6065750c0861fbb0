# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""How often which duration: log-linear, 32 linear steps for each doubling, in microseconds.

Below 64 µs each microsecond has a bucket of its own. Above, bucket `32 * octave + (microseconds >> octave)` holds
durations that differ by less than a 32nd, and is told by its middle: an error of at most 1.6 %. There are 896, up to
2^32 µs (71 minutes); what takes longer is in the last. Histograms are merged by adding, never averaged.
"""

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import sqrt

ROW = 32  # buckets for a doubling
FRACTION = 64  # durations below this are told exactly
BUCKETS = 896
LAST = BUCKETS - 1
LONGEST = 1 << 32
_NOTHING = array("Q")


def find_bucket(microseconds: int) -> int:
    """The index of the bucket that counts this duration; one below 0 is 0."""
    if microseconds < FRACTION:
        return microseconds if microseconds > 0 else 0
    if microseconds >= LONGEST:
        return LAST
    octave, rest = 0, microseconds
    if rest >= FRACTION << 16:
        octave, rest = 16, rest >> 16
    if rest >= FRACTION << 8:
        octave, rest = octave + 8, rest >> 8
    while rest >= FRACTION:
        octave, rest = octave + 1, rest >> 1
    return octave * ROW + rest


def middle(index: int) -> float:
    """The duration that stands for a bucket, in microseconds."""
    if index < FRACTION:
        return float(index)
    octave = index // ROW - 1
    low = (index - octave * ROW) << octave
    return low + (1 << octave) / 2


MIDDLES = [middle(index) for index in range(BUCKETS)]


class Histogram:
    """Holds the octaves between the shortest and the longest duration that it has seen: `counts` begins at `first`."""

    def __init__(self) -> None:
        self.first = 0
        self.size = 0
        self.counts = _NOTHING

    def add(self, microseconds: int) -> bool:
        """Count one; whether the histogram has become larger by that."""
        index = find_bucket(microseconds)
        place = index - self.first
        if 0 <= place < self.size:
            self.counts[place] += 1
            return False
        self.put(index, 1)
        return True

    def put(self, index: int, count: int) -> None:
        """Count so many in the bucket `index`."""
        self.reach(index, index)
        self.counts[index - self.first] += count

    def merge(self, other: "Histogram") -> None:
        if other.size:
            self.reach(other.first, other.first + other.size - 1)
            shift = other.first - self.first
            for index in range(other.size):
                self.counts[index + shift] += other.counts[index]

    def reach(self, lowest: int, highest: int) -> None:
        """Have room for the buckets between these, in whole octaves."""
        start = lowest // ROW * ROW
        stop = (highest // ROW + 1) * ROW
        if self.size:
            start = min(start, self.first)
            stop = max(stop, self.first + self.size)
        if stop - start == self.size:
            return
        larger = array("Q", bytes(8 * (stop - start)))
        for index in range(self.size):
            larger[self.first - start + index] = self.counts[index]
        self.first = start
        self.size = stop - start
        self.counts = larger

    def pairs(self) -> list[tuple[int, int]]:
        """The buckets that have counted something: index and count, ascending."""
        return [
            (self.first + index, self.counts[index]) for index in range(self.size) if self.counts[index] != 0
        ]


def find_deviation(pairs: Sequence[tuple[int, int]]) -> float:
    """The standard deviation, in microseconds, as the buckets' middles tell it; 0 for nothing."""
    calls, total, squares = 0, 0.0, 0.0
    for index, count in pairs:
        value = MIDDLES[index]
        calls += count
        total += value * count
        squares += value * value * count
    return sqrt(max(0.0, squares / calls - (total / calls) ** 2)) if calls else 0.0


def find_quantiles(
    pairs: Sequence[tuple[int, int]], shares: Iterable[float], least: int, most: int
) -> list[float]:
    """For each share (ascending, 0.5 is the median) the duration that as large a part does not exceed, in microseconds.

    `least` and `most` are the shortest and the longest duration counted: no answer is outside of them. 0 for nothing.
    """
    if not pairs:
        return [0.0 for _ in shares]
    sums = list(accumulate([count for _, count in pairs]))
    calls = sum([count for _, count in pairs])
    found, place = [], 0
    for share in shares:
        rank = max(1.0, share * calls)
        while sums[place] < rank and place < len(sums) - 1:
            place += 1
        index = pairs[place][0]
        found.append(float(most) if index == LAST else min(max(middle(index), float(least)), float(most)))
    return found
