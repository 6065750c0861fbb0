"""Log lines of slow queries, their statements without literals.

The data path compares its time with a threshold, and has a query noted only above it. A storm of slow queries costs at
most `limit` lines a second for each database and user: a sample, spread over the second by how many there were in the
last one. How many were left out, and the longest of them, is told in one line afterwards.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dbproxy.observe.masking import mask
from dbproxy.sql.shape import redact

_TEXT_READ = 16_384  # bytes of a statement that are looked at: one of megabytes must not hold up the others
_TEXT_SHOWN = 2_000
_VALUE_SHOWN = 200
_VALUES_SHOWN = 50


class Sample:
    """Of one database's and user's slow queries: which are logged."""

    def __init__(self, begun: float) -> None:
        self.begun = begun  # the second at hand
        self.seen = 0
        self.lines = 0
        self.stride = 1  # one of so many is logged
        self.left_out = 0
        self.longest = 0  # of those, in microseconds

    def admit(self, now: float, limit: int, microseconds: int) -> bool:
        """Whether this one is logged; `limit` 0: all are."""
        self.seen += 1
        if not limit or (self.lines < limit and (self.seen - 1) % self.stride == 0):
            self.lines += 1
            return True
        self.left_out += 1
        self.longest = max(self.longest, microseconds)
        return False

    def turn(self, now: float, limit: int) -> tuple[int, int]:
        """The second is over: how many were left out in it, and the longest of them."""
        told = self.left_out, self.longest
        recent = limit > 0 and now - self.begun < 2.0
        self.stride = max(1, -(-self.seen // limit)) if recent else 1
        self.begun = now
        self.seen = self.lines = self.left_out = self.longest = 0
        return told


class SlowLog:
    """`logger` is structlog's."""

    def __init__(self, logger: Any) -> None:
        self.logger = logger
        self.samples: dict[tuple[str, str], tuple[Sample, int]] = {}  # with the limit that is in force

    def admit(self, now: float, database: str, user: str, limit: int, microseconds: int) -> int:
        """One of how many the query stands for, if it is logged; 0 if not."""
        sample, _ = self.samples.get((database, user)) or (Sample(now), limit)
        self.samples[database, user] = sample, limit
        if now - sample.begun >= 1.0:
            self._turn(now, database, user)
        return sample.stride if sample.admit(now, limit, microseconds) else 0

    def record(
        self, statement: str, *, wait_us: int, run_us: int, stands_for: int, more: Mapping[str, Any]
    ) -> None:
        """Log one query that was admitted; `more`: who, and the ids of the request."""
        sampled = {"sampled": stands_for} if stands_for > 1 else {}
        self.logger.info(
            "slow query",
            duration_ms=(wait_us + run_us) / 1000,
            wait_ms=wait_us / 1000,
            run_ms=run_us / 1000,
            statement=statement,
            **sampled,
            **more,
        )

    def sweep(self, now: float) -> None:
        """Tell what was left out; the janitor calls it once a second."""
        for database, user in list(self.samples):
            sample, _ = self.samples[database, user]
            if now - sample.begun < 1.0:
                continue
            if not sample.seen:
                del self.samples[database, user]
            self._turn(now, database, user)

    def _turn(self, now: float, database: str, user: str) -> None:
        if (database, user) not in self.samples:
            return
        sample, limit = self.samples[database, user]
        count, longest = sample.turn(now, limit)
        if count:
            self.logger.info(
                "slow queries not logged",
                count=count,
                limit_per_second=limit,
                longest_ms=longest / 1000,
                database=database,
                user=user,
            )


def show_statement(statement: bytes, *, literals: bool = False) -> str:
    """`statement` cut to what a log line can bear, without its literals; with them, masked by their form."""
    head = statement[:_TEXT_READ]
    shown = mask(head.decode("utf-8", "replace")) if literals else redact(head).decode("utf-8", "replace")
    cut = len(shown) > _TEXT_SHOWN or len(statement) > _TEXT_READ
    return shown[:_TEXT_SHOWN].removesuffix("…") + "…" if cut else shown


def show_values(values: Sequence[tuple[bytes | None, bool]]) -> list[str | None]:
    """A Bind's parameters (and whether each is binary), masked by their form; what is no text is only measured."""
    shown = [_show_value(value) for value, _ in values[:_VALUES_SHOWN]]
    return [*shown, f"and {len(values) - _VALUES_SHOWN} more"] if len(values) > _VALUES_SHOWN else shown


def _show_value(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        text = value[:_TEXT_READ].decode()
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or (value and not text):
        return f"{len(value)} bytes"
    masked = mask(text)
    return masked if len(masked) <= _VALUE_SHOWN else masked[:_VALUE_SHOWN] + "…"
