"""What the whole proxy counts beside its pools, and its traces."""

from dbproxy.admin.averages import Averages
from dbproxy.app.batches import Batches
from dbproxy.app.tracing import Tracing
from dbproxy.config import Settings
from dbproxy.config.monitoring import QueryStatsSettings
from dbproxy.observe.exemplars import Exemplars
from dbproxy.observe.querystats import QueryStats
from dbproxy.pool.stats import BOUNDS_US


class Monitoring:
    """Of one proxy, since `now` (monotonic seconds)."""

    batches: Batches  # the proxy's, of which they ask much

    def __init__(self, settings: Settings, now: float) -> None:
        self.averages = Averages(now)
        self.query_stats = make_query_stats(settings.query_stats, now)
        self.exemplars = Exemplars(BOUNDS_US)
        self.tracing = Tracing(settings, self.exemplars)

    def sweep(self, now: float) -> None:
        """Once a second."""
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
