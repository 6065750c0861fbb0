"""Who is served next, of those who wait for a server."""

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dbproxy.pool.borrower import Borrower
from dbproxy.pool.waiting import Waiting


class Guest(Borrower):
    def __init__(self, key: str = "", weight: int = 1) -> None:
        Borrower.__init__(self)
        self.key, self.weight = key, weight

    def find_turn(self) -> tuple[str, int]:
        return self.key, self.weight


def make(*guests: Guest, turns: bool = True) -> Waiting:
    waiting = Waiting()
    waiting.take_turns(wanted=turns)
    for number, guest in enumerate(guests):
        waiting.add(guest, float(number))
    return waiting


def serve(waiting: Waiting, number: int) -> list[Any]:
    return [waiting.take_next()[0] for _ in range(number)]


def test_first_come_is_first_served():
    guests = [Guest("a"), Guest("a"), Guest("b")]
    assert serve(make(*guests, turns=False), 3) == guests


def test_who_waits_alone_is_not_behind_all_of_another():
    crowd = [Guest("noisy") for _ in range(500)]
    quiet = Guest("quiet")
    waiting = make(*crowd, quiet)
    assert quiet in serve(waiting, 2)
    assert serve(waiting, 499) == crowd[1:]
    assert len(waiting) == 0


def test_each_is_served_as_often_as_its_weight_says():
    waiting = make(*[Guest("free") for _ in range(50)], *[Guest("pro", 4) for _ in range(50)])
    assert Counter(guest.key for guest in serve(waiting, 50)) == {"free": 10, "pro": 40}


def test_those_of_one_key_are_served_as_they_came():
    first, second, other = Guest("a"), Guest("a"), Guest("b")
    assert serve(make(first, second, other), 3) == [first, other, second]


def test_to_look_at_they_are_in_the_order_in_which_they_came():
    guests = [Guest("a"), Guest("a"), Guest("b")]
    waiting = make(*guests)
    assert (list(waiting), waiting.oldest(), len(waiting)) == (guests, 0.0, 3)
    assert [since for _, since in waiting.items()] == [0.0, 1.0, 2.0]


def test_who_has_left_is_not_served():
    first, second = Guest("a"), Guest("b")
    waiting = make(first, second)
    waiting.remove(first)
    waiting.remove(first)
    assert first not in waiting
    assert serve(waiting, 1) == [second]


def test_turns_begin_with_those_who_wait_already_and_end_with_them():
    crowd, quiet = [Guest("noisy") for _ in range(5)], Guest("quiet")
    waiting = make(*crowd, quiet, turns=False)
    waiting.take_turns(wanted=True)
    assert serve(waiting, 2) == [crowd[0], quiet]
    waiting.take_turns(wanted=False)
    assert serve(waiting, 4) == crowd[1:]


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.sampled_from(["come", "leave", "serve"])),
        max_size=80,
    )
)
def test_nobody_is_lost_or_served_twice(steps: list[tuple[str, int, str]]):
    waiting, there, gone = make(), [], []
    for key, weight, what in steps:
        if what == "come" or not there:
            guest = Guest(key, weight)
            waiting.add(guest, float(len(gone)))
            there.append(guest)
        elif what == "leave":
            waiting.remove(there[0])
            gone.append(there.pop(0))
        else:
            served: Any = waiting.take_next()[0]
            there.remove(served)
            gone.append(served)
        assert list(waiting) == there
    assert len(set(map(id, gone))) == len(gone)
