"""Log lines of slow queries, their statements without literals.

The data path compares its time with `threshold_us` and calls `record` only above it. A storm of slow queries
costs at most `per_second` lines each second; how many more there were is told in one line afterwards.
"""

import sys
from time import time
from typing import Any

from dbproxy.observe.exemplars import Exemplar, Exemplars, find_trace
from dbproxy.sql.shape import redact

OFF = sys.maxsize  # no duration reaches it
_TEXT_READ = 16_384  # bytes of a statement that are looked at: one of megabytes must not hold up the others
_TEXT_SHOWN = 2_000


class SlowLog:
    """`logger` is structlog's; a threshold of `OFF` logs nothing; `suppressed` lines are not yet told of."""

    def __init__(
        self, threshold_us: int, logger: Any, per_second: int = 20, *, exemplars: Exemplars | None = None
    ) -> None:
        self.exemplars = exemplars
        self.threshold_us = threshold_us
        self.logger = logger
        self.per_second = per_second
        self.suppressed = 0
        self._second = 0.0
        self._lines = 0

    def record(
        self,
        now: float,
        statement: bytes,
        *,
        wait_us: int,
        run_us: int,
        user: str,
        database: str,
        application_name: str,
        client: str,
        connection_id: int,
        query_id: int,
    ) -> None:
        """Log one query over the threshold; `now` is monotonic seconds."""
        if not self._may_log(now):
            self.suppressed += 1
            return
        if self.exemplars is not None and (trace_id := find_trace(statement)):
            self.exemplars.note(database, user, Exemplar(trace_id, (wait_us + run_us) / 1e6, time()))
        self.logger.warning(
            "slow query",
            duration_ms=(wait_us + run_us) / 1000,
            wait_ms=wait_us / 1000,
            run_ms=run_us / 1000,
            statement=show_statement(statement),
            user=user,
            database=database,
            application_name=application_name,
            client=client,
            connection_id=connection_id,
            query_id=query_id,
        )

    def sweep(self, now: float) -> None:
        """Begin a new second if the last is over, and tell what it suppressed; the janitor calls it too."""
        if now - self._second < 1.0:
            return
        suppressed, self.suppressed = self.suppressed, 0
        self._second = now
        self._lines = 0
        if suppressed:
            self.logger.warning("slow queries not logged", count=suppressed, limit_per_second=self.per_second)

    def _may_log(self, now: float) -> bool:
        self.sweep(now)
        self._lines += 1
        return self._lines <= self.per_second


def show_statement(statement: bytes) -> str:
    """`statement` without its literals, cut to what a log line can bear."""
    shown = redact(statement[:_TEXT_READ]).decode("utf-8", "replace")
    cut = len(shown) > _TEXT_SHOWN or len(statement) > _TEXT_READ
    return shown[:_TEXT_SHOWN].removesuffix("…") + "…" if cut else shown
