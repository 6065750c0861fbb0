"""Limits on the console: what is shown of them, and what may be ordered."""

from typing import Any

import pytest

from dbproxy.admin.command import LimitOrder, Limits, parse
from dbproxy.admin.limits import (
    TURN,
    explain_limit,
    list_standings,
    reset_limit,
    set_limit,
    show_limits,
)
from dbproxy.admin.show import SHOWS
from dbproxy.config.limits import LimitSettings
from dbproxy.errors import CommandFailed
from dbproxy.limits.book import Book
from dbproxy.limits.courier import read_clock
from dbproxy.limits.source import Reading
from tests.unit.admin.house import FakeHouse, records
from tests.unit.admin.test_console import Session, house, session, tags

__all__ = ["house", "session"]


def limit(house: FakeHouse, **keys: Any) -> Book:
    settings = LimitSettings(**{"mode": "on", "tier": "free", **keys})
    house.apply(house.settings.model_copy(update={"limits": settings}))
    return house.limiter.book


def use(book: Book, key: str, number: int = 1) -> None:
    subject = book.find(book.rules[0], key, 0)
    for _ in range(number):
        subject.begin(read_clock())
        subject.end()


def order(text: str) -> LimitOrder:
    found = parse(text)
    assert isinstance(found, LimitOrder)
    return found


# --- the language ---


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("SHOW LIMITS", Limits()),
        ("show limits limit 5 ", Limits(5)),
        ("EXPLAIN LIMIT tenant 'acme'", LimitOrder("explain", "tenant", "acme")),
        ("reset limit app.tenant_id 'it''s'", LimitOrder("reset", "app.tenant_id", "it's")),
        ("RESET LIMIT database+user app:web", LimitOrder("reset", "database+user", "app:web")),
        (
            "SET LIMIT tenant 'acme' = '500/min burst 50' FOR '1h'",
            LimitOrder("set", "tenant", "acme", "500/min burst 50", "1h"),
        ),
        ('set limit "My Rule" acme to pro', LimitOrder("set", "My Rule", "acme", "pro")),
        ("SET LIMIT tenant acme='10/s'", LimitOrder("set", "tenant", "acme", "10/s")),
        ("SET LIMIT user app = 10/s for 30min", LimitOrder("set", "user", "app", "10/s", "30min")),
    ],
)
def test_command_is_understood(text: str, meant: object) -> None:
    assert parse(text) == meant


@pytest.mark.parametrize(
    "text", ["SET LIMIT tenant = '5/s'", "SET LIMIT tenant 'a' '5/s'", "RESET LIMIT", "EXPLAIN LIMIT tenant"]
)
def test_half_a_command_is_told_how_it_is_written(text: str) -> None:
    with pytest.raises(CommandFailed, match="bad arguments") as raised:
        parse(text)
    assert "SET LIMIT rule 'key' = '500/min burst 50' [FOR '1h']" in raised.value.hint


# --- what is shown ---


async def test_keys_that_use_most_come_first_and_no_more_than_asked_for(house: FakeHouse) -> None:
    book = limit(house)
    for number in range(TURN + 3):
        use(book, f"idle{number}", 0)
    use(book, "busy", 12)
    use(book, "half", 6)
    rows = records(await show_limits(house, 2))
    assert [(row["key"], row["used"], row["left"]) for row in rows] == [("busy", 12, 0), ("half", 6, 6)]
    assert (rows[0]["rule"], rows[0]["tier"], rows[0]["origin"]) == ("user", "free", "default")
    assert (rows[0]["limit"], rows[0]["transactions"]) == ("10/min burst 2", 12)
    assert float(rows[0]["next_free"]) > 0
    assert len(await list_standings(house, 10_000)) == TURN + 5


def test_decisions_are_told_by_tier(house: FakeHouse) -> None:
    book = limit(house)
    use(book, "app", 12)
    book.find_tally("free").rejected = 4
    (row,) = records(SHOWS["limit_tiers"](house))
    assert (row["tier"], row["limit"], row["allowed"], row["burst"]) == ("free", "10/min burst 2", 10, 2)
    assert (row["rejected"], row["refused_percent"]) == (4, "25.00")


def test_sources_are_told_with_what_is_wrong(house: FakeHouse) -> None:
    book = limit(house, rules=[{"name": "tenant", "key": "{database}", "source": "TABLE tiers"}, {}])
    (row,) = records(SHOWS["limit_sources"](house))
    assert (row["rule"], row["keys"], row["read_at"], row["seconds"]) == ("tenant", 0, None, None)
    book.rules[0].reading = Reading(1.0, 7, 2, "no such table")
    (row,) = records(SHOWS["limit_sources"](house))
    assert (row["keys"], row["unreadable"], row["error"]) == (7, 2, "no such table")


# --- orders ---


