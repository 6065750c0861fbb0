"""What replicas failed to answer, and which statements therefore go to the primary at once."""

from collections import Counter

import structlog

from dbproxy.pool.pool import Pool
from dbproxy.routing.hedging import SlowReads
from dbproxy.routing.rescue import counts_against
from dbproxy.sql.identity import NO_SHAPE, Shape

log = structlog.get_logger(__name__)

RESCUED_LIMIT = 3  # from so many rescues on a statement goes to the primary
LISTED = 1000  # statements that are counted


class Rescues:
    """Of one database and user, whose pool to the primary is `pool`."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.counts: Counter[tuple[str, str]] = Counter()  # by host and reason
        self.rescued: Counter[Shape] = Counter()  # how often, the first of them
        self.hopeless: set[Shape] = set()  # those that were rescued too often
        self.slow = SlowReads()  # those that are not hedged

    def note(self, host: str, reason: str, shape: Shape) -> bool:
        """A replica has failed it; whether it goes to the primary from now on."""
        self.counts[host, reason] += 1
        shape = shape.identity()
        if not counts_against(reason) or shape is NO_SHAPE:
            return False
        if shape not in self.rescued and len(self.rescued) >= LISTED:
            return False
        self.rescued[shape] += 1
        if self.rescued[shape] != RESCUED_LIMIT:
            return False
        self.hopeless.add(shape)
        log.warning("statement goes to the primary from now on: replicas failed to answer it", host=host,
                    reason=reason, database=self.pool.database, user=self.pool.user, statement=shape.text)  # fmt: skip
        return True

    def is_hopeless(self, shape: Shape) -> bool:
        return shape.identity() in self.hopeless

    def list_hopeless(self) -> list[tuple[Shape, int]]:
        """The statements that go to the primary for that, and how often they were rescued."""
        return [(shape, self.rescued[shape]) for shape in self.hopeless]
