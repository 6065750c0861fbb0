"""What docs/limits.md says is what the code does."""

import re
import tomllib
from pathlib import Path

import pytest

from dbproxy.config.limits import LimitSettings
from dbproxy.limits.book import Book

PAGE = (Path(__file__).parents[3] / "docs" / "limits.md").read_text()
MINUTE = 60_000_000
BLOCKS = [
    re.sub(r"^ {4}", "", block, flags=re.MULTILINE)
    for block in re.findall(r"(?:^ {4}.*\n|(?<=\n)\n(?= {4}\S))+", PAGE, re.MULTILINE)
]
TOML = [block for block in BLOCKS if block.lstrip().startswith("[limits")]


def admit(tier: str, pace: str, until: int) -> int:
    """So many that ask without a pause are let through, from a bucket that is full."""
    book = Book(LimitSettings(tier=tier, pace=pace))  # type: ignore[arg-type]
    subject = book.find(book.rules[0], "app", 0)
    number = now = 0
    while (wait := subject.wait(now)) == 0 or now + wait <= until:
        now += wait
        subject.begin(now)
        subject.end()
        number += 1
    return number


@pytest.mark.parametrize("tier", ["free", "standard", "pro", "enterprise"])
def test_table_of_both_meanings_of_burst_is_what_is_admitted(tier: str):
    quota, even = (
        (admit(tier, pace, 0), admit(tier, pace, MINUTE), admit(tier, pace, 2 * MINUTE))
        for pace in ("quota", "even")
    )
    each = quota[2] - quota[1]
    assert each == even[2] - even[1]
    row = " | ".join(map(str, (f"`{tier}`", quota[0], quota[1], even[0], even[1], each)))
    assert f"\n| {row} |\n" in PAGE


def test_tiers_are_those_that_are_there():
    settings = LimitSettings()
    for name in ("free", "standard", "pro", "enterprise"):
        tier = settings.tiers[name]
        assert f"| `{name}` | {tier.rate} | {tier.burst} |" in PAGE
    assert settings.tier == "none"


@pytest.mark.parametrize("text", TOML)
def test_configuration_that_it_shows_is_valid(text: str):
    LimitSettings(**tomllib.loads(text)["limits"])


def test_configurations_are_found():
    assert len(TOML) == 3
