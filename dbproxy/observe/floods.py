"""Floods of equal events: so many lines a second are written of each kind, then how many more there were.

A kind is what `kind_of` says, not the whole line: that a thousand clients were refused for one reason is one flood,
whoever they are. Pure: `now` is monotonic seconds.
"""

from collections.abc import Mapping
from typing import Any

Kind = tuple[str, ...]  # area, level, event, and the values of TELLING

TELLING = ("sqlstate", "host")  # keys by whose values equal events are told apart; there are few of each
MOST = 1000  # kinds that are counted at once
OTHERS = "other events"


class Flood:
    """Of one kind, in one second."""

    __slots__ = ("begun", "lines", "more")

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.lines = 0
        self.more = 0


class Floods:
    """`limit`: lines a second of one kind; 0: all are written."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.summed = 0  # lines not written, since start
        self.floods: dict[Kind, Flood] = {}
        self.over: list[tuple[Kind, int]] = []  # and how many more there were

    def admit(self, kind: Kind, now: float) -> bool:
        """Whether a line of this kind is written now."""
        if not self.limit:
            return True
        if kind not in self.floods and len(self.floods) >= MOST:
            kind = (kind[0], kind[1], OTHERS)
        flood = self.floods.setdefault(kind, Flood(now))
        if now - flood.begun >= 1.0:
            self._end(kind, flood)
            flood.begun, flood.lines, flood.more = now, 0, 0
        flood.lines += 1
        if flood.lines <= self.limit:
            return True
        flood.more += 1
        self.summed += 1
        return False

    def overflows(self, kind: Kind, now: float) -> bool:
        """Whether a line of this kind would not be written now: then it is counted, and need not be made."""
        flood = self.floods.get(kind)
        if flood is None or not 0 < self.limit <= flood.lines or now - flood.begun >= 1.0:
            return False
        flood.more += 1
        self.summed += 1
        return True

    def take(self, now: float) -> list[tuple[Kind, int]]:
        """The kinds whose second is over, and how many lines were not written; each is told once."""
        for kind, flood in list(self.floods.items()):
            if now - flood.begun >= 1.0:
                self._end(kind, flood)
                del self.floods[kind]
        over, self.over = self.over, []
        return over

    def _end(self, kind: Kind, flood: Flood) -> None:
        if flood.more:
            self.over.append((kind, flood.more))


def kind_of(area: str, level: str, event: Mapping[str, Any]) -> Kind:
    return area, level, str(event.get("event")), *(str(event.get(key, "")) for key in TELLING)


def describe(kind: Kind, more: int) -> dict[str, Any]:
    """The line that tells of those that were not written."""
    told = {key: value for key, value in zip(TELLING, kind[3:], strict=False) if value}
    return {"event": kind[2], "more": more, **told}
