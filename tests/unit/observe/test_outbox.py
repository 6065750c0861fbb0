"""Spans to be are bounded, in number and by second, and what is left out is counted."""

from dbproxy.observe.outbox import BATCH, LIMIT, Outbox
from dbproxy.observe.record import HttpRecord

ITEM = HttpRecord("GET", "/health", 200, None, 0.0, 1)


def test_full_outbox_drops_what_comes_and_counts_it():
    outbox = Outbox()
    for _ in range(LIMIT + 10):
        outbox.put(ITEM, 0.0)
    assert (len(outbox.waiting), outbox.counts["dropped_queue"]) == (LIMIT, 10)


def test_whole_batch_is_told_once():
    outbox = Outbox()
    assert [number for number in range(2 * BATCH) if outbox.put(ITEM, 0.0)] == [BATCH - 1]
    assert len(outbox.take()) == len(outbox.take()) == BATCH
    assert outbox.take() == []


def test_so_many_a_second():
    outbox = Outbox()
    outbox.per_second = 3
    for _ in range(5):
        outbox.put(ITEM, 10.5)
    assert (len(outbox.waiting), outbox.counts["dropped_rate"]) == (3, 2)
    outbox.put(ITEM, 11.0)
    assert len(outbox.waiting) == 4


def test_observed_ones_are_only_counted():
    outbox = Outbox()
    outbox.sends = False
    outbox.put(ITEM, 0.0)
    assert (len(outbox.waiting), outbox.counts["observed"]) == (0, 1)
