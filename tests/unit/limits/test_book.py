"""Which subjects there are, and who has which tier."""

from types import MappingProxyType
from typing import Any

import pytest

from dbproxy.config.limits import LimitSettings
from dbproxy.config.template import Facts
from dbproxy.limits.book import OTHERS, Book
from dbproxy.limits.subject import Subject

MINUTE = 60_000_000
NOTHING = MappingProxyType[str, str]({})
APP = Facts("app", "shop", "web", "10.1.2.3")


def make(**keys: Any) -> Book:
    return Book(LimitSettings(**{"tier": "free", **keys}))


def find(
    book: Book, facts: Facts = APP, settings: Any = NOTHING, now: int = 0, tags: Any = NOTHING
) -> list[Subject]:
    return book.find_all(facts, settings, tags, now)


def spend(subject: Subject, now: int = 0) -> int:
    number = 0
    while not subject.wait(now):
        subject.begin(now)
        subject.end()
        number += 1
    return number


def test_each_user_has_its_own_limit_where_no_rule_says_otherwise():
    book = make()
    (app,) = find(book)
    (other,) = find(book, Facts("other"))
    assert (app.rule, app.key, other.key) == ("user", "app", "other")
    assert find(book) == [app]
    assert (spend(app), spend(other)) == (12, 12)


def test_claims_are_believed_of_those_who_are_trusted():
    book = make(rules=[{"key": "{setting.app.tenant_id}"}], trust=["app"])
    values = {"app.tenant_id": "acme"}
    assert [subject.key for subject in find(book, settings=values)] == ["acme"]
    assert find(book, Facts("stranger"), values) == []
    assert find(book) == [], "it has not said who it is"


def test_tier_comes_from_the_console_the_source_the_key_the_rule_or_the_default_in_this_order():
    rule = {"key": "{user}", "name": "user", "tiers": {"app": "standard"}}
    book = make(rules=[rule])
    assert find(book)[0].tier == "standard"
    assert find(book, Facts("other"))[0].tier == "free"
    book.adopt_tiers(book.rules[0], {"app": "pro", "other": "unheard-of"})
    assert find(book)[0].tier == "pro"
    assert find(book, Facts("other"))[0].tier == "free"
    book.override(book.rules[0], "app", "500/min burst 50", MINUTE)
    assert spend(find(book)[0]) == 550
    book.sweep(MINUTE)
    assert find(book)[0].tier == "pro"


def test_limit_raised_on_the_console_lets_more_through_at_once():
    book = make()
    (app,) = find(book)
    assert spend(app) == 12
    book.override(book.rules[0], "app", "20/min burst 2", MINUTE)
    (again,) = find(book)
    assert again is app
    assert spend(again) == 10


def test_reload_keeps_what_was_used_and_what_was_said():
    book = make()
    (app,) = find(book)
    spend(app)
    book.override(book.rules[0], "other", "enterprise", MINUTE)
    book.apply(LimitSettings(tier="free"))
    assert find(book) == [app]
    assert spend(app) == 0
    assert spend(find(book, Facts("other"))[0]) == 11_000


def test_bad_limit_is_refused():
    book = make()
    with pytest.raises(ValueError, match="10/min"):
        book.override(book.rules[0], "app", "a lot", MINUTE)


def test_idle_keys_make_room_and_those_in_use_are_never_forgotten():
    book = make(max_keys=100)
    busy = [find(book, Facts(f"busy{number}"))[0] for number in range(50)]
    for subject in busy:
        spend(subject)
    for number in range(10_000):
        find(book, Facts(f"passer{number}"))
    assert len(book) <= 100
    assert [find(book, Facts(f"busy{number}"))[0] for number in range(50)] == busy


def test_keys_for_which_there_is_no_room_share_one_limit():
    book = make(max_keys=100)
    for number in range(100):
        spend(find(book, Facts(f"busy{number}"))[0])
    late = [find(book, Facts(f"late{number}"))[0] for number in range(3)]
    assert {subject.key for subject in late} == {OTHERS}
    assert sum(map(spend, late)) == 12
    assert len(book) == 100
    assert late[0] in list(book)
