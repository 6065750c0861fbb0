"""What refused clients are told, which refusals are told one by one, and that none is forgotten."""

from dbproxy.config.limits import LimitSettings
from dbproxy.limits.book import Book
from dbproxy.limits.refusals import MOST, SECOND, Refusals
from dbproxy.limits.subject import Subject
from dbproxy.limits.wording import OPEN, RATE, Reason
from dbproxy.wire import build

USED = Reason(RATE, 12)


def make() -> tuple[Refusals, Subject]:
    book = Book(LimitSettings(tier="standard"))
    return Refusals(book), book.find(book.rules[0], "acme", 0)


def test_one_of_a_second_is_told_and_the_others_are_summed():
    refusals, acme = make()
    other = Subject("user", "other")
    assert [refusals.refuse(acme, USED, 1, now).quiet for now in (0, 1, 2)] == [False, True, True]
    assert not refusals.refuse(other, USED, 1, 3).quiet
    assert refusals.take(SECOND - 1) == []
    assert refusals.take(SECOND + 3) == [(acme, 2)]
    assert refusals.told == {}, "nothing is kept of those who are quiet"
    assert not refusals.refuse(acme, USED, 1, SECOND + 4).quiet
    assert (acme.refused, acme.tally.rejected) == (4, 4)


def test_of_very_many_the_rest_is_told_in_one():
    refusals, _ = make()
    for number in range(MOST + 10):
        subject = Subject("user", str(number))
        for _ in range(3):
            refusals.refuse(subject, USED, 1, 0)
    *told, rest = refusals.take(SECOND)
    assert len(told) == MOST
    assert rest == (None, 20)


def test_words_are_made_anew_once_they_are_true_no_more():
    refusals, acme = make()
    first, second, third = (refusals.refuse(acme, USED, SECOND, now) for now in (0, 1, 2))
    assert first.facts == {"rule": "user", "key": "acme", "tier": "standard"}
    assert second is third, "nothing has changed"
    assert second.spelled == build.error_response(first), "and it is told as the first was"
    assert refusals.refuse(acme, USED, SECOND * 9 // 10, 3).hint == "retry after 0.9 s"
    assert refusals.refuse(acme, Reason(RATE, 13), SECOND * 9 // 10, 4).detail.startswith("Used: 13; ")
    assert refusals.refuse(acme, Reason(OPEN, 2), 0, 5).hint == "retry after a transaction of its own ends"
    refusals.book.override(refusals.book.rules[0], "acme", "pro")
    refusals.book.refresh(refusals.book.rules[0], acme, 6)
    told = refusals.refuse(acme, USED, SECOND, 6)
    assert told.detail == "Used: 12; limit: 1000/min and a burst of 100."
