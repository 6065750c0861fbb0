"""Rates: so many for a period, such as `10/min`, or so much of a server's time, such as `5s/min`."""

import re
from dataclasses import dataclass

from dbproxy.config.units import parse_duration, show_duration

PERIODS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_WORDS = {"sec": "s", "second": "s", "m": "min", "minute": "min", "hour": "h", "day": "d"}
_RATE = re.compile(r"(\S+?)\s*(?:/|\bper\b)\s*(\d+)?\s*([a-z]+)", re.ASCII | re.IGNORECASE)
ADVICE = 'must be a number for a period, such as "10/min" (s, min, h or d)'
_TIME_ADVICE = 'must be a duration for a period, such as "5s/min" (s, min, h or d)'
LARGEST = 10**9
LONGEST = 366 * 86400.0  # seconds of a period


@dataclass(frozen=True, slots=True)
class Rate:
    """So many (transactions, rows, microseconds of a server's time) in `period` seconds."""

    number: int
    period: float

    def __str__(self) -> str:
        return f"{self.number}/{show_period(self.period)}"


def show_period(seconds: float) -> str:
    name = next((name for name, unit in reversed(PERIODS.items()) if seconds % unit == 0), "s")
    times = seconds / PERIODS[name]
    return name if times == 1 else f"{times:.15g}{name}"


def parse_rate(value: object) -> Rate | None:
    """None for an empty text: no limit."""
    if isinstance(value, Rate):
        return value
    amount, period = _split(value, ADVICE)
    if amount is None:
        return None
    if not amount.isdigit() or not amount.isascii() or not 0 < int(amount) <= LARGEST:
        raise ValueError(ADVICE)
    return Rate(int(amount), period)


def parse_server_time(value: object) -> Rate | None:
    """In microseconds."""
    if isinstance(value, Rate):
        return value
    amount, period = _split(value, _TIME_ADVICE)
    if amount is None:
        return None
    try:
        microseconds = round(parse_duration(amount) * 1e6)
    except ValueError:
        raise ValueError(_TIME_ADVICE) from None
    if not microseconds:
        raise ValueError(_TIME_ADVICE)
    return Rate(microseconds, period)


def _split(value: object, advice: str) -> tuple[str | None, float]:
    if value is None or value == "":
        return None, 0.0
    found = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    word = _WORDS.get(found[3].lower(), found[3].lower()) if found is not None else ""
    if found is None or word not in PERIODS:
        raise ValueError(advice)
    period = int(found[2] or 1) * PERIODS[word]
    if not 0 < period <= LONGEST:
        raise ValueError(advice)
    return found[1], period


def show_rate(rate: Rate | None) -> str:
    return str(rate) if rate is not None else ""


def show_server_time(rate: Rate | None) -> str:
    return f"{show_duration(rate.number / 1e6)}/{show_period(rate.period)}" if rate is not None else ""
