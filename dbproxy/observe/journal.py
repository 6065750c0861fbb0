"""What has happened lately, for people who look now; taken from the log lines that tell it, so that both say the same.

Of each kind so many events are kept: a flood of pins leaves failovers where they are. A line that the log's level keeps
from being written is no event either.
"""

from collections import deque
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from itertools import count
from time import time
from typing import Any

KEPT = 40  # events of each kind
PLANS_KEPT = 100  # statements
LONGEST = 300  # characters of a detail
DETAILS = 12  # of one event
KINDS = {
    "primary lost": "failover",
    "primary found": "failover",
    "host is another server": "failover",
    "replica lags": "host",
    "replica does not answer": "host",
    "replica has other settings": "host",
    "probe refused": "host",
    "statement goes to the primary from now on: replicas failed to answer it": "rescue",
    "client pinned": "pin",
    "client unpinned": "pin",
    "setting changed": "setting",
    "settings were altered": "setting",
    "reloaded": "reload",
    "reload failed": "reload",
    "console command": "console",
    "proxy started": "proxy",
    "proxy stopping": "proxy",
    "slow query": "",  # the statements tell
    "slow queries not logged": "",
    "client refused": "client",
    "server error": "server",
    "server login failed": "server",
}
BEGINNINGS = (("host fenced", "failover"), ("host ", "host"), ("plugin ", "plugin"))
OTHER = "other"  # of lines that warn and are none of these
PLAN = "slow query plan"
_SERIOUS = frozenset({"warning", "error", "critical", "exception"})
_NO_DETAIL = frozenset(
    {"event", "level", "timestamp", "area", "exc_info", "exception", "stack_info", "logger"}
)


@dataclass(frozen=True, slots=True)
class Event:
    """`at`: seconds since 1970; numbers grow by one from event to event, of whatever kind."""

    number: int
    at: float
    kind: str
    level: str
    text: str
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the log has told of a statement's plan; `at`: seconds since 1970."""

    at: float
    database: str
    user: str
    text: str


class Journal:
    """The latest events of each kind, and the latest plan of each statement."""

    def __init__(self) -> None:
        self.numbers = count(1)
        self.kinds: dict[str, deque[Event]] = {}
        self.plans: dict[str, Plan] = {}  # by the shape's name, the oldest first

    def add(self, kind: str, level: str, text: str, details: dict[str, Any]) -> None:
        shown = {
            name: show(value) for name, value in list(details.items())[:DETAILS] if value not in (None, "")
        }
        event = Event(next(self.numbers), time(), kind, level, text, shown)
        self.kinds.setdefault(kind, deque(maxlen=KEPT)).append(event)

    def add_plan(self, statement: str, plan: Plan) -> None:
        self.plans.pop(statement, None)
        self.plans[statement] = plan
        if len(self.plans) > PLANS_KEPT:
            del self.plans[next(iter(self.plans))]

    def since(self, number: int) -> list[Event]:
        """Those that came behind this one, the first first."""
        events = [
            event for kept in list(self.kinds.values()) for event in list(kept) if event.number > number
        ]
        return sorted(events, key=lambda event: event.number)

    def note(self, _logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """The structlog processor, behind the one that masks: the line goes on as it is."""
        text, level = str(line.get("event")), str(line.get("level", method))
        if text == PLAN:
            whose = (str(line.get("database", "")), str(line.get("user", "")))
            self.add_plan(str(line.get("query", "")), Plan(time(), *whose, str(line.get("plan", ""))))
        elif kind := judge(text, level):
            self.add(kind, level, text, {key: line[key] for key in line if key not in _NO_DETAIL})
        return line


def judge(text: str, level: str) -> str:
    """The kind of event that a log line tells of; "" if of none."""
    if text in KINDS:
        return KINDS[text]
    for beginning, kind in BEGINNINGS:
        if text.startswith(beginning):
            return kind
    return OTHER if level in _SERIOUS else ""


def show(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


journal = Journal()  # the process's, as its log is
