"""Rates as they are written and shown."""

import pytest

from dbproxy.config.rate import Rate, parse_rate, parse_server_time


@pytest.mark.parametrize(
    ("text", "rate", "shown"),
    [
        ("10/min", Rate(10, 60), "10/min"),
        ("10 / minute", Rate(10, 60), "10/min"),
        ("100/s", Rate(100, 1), "100/s"),
        ("5 per hour", Rate(5, 3600), "5/h"),
        ("7/10s", Rate(7, 10), "7/10s"),
        ("1000/d", Rate(1000, 86400), "1000/d"),
    ],
)
def test_rate_is_so_much_for_a_period(text: str, rate: Rate, shown: str):
    assert parse_rate(text) == rate
    assert str(rate) == shown
    assert parse_rate(shown) == rate


@pytest.mark.parametrize(
    "text", ["10", "ten/min", "0/min", "-1/min", "10/fortnight", "10/0s", "1.5/s", "10/min burst 2", 10]
)
def test_what_is_no_rate_is_refused_with_what_would_be_one(text: object):
    with pytest.raises(ValueError, match="10/min"):
        parse_rate(text)


def test_time_on_servers_is_a_duration_for_a_period():
    assert parse_server_time("5s/min") == Rate(5_000_000, 60)
    assert parse_server_time("100ms/s") == Rate(100_000, 1)
    with pytest.raises(ValueError, match="5s/min"):
        parse_server_time("5/0s")
