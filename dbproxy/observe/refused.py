"""What our own log says of requests that rate limits have refused: how many in which hour, of which tier and key.

A line is one request; of a key that is refused again and again one line a second stands for itself, and another says
how many `more` there were. Where very many keys are refused at once, the rest is told without its key.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

EVENT, SQLSTATE = "request refused", "53400"
HOUR = len("2026-11-29T04")
UNKNOWN = "<other>"  # not told apart
Place = tuple[str, str, str, str]  # hour, tier, rule, key


@dataclass(slots=True)
class Refused:
    """`counts` by place; of so many `lines`, `foreign` ones are none of ours."""

    counts: Counter[Place] = field(default_factory=Counter)
    lines: int = 0
    foreign: int = 0

    def add(self, lines: Iterable[str]) -> None:
        for line in lines:
            if not line.strip():
                continue
            self.lines += 1
            event = read(line)
            if event is None:
                self.foreign += 1
            elif event.get("event") == EVENT and event.get("sqlstate") == SQLSTATE:
                self.counts[find_place(event)] += count(event)

    def list_rows(self) -> list[tuple[str, str, str, str, int]]:
        """By hour, those who were refused most first."""
        return [
            (*place, number)
            for place, number in sorted(self.counts.items(), key=lambda item: (item[0][0], -item[1], item[0]))
        ]


def read(line: str) -> dict[str, Any] | None:
    """None if it is no line of ours."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def find_place(event: dict[str, Any]) -> Place:
    hour = str(event.get("timestamp", ""))[:HOUR].replace("T", " ")
    tier, rule, key = (str(event.get(name, UNKNOWN)) for name in ("tier", "rule", "key"))
    return f"{hour}:00" if hour else "", tier, rule, key


def count(event: dict[str, Any]) -> int:
    more = event.get("more", 1)
    return more if isinstance(more, int) and more > 0 else 1