def test_limit_is_set_for_a_while_or_until_it_is_reset(house: FakeHouse) -> None:
    book = limit(house)
    done = set_limit(house, order("SET LIMIT user 'app' = '500/min burst 50' FOR '1h'"))
    assert done == ('user "app" is held to 500/min burst 50 for 1h; it was free (10/min burst 2, by default)')
    use(book, "app", 550)
    assert book.find(book.rules[0], "app", 0).tally.delayed == 0
    assert reset_limit(house, order("RESET LIMIT user 'app'")) == (
        'user "app" is held to 10/min burst 2 again (tier free, by default)'
    )
    assert reset_limit(house, order("RESET LIMIT user 'app'")) == (
        'user "app" has no limit that was set on the console'
    )
    assert "until RESET LIMIT or a restart" in set_limit(house, order("SET LIMIT user 'app' = pro"))
    assert book.find(book.rules[0], "app", 0).tier == "pro"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("SET LIMIT tenant 'a' = '5/s'", "there is no rule 'tenant'", "There are: user."),
        ("RESET LIMIT tenant 'a'", "there is no rule 'tenant'", "There are: user."),
        ("SET LIMIT user 'a' = 'a lot'", "'a lot' is no limit and no tier", "tiers: free, standard, pro"),
        ("SET LIMIT user 'a' = '5/s burst 9999999999'", "is no limit and no tier", "burst 50"),
        ("SET LIMIT user 'a' = '5/s' FOR 'ever'", "'ever' is no duration", "1h"),
        ("SET LIMIT user 'a' = '5/s' FOR '0s'", "'0s' is no duration", "1h"),
    ],
)
def test_what_is_wrong_with_an_order_is_said(house: FakeHouse, text: str, message: str, hint: str) -> None:
    limit(house)
    told = set_limit if text.startswith("SET") else reset_limit
    with pytest.raises(CommandFailed) as raised:
        told(house, order(text))
    assert message in raised.value.message
    assert hint in raised.value.hint
    assert house.limiter.book.rules[0].overrides == {}


def explain(house: FakeHouse, text: str) -> dict[str, Any]:
    return {
        row["item"]: row["value"] for row in records(explain_limit(house, order(f"EXPLAIN LIMIT {text}")))
    }


def test_explanation_says_which_tier_and_why(house: FakeHouse) -> None:
    rule = {"name": "tenant", "key": "{database}", "tiers": {"listed": "pro"}, "source": "TABLE tiers"}
    book = limit(house, rules=[rule])
    assert explain(house, "tenant 'x'")["why"] == "it is limits.tier, as nothing says otherwise"
    assert explain(house, "tenant 'x'")["in use"].startswith("no")
    assert explain(house, "tenant 'listed'")["why"] == "the key is listed in limits.rules, tenant, tiers"
    book.adopt_tiers(book.rules[0], {"x": "standard"})
    book.rules[0].reading.error = "no such table"
    assert explain(house, "tenant 'x'")["why"].endswith("read never; now: no such table")
    set_limit(house, order("SET LIMIT tenant 'x' = '5/s' FOR 1h"))
    found = explain(house, "tenant 'x'")
    assert (found["why"], found["limit"]) == ("SET LIMIT on the console said so", "5/s")
    assert found["override_until"].endswith("UTC")
    assert found["mode"].startswith("on, for 100 %")


def test_secret_key_is_known_by_what_is_shown_of_it(house: FakeHouse) -> None:
    book = limit(house, rules=[{"name": "api", "key": "{setting.app.api_key}"}], trust=["*"])
    secret = "sk-0123456789abcdef"
    use(book, secret)
    shown = book.rules[0].show(secret)
    done = set_limit(house, LimitOrder("set", "api", shown, "5/s"))
    assert secret not in done
    assert list(book.rules[0].overrides) == [secret]


# --- on the console ---


async def test_console_shows_sets_and_explains(session: Session) -> None:
    limit(session.house)
    notice, complete = await session.ask("SET LIMIT user 'app' = '5/s' FOR '1h'")
    assert "is held to 5/s for 1h" in str(notice.body)
    assert tags([complete]) == ["SET LIMIT"]
    assert tags(await session.ask("SHOW LIMITS")) == ["SHOW"]
    assert tags(await session.ask("EXPLAIN LIMIT user 'app'")) == ["EXPLAIN"]
    assert tags(await session.ask("RESET LIMIT user app")) == ["RESET LIMIT"]
    assert tags(await session.ask("SHOW LIMIT_TIERS; SHOW LIMIT_SOURCES")) == ["SHOW", "SHOW"]


async def test_only_administrators_set_limits(house: FakeHouse) -> None:
    limit(house)
    guest = Session(house, "stats")
    assert (await guest.error("SET LIMIT user 'app' = '5/s'"))["M"] == "admin access needed"
    assert (await guest.error("RESET LIMIT user 'app'"))["M"] == "admin access needed"
    assert tags(await guest.ask("SHOW LIMITS")) == ["SHOW"]
    guest.console.disconnect("the test is over")


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("SET limits = 'observe'", "mode", "observe"),
        ("SET limits.percent = 25", "percent", 25),
        ("SET limits.notice_at = 0.8", "notice_at", 0.8),
        ("SET limits.action = delay", "action", "delay"),
        ("SET limits.max_delay = '2s'", "max_delay", 2.0),
    ],
)
async def test_settings_are_changed_at_run_time(session: Session, text: str, key: str, value: object) -> None:
    await session.ask(text)
    assert getattr(session.house.settings.limits, key) == value
