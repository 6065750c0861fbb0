"""Numbers as operators write them: "30s", "64KiB", 50.

Durations are seconds (float) inside, sizes bytes (int). A plain number is seconds, or bytes. The sizes are
binary and say so (KiB, not kB, which is 1000 to some and 1024 to PostgreSQL). Each `parse_…` raises
ValueError with what would be right; the value itself is left to the caller, who knows if it may be shown.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
LARGEST = 1 << 60  # bytes; more would not fit where it is counted
LONGEST = 3650 * SECONDS["d"]  # timers overflow somewhere beyond; "for ever" is written 0

_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)
_DURATION_ADVICE = 'must be a duration: a number and one of ms, s, m, h, d, such as "30s" (at most 3650d)'
_SIZE_ADVICE = 'must be a size: a whole number and one of B, KiB, MiB, GiB, such as "64KiB"'


@dataclass(frozen=True)
class Unit:
    """What a setting is measured in: rides on its type, for messages and the documentation."""

    name: str
    show: Callable[[Any], str]


def parse_duration(value: object) -> float:
    """Seconds."""
    seconds = _scale(value, SECONDS, "s", _DURATION_ADVICE)
    if not seconds <= LONGEST:
        raise ValueError(_DURATION_ADVICE)
    return seconds


def parse_size(value: object) -> int:
    """Bytes."""
    size = _scale(value, BYTES, "B", _SIZE_ADVICE)
    if not size <= LARGEST or size != int(size):
        raise ValueError(_SIZE_ADVICE)
    return int(size)


def parse_count(value: object) -> int:
    """A whole number, zero or more."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("must be a whole number from 0 up, such as 50")
    return value


def parse_port(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 65535:
        raise ValueError("must be a port number from 0 to 65535, such as 6432")
    return value


def parse_file_mode(value: object) -> int:
    """Unix permission bits, written in octal."""
    if isinstance(value, str) and re.fullmatch(r"0o?[0-7]{3}", value):
        return int(value.replace("o", ""), 8)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0o777:
        return value
    raise ValueError('must be file permissions in octal, such as "0777" or "0770"')


def parse_names(value: object) -> tuple[str, ...]:
    """A list, or one text with commas."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise ValueError('must be a list of names, such as ["alice", "bob"] or "alice,bob"')
    return tuple(name.strip() for name in value if name.strip())


def show_duration(seconds: float) -> str:
    """In the largest unit that keeps it short and exact: 3600.0 is "1h", 0.1 is "100ms"."""
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % SECONDS[unit] == 0:
            return f"{seconds / SECONDS[unit]:.0f}{unit}"
    return f"{round(seconds * 1000, 6):.15g}ms" if 0 < seconds < 1 else f"{seconds:.15g}s"


def show_count(number: int, word: str) -> str:
    """Of a word whose plural ends in s."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def show_size(size: int) -> str:
    """In the largest unit that is exact: 65536 is "64KiB"."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % BYTES[unit] == 0:
            return f"{size // BYTES[unit]}{unit}"
    return f"{size}B"


def _scale(value: object, units: dict[str, Any], plain: str, advice: str) -> float:
    """The number in `value` times its unit; a bare number counts in `plain`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0 <= value <= LARGEST:  # and neither infinite nor none
            return value * float(units[plain])
    elif isinstance(value, str) and (match := _NUMBER.fullmatch(value.strip())):
        number, unit = match.groups()
        if (unit or plain) in units:
            return float(number) * float(units[unit or plain])
    raise ValueError(advice)


Duration = Annotated[float, BeforeValidator(parse_duration), Unit("duration", show_duration)]
Size = Annotated[int, BeforeValidator(parse_size), Unit("size", show_size)]
Count = Annotated[int, BeforeValidator(parse_count), Unit("number", str)]
Port = Annotated[int, BeforeValidator(parse_port), Unit("port", str)]
FileMode = Annotated[int, BeforeValidator(parse_file_mode), Unit("permissions", "{:04o}".format)]
Names = Annotated[tuple[str, ...], BeforeValidator(parse_names), Unit("list of names", ",".join)]
