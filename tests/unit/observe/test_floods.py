"""A flood of equal events is summed: some lines, then how many more there were."""

from dbproxy.observe.floods import MOST, OTHERS, Floods, describe, kind_of

KIND = ("session", "warning", "client refused", "28P01", "")


def test_few_are_all_written() -> None:
    floods = Floods(5)
    assert all(floods.admit(KIND, 100.0 + second) for second in range(3) for _ in range(5))
    assert floods.take(200.0) == []
    assert floods.summed == 0


def test_of_a_flood_some_are_written_and_the_rest_is_counted_once() -> None:
    floods = Floods(5)
    assert sum(floods.admit(KIND, 100.0) for _ in range(1000)) == 5
    assert floods.take(100.5) == []
    assert floods.take(101.0) == [(KIND, 995)]
    assert floods.take(102.0) == []
    assert floods.summed == 995


def test_a_flood_that_goes_on_is_told_of_each_second() -> None:
    floods = Floods(1)
    written = sum(floods.admit(KIND, 100.0 + i / 10) for i in range(30))
    assert written + sum(more for _, more in floods.take(200.0)) == 30
    assert written == 3


def test_one_flood_hides_no_other_event() -> None:
    floods = Floods(1)
    for _ in range(10):
        floods.admit(KIND, 100.0)
    assert floods.admit(("session", "warning", "client refused", "53300", ""), 100.0)


def test_kinds_are_bounded() -> None:
    floods = Floods(1)
    for number in range(3 * MOST):
        floods.admit(("pool", "info", f"event {number}"), 100.0)
    assert len(floods.floods) == MOST + 1
    assert floods.take(101.0) == [(("pool", "info", OTHERS), 2 * MOST - 1)]


def test_without_a_limit_all_are_written() -> None:
    assert all(Floods(0).admit(KIND, 100.0) for _ in range(1000))


def test_what_is_equal_is_told_by_the_event_not_by_whom_it_concerns() -> None:
    line = {"event": "client refused", "sqlstate": "28P01", "user": "a", "client": 1}
    assert kind_of("session", "warning", line) == kind_of(
        "session", "warning", {**line, "user": "b", "client": 2}
    )
    assert kind_of("session", "warning", line) == KIND
    assert describe(KIND, 7) == {"event": "client refused", "more": 7, "sqlstate": "28P01"}


def test_line_that_would_not_be_written_need_not_be_made() -> None:
    floods = Floods(2)
    assert not floods.overflows(KIND, 0.0)
    assert floods.admit(KIND, 0.0)
    assert not floods.overflows(KIND, 0.1)
    assert floods.admit(KIND, 0.1)
    assert floods.overflows(KIND, 0.2)
    assert not floods.overflows(KIND, 1.0)  # another second
    assert (floods.summed, floods.take(1.0)) == (1, [(KIND, 1)])
    assert not Floods(0).overflows(KIND, 0.0)
