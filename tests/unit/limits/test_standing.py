"""How a key stands, as operators are shown it."""

from typing import Any

from dbproxy.config.limits import LimitSettings
from dbproxy.limits.book import Book
from dbproxy.limits.standing import Standing, describe, measure

SECOND = 1_000_000


def make(**keys: Any) -> Book:
    return Book(LimitSettings(**{"tier": "free", **keys}))


def look(book: Book, key: str = "app", now: int = 0) -> Standing:
    (rule, *_) = book.rules
    return describe(book, rule, book.find(rule, key, now), now)


def use(book: Book, number: int, key: str = "app", now: int = 0) -> None:
    subject = book.find(book.rules[0], key, now)
    for _ in range(number):
        subject.begin(now)
        subject.end()


def test_what_is_used_what_is_left_and_when_the_next_is_free():
    book = make()
    use(book, 12)
    standing = look(book)
    assert (standing.limit, standing.used, standing.left) == ("10/min burst 2", 12, 0)
    assert (standing.next_free_s, standing.transactions) == (6.0, 12)
    later = look(book, now=12 * SECOND)
    assert (later.used, later.left, later.next_free_s) == (10, 2, 0.0)


def test_each_origin_of_a_tier_is_told():
    book = make(rules=[{"name": "user", "tiers": {"listed": "pro"}, "tier": "standard"}])
    rule = book.rules[0]
    assert (look(book, "listed").tier, look(book, "listed").origin) == ("pro", "configuration")
    assert (look(book).tier, look(book).origin) == ("standard", "rule")
    book.adopt_tiers(rule, {"app": "enterprise", "own": "7/s"})
    assert (look(book).tier, look(book).origin) == ("enterprise", "source")
    assert (look(book, "own").tier, look(book, "own").limit) == ("standard", "7/s"), "counted with its tier"
    book.override(rule, "app", "500/min burst 50", 90 * SECOND)
    found = look(book)
    assert (found.tier, found.origin, found.limit) == ("enterprise", "console", "500/min burst 50")
    assert (found.override, found.override_s) == ("500/min burst 50", 90.0)
    book.override(rule, "app", "free")
    assert (look(book).tier, look(book).override_s) == ("free", None)
    assert look(make()).origin == "default"


def test_nobody_can_say_when_one_of_those_that_run_ends():
    book = make(tiers={"free": {"max_concurrent": 1}})
    book.find(book.rules[0], "app", 0).begin(0)
    standing = look(book)
    assert (standing.running, standing.next_free_s, standing.used) == (1, None, None)


def test_logins_are_told_where_they_are_what_counts():
    book = make(count="logins")
    logins = book.find(book.rules[0], "app", 0).logins
    for _ in range(12):
        logins.take(0, logins.interval)
    standing = look(book)
    assert (standing.used, standing.left, standing.next_free_s) == (12, 0, 6.0)


def test_who_uses_the_largest_share_comes_first():
    book = make(rules=[{"name": "user", "tiers": {"big": "pro"}}])
    use(book, 6, "small")
    use(book, 100, "big")
    small, big = (book.find(book.rules[0], key, 0) for key in ("small", "big"))
    assert measure(small, 0) > measure(big, 0)
    crowd = make(tiers={"free": {"max_concurrent": 2}})
    subject = crowd.find(crowd.rules[0], "app", 0)
    subject.begin(0)
    assert measure(subject, 0)[0] == 0.5


def test_key_that_is_a_secret_is_not_shown():
    book = make(rules=[{"key": "{setting.app.api_key}"}], trust=["*"])
    long, short = "sk-0123456789abcdef", "0123"
    assert look(book, long).key.startswith("sk-0…")
    assert long not in look(book, long).key
    assert look(book, short).key[0] == "…"
    assert book.name(book.find(book.rules[0], long, 0)) == f'app.api_key "{look(book, long).key}"'
    assert look(make(rules=[{"key": "{setting.app.tenant_id}"}]), "acme").key == "acme"
