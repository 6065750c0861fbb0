"""What one subject may do, what it pays, and who goes next. Times are microseconds."""

import asyncio

from dbproxy.config.limits import TierSettings
from dbproxy.config.rate import parse_rate, parse_server_time
from dbproxy.limits.subject import Subject, Terms, find_crowded, find_slowest
from dbproxy.limits.tally import Tally

SECOND = 1_000_000


PLAIN = Terms()


def make(terms: Terms = PLAIN, **keys: object) -> Subject:
    subject = Subject("tenant", "acme")
    hold(subject, terms, **keys)
    return subject


def hold(subject: Subject, terms: Terms = PLAIN, **keys: object) -> None:
    subject.hold("own", TierSettings(**keys), Tally("own"), terms, 0)  # type: ignore[arg-type]


def run(subject: Subject, now: int = 0, times: int = 1) -> None:
    for _ in range(times):
        assert subject.wait(now) == 0
        subject.begin(now)
        subject.end()


def test_who_has_no_limit_never_waits():
    subject = make()
    run(subject, times=1000)
    assert (subject.tally.allowed, subject.used, subject.running) == (1000, 1000, 0)


def test_burst_is_counted_apart():
    subject = make(rate=parse_rate("10/min"), burst=2)
    run(subject, times=12)
    assert (subject.tally.allowed, subject.tally.burst) == (10, 2)
    assert subject.wait(0) == 6 * SECOND


def test_time_on_servers_is_charged_behind_and_delays_the_next():
    subject = make(server_time=parse_server_time("5s/min"))
    run(subject)
    subject.charge(0, 4 * SECOND, 0, 0)
    run(subject)
    subject.charge(0, 4 * SECOND, 0, 0)
    assert subject.wait(0) == 3 * 12 * SECOND  # 3 s too many, of which each takes 12 s to come back
    assert subject.wait(36 * SECOND) == 0


def test_rows_are_charged_behind_and_delay_the_next():
    subject = make(rows=parse_rate("1000/min"))
    subject.charge(0, 0, 1500, 0)
    assert subject.wait(0) == 30 * SECOND


def test_what_turned_out_to_be_none_is_given_back():
    subject = make(rate=parse_rate("10/min"))
    run(subject, times=10)
    subject.charge(0, 0, 0, -1)
    assert (subject.used, subject.wait(0)) == (9, 0)


def test_request_that_needed_no_server_costs_a_tenth():
    subject = make(rate=parse_rate("10/min"))
    for _ in range(10):
        subject.begin(0)
        subject.refund()
        subject.end()
    assert subject.rate is not None
    assert subject.rate.used(0) == 1


def test_only_so_many_run_at_once_and_who_has_waited_longest_goes_next():
    loop = asyncio.new_event_loop()
    subject = make(max_concurrent=2)
    subject.begin(0)
    subject.begin(0)
    assert subject.is_crowded()
    turns = [loop.create_future() for _ in range(3)]
    for turn in turns:
        subject.queue_up(turn)
    turns[0].cancel()  # has left
    subject.end()
    assert [turn.done() for turn in turns] == [True, True, False]
    assert subject.is_crowded(), "the place is kept for who was called"
    subject.pass_turn()
    assert turns[2].done()
    loop.close()


async def test_those_who_wait_for_a_place_have_those_that_a_raised_limit_adds():
    loop = asyncio.get_running_loop()
    subject, turns = make(max_concurrent=1), [loop.create_future() for _ in range(4)]
    subject.open()
    for turn in turns:
        subject.queue_up(turn)
    hold(subject, max_concurrent=3)
    assert [turn.done() for turn in turns] == [True, True, False, False]
    assert subject.is_crowded(), "nobody who comes goes ahead of them"
    hold(subject)
    assert all(turn.done() for turn in turns), "there is no such limit any more"


def test_warning_is_due_from_a_share_of_the_limit_on():
    subject = make(Terms(notice_at=0.8), rate=parse_rate("10/min"))
    assert [subject.begin(0) for _ in range(10)] == [False] * 7 + [True] * 3
    subject.quiet_until = SECOND
    assert not subject.begin(0)
    silent = make(rate=parse_rate("10/min"))
    assert not any(silent.begin(0) for _ in range(20))


def test_logins_may_be_what_the_rate_is_for():
    subject = make(Terms(count="logins"), rate=parse_rate("10/min"))
    run(subject, times=100)
    assert subject.logins is not None
    assert subject.logins.number == 10


def test_it_is_idle_once_all_that_it_used_has_come_back_and_nobody_has_it():
    subject = make(rate=parse_rate("10/min"))
    run(subject)
    assert not subject.is_idle(0)
    assert subject.is_idle(6 * SECOND)
    subject.sessions = 1
    assert not subject.is_idle(6 * SECOND)


def test_other_limit_keeps_what_is_used():
    subject = make(rate=parse_rate("10/min"))
    run(subject, times=10)
    subject.hold("more", TierSettings(rate=parse_rate("20/min")), Tally("more"), Terms(), 0)
    run(subject, times=10)
    assert subject.wait(0) == 3 * SECOND


def test_who_waits_no_more_leaves_nothing_behind():
    loop = asyncio.new_event_loop()
    subject = make(max_concurrent=1)
    subject.begin(0)
    for _ in range(3):
        turn = loop.create_future()
        subject.queue_up(turn)
        turn.cancel()
        subject.step_out(turn)
    assert not subject.queue
    assert not make(max_concurrent=1).queue, "nobody's queue is another's"
    loop.close()


def test_queries_are_counted_by_the_statement_where_that_is_what_a_rate_counts():
    subject = make(Terms(count="queries"), rate=parse_rate("10/min"))
    assert subject.counts_queries
    assert not make(rate=parse_rate("10/min")).counts_queries


def test_first_of_those_with_as_many_open_as_may_be_is_found():
    free, crowded = make(), make(max_concurrent=1)
    assert find_crowded((free, crowded)) is None
    crowded.open()
    assert find_crowded((free, crowded)) is crowded


def test_slowest_is_who_waits_longest_or_the_first_where_nobody_waits():
    one, other = make(rate=parse_rate("2/min")), make(rate=parse_rate("1/min"))
    assert find_slowest((one, other), 0) is one
    other.begin(0)
    assert find_slowest((one, other), 0) is other
    run(one, times=2)
    assert find_slowest((one, other), 0) is other
