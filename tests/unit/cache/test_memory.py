"""What is kept is bounded by bytes; who was asked for longest ago goes first."""

from dbproxy.cache.entry import Entry, Moment
from dbproxy.cache.fence import Fence
from dbproxy.cache.memory import Memory
from dbproxy.cache.value import Value
from tests.unit.cache.fakes import shape_of

SHAPE = shape_of("SELECT 1")
MOMENT = Moment(Fence(), [])


def entry(key: bytes, size: int = 1000) -> Entry:
    return Entry(key, Value(b"", b"x" * size), MOMENT, SHAPE, 0.1, 100.0)


def test_what_was_asked_for_longest_ago_goes_first():
    one, other, third = entry(b"1"), entry(b"2"), entry(b"3")
    memory = Memory(one.size * 2)
    memory.keep(one)
    memory.keep(other)
    memory.use(one)
    memory.keep(third)
    assert [memory.find(key) for key in (b"1", b"2", b"3")] == [one, None, third]
    assert (memory.size, memory.evicted, one.hits) == (one.size * 2, 1, 1)


def test_bytes_are_counted_whatever_happens():
    memory = Memory(10_000)
    for number in range(200):
        memory.keep(entry(b"%d" % (number % 7), number * 13 % 4000))
        memory.drop(b"%d" % (number % 3))
        assert memory.size == sum(kept.size for kept in memory.entries.values()) <= memory.limit
    memory.shrink(0)
    assert (memory.size, len(memory.entries)) == (0, 0)


def test_newer_answer_takes_the_place_of_the_older():
    memory, new = Memory(10_000), entry(b"1", 5)
    memory.keep(entry(b"1"))
    memory.keep(new)
    assert memory.find(b"1") is new
    assert memory.size == new.size


def test_what_is_larger_than_all_the_room_is_not_kept():
    memory = Memory(500)
    memory.keep(entry(b"1"))
    assert memory.find(b"1") is None
    assert memory.size == 0
