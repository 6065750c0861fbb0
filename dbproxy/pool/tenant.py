"""One database and user: what all pools of theirs share, whichever host those lead to."""

from collections.abc import Callable
from typing import Any

from dbproxy.cache.fence import Fence
from dbproxy.config import PoolSettings
from dbproxy.features.mode import Feature
from dbproxy.gates import Gate, Listener
from dbproxy.observe.querystats import QueryStats
from dbproxy.observe.sampling import Sampler
from dbproxy.pool.commits import Commits
from dbproxy.pool.parameters import ParameterSets
from dbproxy.pool.prepared import Statements
from dbproxy.pool.query import Query
from dbproxy.pool.recall import Recall
from dbproxy.pool.routines import Routines
from dbproxy.pool.stats import PoolStats
from dbproxy.sql.cache import StatementCache

NEVER = float("inf")


class Tenant:
    """`settings` are replaced by a reload. `slow_after`: seconds from which on a query is slow."""

    def __init__(
        self,
        database: str,
        user: str,
        settings: PoolSettings,
        *,
        slow_after: float = NEVER,
        classifier: StatementCache | None = None,
        forget_statements: Callable[[], object] | None = None,
        commits: Commits | None = None,
        query_stats: QueryStats | None = None,
    ) -> None:
        """`forget_statements` is called after DDL; `query_stats`: where its statements are counted."""
        self.database = database
        self.user = user
        self.settings = settings
        self.slow_after = slow_after
        self.stats = PoolStats()
        self.statements = Statements(settings.statement_cache_size)
        self.parameter_sets = ParameterSets()
        self.classifier = classifier or StatementCache(settings.statement_cache_size)
        self.commits = commits or Commits()
        if forget_statements is not None:
            self.statements.everywhere = forget_statements
        self.routines = Routines()  # that change a session
        self.tells_positions = True  # its servers say where a commit is
        self.recall = Recall(able=settings.mode != "session")
        self.recalls = False  # somebody here uses currval or lastval so that it pins
        self.query_stats = query_stats
        self.fence: Fence | None = None  # where answers are kept
        self.features: list[Feature] = []
        self.gates: tuple[Gate[Query, Any], ...] = ()  # asked in this order; none for most
        self.listeners: tuple[Listener[Query], ...] = ()
        self.sampler: Sampler | None = None  # ahead of one of them, which hears of what that chooses

    def add_feature(self, feature: Feature) -> Feature:
        """It is one of this database and user from now on, in place of one of the same name."""
        self.features = [known for known in self.features if known.name != feature.name] + [feature]
        return feature

    def tell(self, listener: Listener[Query], *, wanted: bool) -> None:
        """Let it hear of requests from now on, or no more."""
        others = tuple(known for known in self.listeners if known is not listener)
        self.listeners = (*others, listener) if wanted else others

    def trace(self, sampler: Sampler | None) -> None:
        """Let the sampler's listener hear of what that chooses; None: nobody, from now on."""
        if self.sampler is not None:
            self.tell(self.sampler.listener, wanted=False)
        self.sampler = sampler
        if sampler is not None:
            self.tell(sampler.listener, wanted=True)

    def forget_statements(self) -> None:
        """After DDL."""
        self.statements.everywhere()

    def hears_few(self) -> bool:
        """Whether nobody hears of a request that is not chosen."""
        return not self.gates and len(self.listeners) == 1

    def knows_routines(self) -> bool:
        """Whether the database's functions have been read, or need not be."""
        if self.routines.read_at > 0:
            return True
        return not self.settings.read_functions or self.settings.mode == "session"
