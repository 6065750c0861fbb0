import pytest

from dbproxy.terminal.quantity import draw, show_bytes, show_duration, show_rate


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0"),
        (0.0000123, "12.3 µs"),
        (0.000850, "850 µs"),
        (0.0123, "12.3 ms"),
        (4.5, "4.5 s"),
        (119, "119 s"),
        (600, "10 min"),
        (7300, "2 h"),
        (400_000, "5 d"),
    ],
)
def test_durations(seconds: float, shown: str):
    assert show_duration(seconds) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (2048, "2.0 KiB"), (5 * 1024**3, "5.0 GiB"), (2**44, "16.0 TiB")],
)
def test_bytes(size: float, shown: str):
    assert show_bytes(size) == shown


def test_rates():
    assert [show_rate(number) for number in (0, 0.42, 12.6, 45678)] == ["0", "0.4", "13", "45,678"]


def test_bars_are_as_high_as_the_highest():
    assert draw([0, 5, 10]) == "▁▅█"
    assert draw([0, 0]) == "▁▁"
    assert draw([]) == ""
