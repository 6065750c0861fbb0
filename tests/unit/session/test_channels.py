"""Who listens to what, without a connection."""

import pytest

from dbproxy.errors import ProxyError
from dbproxy.session.channels import ASKED, HEARD, WANTED, Subscriptions, check_name, quote
from tests.support.listening import Ear

PATIENCE = 10


@pytest.fixture
def subscriptions() -> Subscriptions:
    return Subscriptions()


@pytest.mark.parametrize("name", ["a", "A b", 'say "no"', "ü" * 31, "x" * 63, "select", ";", "\\"])
def test_any_name_up_to_63_bytes_is_allowed(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "x" * 64, "ü" * 32, "a\0b"])
def test_others_are_refused(name: str) -> None:
    with pytest.raises(ProxyError) as caught:
        check_name(name)
    assert caught.value.sqlstate == "22023"


def test_quotes_are_doubled() -> None:
    assert quote('a"; DROP TABLE t; --') == '"a""; DROP TABLE t; --"'


def test_leaving_takes_only_the_own_subscriptions(subscriptions: Subscriptions) -> None:
    one, other = Ear(), Ear()
    for ear in (one, other):
        subscriptions.add(ear, "a")
    subscriptions.add(one, "b")
    subscriptions.remove(one, ["a", "b", "never heard of"])
    assert list(subscriptions.channels["a"].listeners) == [other]
    assert not subscriptions.channels["b"].listeners
    assert subscriptions.names == {other: {"a"}}


def test_a_channel_in_use_is_never_given_up(subscriptions: Subscriptions) -> None:
    channel = subscriptions.add(Ear(), "a")
    channel.heard()
    assert subscriptions.take_unused(1, PATIENCE) == subscriptions.take_unused(1000, PATIENCE) == []
    assert channel.state == HEARD


def test_an_unused_one_is_given_up_after_a_while_and_is_then_unknown(subscriptions: Subscriptions) -> None:
    channel = subscriptions.find("a")
    channel.heard()
    assert subscriptions.take_unused(1, PATIENCE) == subscriptions.take_unused(10.9, PATIENCE) == []
    assert subscriptions.take_unused(11, PATIENCE) == [channel]
    assert not subscriptions.channels


def test_use_in_between_starts_the_time_anew(subscriptions: Subscriptions) -> None:
    ear = Ear()
    channel = subscriptions.find("a")
    channel.heard()
    subscriptions.take_unused(1, PATIENCE)
    subscriptions.add(ear, "a")
    subscriptions.take_unused(10, PATIENCE)
    subscriptions.remove(ear, ["a"])
    assert subscriptions.take_unused(12, PATIENCE) == []
    assert subscriptions.take_unused(22, PATIENCE) == [channel]


def test_one_that_was_asked_for_is_given_up_only_when_answered(subscriptions: Subscriptions) -> None:
    channel = subscriptions.find("a")
    channel.ask()
    assert subscriptions.take_unused(1, PATIENCE) == subscriptions.take_unused(100, PATIENCE) == []
    assert channel.state == ASKED


def test_only_who_subscribed_is_misled_by_an_interruption_until_all_of_its_channels_are_heard(
    subscriptions: Subscriptions,
) -> None:
    one, two = Ear(), Ear()
    subscriptions.find("unused").heard()
    for ear, name in ((one, "a"), (two, "a"), (two, "b")):
        subscriptions.add(ear, name).heard()
    subscriptions.misled.clear()
    subscriptions.interrupt()
    assert {channel.state for channel in subscriptions.channels.values()} == {WANTED}
    assert subscriptions.take_informed() == []
    subscriptions.channels["a"].heard()
    assert subscriptions.take_informed() == [one]
    subscriptions.channels["b"].heard()
    assert subscriptions.take_informed() == [two]
    assert subscriptions.take_informed() == []


def test_a_refused_channel_is_kept_for_its_subscribers(subscriptions: Subscriptions) -> None:
    kept, gone = subscriptions.add(Ear(), "kept"), subscriptions.find("gone")
    for channel in (kept, gone):
        subscriptions.refuse(channel, ProxyError("no"))
    assert list(subscriptions.channels.values()) == [kept]
