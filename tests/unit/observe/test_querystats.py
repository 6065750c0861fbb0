import gc
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psutil import Process

from dbproxy.observe.queries import Question, count, current_minute, measure_window, sum_entry, sum_other
from dbproxy.observe.querystats import KEPT, MINUTE, PRIMARY, REPLICA, Account, QueryStats
from dbproxy.observe.sums import Sums
from dbproxy.sql.cache import StatementCache
from dbproxy.sql.identity import NO_SHAPE, Shape

START = 1000.0
MIB = 1024**2


def make_stats(capacity: int = 5000, memory_limit: int = 32 * MIB, **more: bool) -> QueryStats:
    return QueryStats(capacity, memory_limit, START, **more)


def call(
    stats: QueryStats,
    account: Account,
    shape: Shape,
    now: float,
    microseconds: int = 100,
    state: str | None = None,
) -> None:
    entry = stats.find(shape, account, PRIMARY, now)
    assert entry is not None
    stats.record(entry, now, microseconds, 0, 0, 1, 10, state)


def total(stats: QueryStats, minutes: int | None, now: float) -> Sums:
    """Of all entries, those that are no more, too."""
    current = current_minute(stats, now)
    sums = sum_other(stats, minutes, current)
    for entry in stats.ring:
        sums.merge(sum_entry(entry, minutes, current))
    return sums


