"""What the whole proxy counts and tells beside its pools: statements, those that are slow, traces."""

from collections.abc import Callable
from typing import Any

from dbproxy.admin.averages import Averages
from dbproxy.app.slow import SlowQueries
from dbproxy.app.tracing import Tracing
from dbproxy.config import Settings
from dbproxy.config.monitoring import QueryStatsSettings
from dbproxy.observe.exemplars import Exemplars
from dbproxy.observe.querystats import QueryStats
from dbproxy.pool.stats import BOUNDS_US


class Monitoring:
    """Of one proxy, since `now` (monotonic seconds); `spawn` runs a task."""

    def __init__(self, settings: Settings, now: float, spawn: Callable[[Any], object]) -> None:
        self.averages = Averages(now)
        self.query_stats = make_query_stats(settings.query_stats, now)
        self.exemplars = Exemplars(BOUNDS_US)
        self.tracing = Tracing(settings, self.exemplars)
        self.slow = SlowQueries(settings, spawn, self.exemplars)

    def apply(self, settings: Settings) -> None:
        """Other settings; how statements are counted stays."""
        self.slow.settings = settings
        self.tracing.apply(settings)

    def sweep(self, now: float) -> None:
        """Once a second."""
        self.slow.sweep(now)
        if self.query_stats is not None:
            self.query_stats.sweep(now)


def make_query_stats(settings: QueryStatsSettings, now: float) -> QueryStats | None:
    """None if statements are not counted."""
    if not settings.enabled:
        return None
    return QueryStats(
        settings.capacity,
        settings.memory_limit,
        now,
        by_user=settings.by_user,
        track_utility=settings.track_utility,
    )
