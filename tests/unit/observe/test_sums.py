from hypothesis import given
from hypothesis import strategies as st

from dbproxy.observe.sums import LOST, OTHER_STATES, STATES, Sums

HOUR = 3600 * 1_000_000
CALLS = st.lists(
    st.tuples(
        *[st.integers(0, 2**36)] * 3, st.integers(0, 1000), st.sampled_from([None, "23505", "57014", LOST])
    )
)


def add(sums: Sums, calls: list) -> Sums:
    for run, wait, stall, rows, state in calls:
        sums.add(run + wait + stall, wait, stall, rows, 10 * rows)
        if state is not None:
            sums.fail(state)
    return sums


def told(sums: Sums) -> tuple:
    numbers = (
        sums.calls,
        sums.rows,
        sums.bytes_sent,
        sums.errors,
        sums.lost,
        sums.total_us,
        sums.min_us,
        sums.max_us,
    )
    parts = tuple(tuple(sums.pairs(part)) for part in ("total", "run", "wait", "stall"))
    return numbers, sums.wait_us, sums.run_us, sums.stall_us, sums.states or {}, parts


@given(CALLS)
def test_what_is_packed_is_the_same_unpacked(calls: list):
    sums, unpacked = add(Sums(), calls), Sums()
    unpacked.unpack(sums.pack())
    assert told(unpacked) == told(sums)


@given(CALLS, CALLS)
def test_merged_is_as_counted_together(some: list, more: list):
    merged, unpacked = add(Sums(), some), add(Sums(), some)
    merged.merge(add(Sums(), more))
    unpacked.unpack(add(Sums(), more).pack())
    assert told(merged) == told(unpacked) == told(add(Sums(), some + more))


@given(CALLS)
def test_parts_are_the_whole(calls: list):
    sums = add(Sums(), calls)
    assert sums.run_us == sum(call[0] for call in calls)
    assert sum(count for _, count in sums.pairs("total")) == len(calls)
    assert sum(count for _, count in sums.pairs("run")) == len(calls)
    assert sum(count for _, count in sums.pairs("wait")) == sum(call[1] > 0 for call in calls)


def test_extremes_are_summed_exactly():
    sums = Sums()
    for microseconds in (0, 1, 71 * 60 * 1_000_000, 10 * HOUR):
        sums.add(microseconds, 0, 0, 0, 0)
    assert (sums.min_us, sums.max_us) == (0, 10 * HOUR)
    assert sums.total_us == 1 + 71 * 60 * 1_000_000 + 10 * HOUR
    assert [count for _, count in sums.pairs("total")] == [1, 1, 2]


def test_sqlstates_are_bounded():
    sums = Sums()
    for number in range(STATES + 50):
        sums.add(1, 0, 0, 0, 0)
        sums.fail(f"X{number:04}")
    assert sums.states is not None
    assert len(sums.states) == STATES + 1
    assert sums.states[OTHER_STATES] == 50
    assert sums.errors == STATES + 50
