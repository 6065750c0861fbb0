"""Spans to be, on their way from the data path to the thread that sends them: bounded, and never waited for."""

from collections import Counter, deque

from dbproxy.observe.record import HttpRecord, Record

LIMIT = 2048  # that wait
BATCH = 512  # that are sent at once
Item = Record | HttpRecord

EXPORTED, FAILED, OBSERVED = "exported", "failed", "observed"
DROPPED_QUEUE, DROPPED_RATE, DROPPED_CONTEXT = "dropped_queue", "dropped_rate", "dropped_context"
OUTCOMES = (EXPORTED, FAILED, OBSERVED, DROPPED_QUEUE, DROPPED_RATE, DROPPED_CONTEXT)


class Outbox:
    """One thread puts, one takes. `counts`: what became of requests' spans since start, by one of the words above."""

    def __init__(self) -> None:
        self.waiting: deque[Item] = deque()
        self.counts = Counter(dict.fromkeys(OUTCOMES, 0))
        self.per_second = 0  # that are let in; 0: all
        self.second = 0
        self.taken_in = 0  # in that second
        self.sends = True  # else they are only counted

    def put(self, item: Item, now: float) -> bool:
        """Whether a batch has just become whole."""
        if self.per_second:
            if int(now) != self.second:
                self.second, self.taken_in = int(now), 0
            if self.taken_in >= self.per_second:
                self.counts[DROPPED_RATE] += 1
                return False
            self.taken_in += 1
        if not self.sends:
            self.counts[OBSERVED] += 1
            return False
        size = len(self.waiting)
        if size >= LIMIT:
            self.counts[DROPPED_QUEUE] += 1
            return False
        self.waiting.append(item)
        return size + 1 == BATCH

    def take(self) -> list[Item]:
        """The oldest, up to a batch."""
        return [self.waiting.popleft() for _ in range(min(BATCH, len(self.waiting)))]