@pytest.mark.parametrize("texts", [20_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_values_and_comments_make_no_entries(texts: int):
    stats, cache = make_stats(), StatementCache(1000)
    account = stats.find_account("app", "app")
    for number in range(texts):
        text = f"SELECT a FROM t WHERE b = {number} /* traceparent='00-{number:032x}-{number:016x}-01' */"
        call(stats, account, cache.find(text.encode()), START)
    assert len(stats.ring) == 1
    assert total(stats, None, START).calls == texts


def test_lists_of_values_are_one_entry():
    stats, cache = make_stats(), StatementCache(1000)
    account = stats.find_account("app", "app")
    for many in (1, 2, 3, 100):
        rows = ", ".join(f"({number}, 'x')" for number in range(many))
        call(stats, account, cache.find(f"INSERT INTO t VALUES {rows}".encode()), START)
    assert len(stats.ring) == 1


def test_long_texts_that_differ_at_their_end_are_two_entries():
    stats, cache = make_stats(), StatementCache(1000)
    account = stats.find_account("app", "app")
    text = b"SELECT " + b"a + " * 10_000
    for last in (b"b", b"c"):
        call(stats, account, cache.find(text + last), START)
    assert len(stats.ring) == 2


def test_databases_users_and_roles_are_told_apart():
    stats, shape = make_stats(), StatementCache(10).find(b"SELECT 1")
    one, other = stats.find_account("app", "one"), stats.find_account("app", "other")
    entries = [
        stats.find(shape, account, role, START) for account in (one, other) for role in (PRIMARY, REPLICA)
    ]
    assert len({id(entry) for entry in entries}) == 4
    assert stats.find(shape, one, PRIMARY, START) is entries[0]
    assert {entry.id for entry in entries if entry} == {shape.name()}


def test_users_are_one_where_they_are_not_told_apart():
    stats = make_stats(by_user=False)
    assert stats.find_account("app", "one") is stats.find_account("app", "other")


def test_accounts_without_statements_and_pools_are_forgotten():
    stats, cache = make_stats(capacity=10), StatementCache(100)
    for number in range(1000):
        call(stats, stats.find_account("app", f"user{number}"), cache.find(b"SELECT 1"), START)
    gc.collect()
    assert len(stats.accounts) == len(stats.entries) == 10
    assert len({entry.account.number for entry in stats.ring}) == 10


def test_utilities_may_be_left_out():
    stats, cache = make_stats(track_utility=False), StatementCache(10)
    account = stats.find_account("app", "app")
    assert stats.find(cache.find(b"BEGIN"), account, PRIMARY, START) is None
    assert stats.find(cache.find(b"SELECT 1"), account, PRIMARY, START) is not None


def test_shape_that_was_forgotten_has_its_entry_again():
    stats = make_stats()
    account = stats.find_account("app", "app")
    for _ in range(2):
        call(stats, account, StatementCache(10).find(b"SELECT 1"), START)
        gc.collect()
    assert [sum_entry(entry, None, 0).calls for entry in stats.ring] == [2]


@pytest.mark.parametrize(("capacity", "memory_limit"), [(50, 32 * MIB), (5000, 200_000)])
def test_bounds_are_kept_and_nothing_is_lost(capacity: int, memory_limit: int):
    stats, cache = make_stats(capacity, memory_limit), StatementCache(5000)
    account = stats.find_account("app", "app")
    called: Counter[str] = Counter()
    for number in range(5000):
        now = START + number / 10  # eight minutes
        call(stats, account, cache.find(f"SELECT a{number % 1777} FROM t{number % 3}".encode()), now, number)
        called["all"] += number
        assert len(stats.ring) <= capacity
        assert stats.memory <= memory_limit
    found = total(stats, None, now)
    assert (found.calls, found.rows, found.total_us) == (5000, 5000, called["all"])
    assert total(stats, 60, now).calls == 5000
    assert stats.evicted > 0
    assert len(stats.entries) == len(stats.ring)


def test_shapes_do_not_keep_entries_that_are_no_more():
    stats, cache = make_stats(capacity=3), StatementCache(100)
    account = stats.find_account("app", "app")
    shapes = [cache.find(f"SELECT a{number}".encode()) for number in range(20)]
    for shape in shapes:
        call(stats, account, shape, START)
    assert sum(shape.statistics is not None for shape in shapes) == 3
    call(stats, account, shapes[0], START)
    assert total(stats, None, START).calls == 21
    stats.reset(START)
    assert not any(shape.statistics for shape in shapes)


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("calls", [1, 5], ids=["seen once", "in use"])
def test_hundred_thousand_shapes_stay_within_the_bounds(calls: int):
    """And so do few thousand that are called by turns, with durations of all lengths, over an hour."""
    shapes = 100_000 // calls**2
    stats, cache, generator = make_stats(), StatementCache(1000), Random(3)
    account, called = stats.find_account("app", "app"), 0
    gc.collect()
    before, most = Process().memory_info().rss, 0
    for turn in range(calls):
        for number in range(shapes):
            shape = cache.find(f"SELECT a{number} FROM t{number % 100} WHERE b{number} = {number}".encode())
            now = START + 3600 * (turn + number / shapes) / calls
            for _ in range(calls):
                microseconds = int(generator.lognormvariate(8, 1.5))
                called += microseconds
                call(stats, account, shape, now, microseconds)
        most = max(most, Process().memory_info().rss)
    assert (len(stats.ring) <= 5000, stats.memory <= 32 * MIB) == (True, True)
    assert most - before <= 40 * MIB
    sums = total(stats, None, now)
    assert (sums.calls, sums.total_us) == (shapes * calls**2, called)


def test_what_is_used_all_the_time_is_not_evicted():
    stats, cache = make_stats(20), StatementCache(5000)
    account = stats.find_account("app", "app")
    often = cache.find(b"SELECT always")
    for number in range(500):
        call(stats, account, often, START)
        call(stats, account, cache.find(f"SELECT a{number}".encode()), START)
    entry = stats.find(often, account, PRIMARY, START)
    assert entry is not None
    assert entry.running.calls == 500


def test_query_over_two_minutes_is_counted_once_where_it_ends():
    stats, shape = make_stats(), StatementCache(10).find(b"SELECT pg_sleep(90)")
    call(stats, stats.find_account("app", "app"), shape, START + 100, 90_000_000)
    (entry,) = stats.ring
    assert (entry.minute, entry.running.calls) == (1, 1)
    assert total(stats, None, START + 100).total_us == 90_000_000


CALLS = st.lists(st.tuples(st.floats(0, 90), st.integers(0, 3), st.integers(0, 10**7)), max_size=60)


@given(CALLS, st.floats(0, 4000), st.sampled_from([1, 5, 15, 60]), st.booleans())
def test_windows_have_what_ended_in_them(calls: list, later: float, minutes: int, sweeps: bool):
    """Whatever the clock says when it is counted, swept and asked: the whole minutes of the window, and the one now."""
    stats, cache = make_stats(3), StatementCache(10)
    account = stats.find_account("app", "app")
    shapes = [
        cache.find(b"SELECT a"),
        cache.find(b"SELECT b"),
        cache.find(b"SELECT c"),
        cache.find(b"SELECT d"),
    ]
    now, ended = START, []
    for pause, which, microseconds in calls:
        now += pause
        call(stats, account, shapes[which], now, microseconds)
        ended.append((int((now - START) // MINUTE), microseconds))
    now += later
    if sweeps:
        stats.sweep(now)
    current = int((now - START) // MINUTE)
    wanted = [microseconds for minute, microseconds in ended if minute >= current - minutes]
    found = total(stats, minutes, now)
    assert (found.calls, found.total_us) == (len(wanted), sum(wanted))
    assert (found.max_us, max(found.min_us, 0)) == (max(wanted, default=0), min(wanted, default=0))
    assert measure_window(stats, minutes, now) <= (minutes + 1) * MINUTE
    always = total(stats, None, now)
    assert (always.calls, always.total_us) == (len(calls), sum(call[2] for call in calls))


def test_minutes_that_are_over_are_packed_and_forgotten_in_time():
    stats, shape = make_stats(), StatementCache(10).find(b"SELECT 1")
    account = stats.find_account("app", "app")
    for minute in range(KEPT + 40):
        call(stats, account, shape, START + minute * MINUTE)
    (entry,) = stats.ring
    assert len(entry.past) == KEPT
    stats.sweep(START + 200 * MINUTE)
    assert (len(entry.past), entry.since.calls) == (0, KEPT + 40)


def test_reset_forgets_all_and_goes_on():
    stats, shape = make_stats(), StatementCache(10).find(b"SELECT 1")
    account = stats.find_account("app", "app")
    call(stats, account, shape, START)
    running = stats.find(shape, account, PRIMARY, START)
    stats.reset(START + 5)
    assert (stats.memory, total(stats, None, START + 5).calls) == (0, 0)
    call(stats, account, shape, START + 6)
    assert stats.find(shape, account, PRIMARY, START + 6) is not running
    assert total(stats, None, START + 6).calls == 1


def test_errors_are_among_the_calls():
    stats = make_stats()
    account = stats.find_account("app", "app")
    call(stats, account, NO_SHAPE, START, state="57014")
    (entry,) = stats.ring
    stats.fail(entry, "23505")
    sums = sum_entry(entry, None, 0)
    assert (sums.calls, sums.errors, sums.states) == (1, 2, {"57014": 1, "23505": 1})
    assert entry.text == "(not known)"


def test_two_proxies_sums_are_added():
    cache, merged = StatementCache(10), Sums()
    for _ in range(2):
        stats = make_stats()
        call(stats, stats.find_account("app", "app"), cache.find(b"SELECT 1"), START, 50)
        merged.merge(total(stats, None, START))
    assert count(merged)["total_us"] == 100


def test_question_without_filters_takes_all():
    stats = make_stats()
    call(stats, stats.find_account("app", "me"), StatementCache(10).find(b"SELECT * FROM t"), START)
    (entry,) = stats.ring
    assert Question().takes(entry)
    assert Question(database="app", user="me", role="primary", kind="read", table="t").takes(entry)
    assert not Question(user="you").takes(entry)
    assert not Question(table="s").takes(entry)
