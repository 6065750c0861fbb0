"""What a rule's `source` has said: a query whose rows are keys, and the tier or the limit of each.

A row is `('acme', 'pro')`, or `('acme', '500/min burst 50')`. One that is neither, has no key or no tier, counts for
nothing, and is counted.
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from sys import intern

from dbproxy.config.limits import TierSettings, parse_tier

COLUMNS = 2


@dataclass(slots=True)
class Reading:
    """How reading went. `at`: when it last worked, in monotonic seconds; `error`: why it does not work now."""

    at: float | None = None
    keys: int = 0
    unreadable: int = 0  # rows
    error: str = ""


class Rows:
    """All rows of one reading, as they come."""

    def __init__(self, tiers: Set[str]) -> None:
        self.tiers = tiers
        self.listed: dict[str, str] = {}
        self.unreadable = 0

    def add(self, rows: Iterable[Sequence[object]]) -> None:
        """ValueError if they are no pairs."""
        for row in rows:
            if len(row) != COLUMNS:
                raise ValueError(f"its rows have {len(row)} columns; they are a key and its tier")
            key, text = row
            self.put(key, text)

    def put(self, key: object, text: object) -> None:
        word = intern(str(text).strip())
        if key is None or text is None or not (word in self.tiers or read_limit(word) is not None):
            self.unreadable += 1
        else:
            self.listed[str(key)] = word


@lru_cache(maxsize=1024)
def read_limit(text: str) -> TierSettings | None:
    """None if it is no limit, such as `500/min burst 50`."""
    try:
        return parse_tier(text)
    except ValueError:
        return None
