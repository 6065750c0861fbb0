"""What a login is told, spelled once for all who are told the same."""

from dbproxy.pool.greeting import MOST, Greeting
from dbproxy.wire import build

WELCOME = {"server_version": "18.1", "TimeZone": "UTC"}


def test_what_a_client_asked_for_stands_where_the_servers_word_does() -> None:
    told = Greeting().spell(WELCOME, {"TimeZone": "Asia/Tokyo", "application_name": "a"})
    assert told == build.parameter_statuses(
        {"server_version": "18.1", "TimeZone": "Asia/Tokyo", "application_name": "a"}
    )


def test_equal_logins_are_told_the_same_bytes() -> None:
    greeting = Greeting()
    assert greeting.spell(WELCOME, {"a": "1"}) is greeting.spell(WELCOME, {"a": "1"})
    assert greeting.spell(WELCOME, {"a": "2"}) != greeting.spell(WELCOME, {"a": "1"})


def test_what_servers_tell_now_is_told_from_now_on() -> None:
    greeting = Greeting()
    greeting.spell(WELCOME, {})
    assert greeting.spell({**WELCOME, "TimeZone": "CET"}, {}) == build.parameter_statuses(
        {"server_version": "18.1", "TimeZone": "CET"}
    )


def test_clients_that_all_ask_for_something_else_do_not_fill_the_memory() -> None:
    greeting = Greeting()
    first = greeting.spell(WELCOME, {"a": "first"})
    for number in range(MOST + 1):
        greeting.spell(WELCOME, {"a": str(number)})
    again = greeting.spell(WELCOME, {"a": "first"})
    assert again == first
    assert again is not first
