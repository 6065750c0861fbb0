"""The second tier: what all proxies of one Redis keep for each other. Never an error: what cannot be had is a miss.

Two lines, one to look and one to keep, so that nobody who looks waits behind what is being kept. What of that is
current is decided by whoever looks (cache.shelf).
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

import structlog

from dbproxy.cache.calls import Find, Flush, Keep, Lookup
from dbproxy.cache.line import Call, Line
from dbproxy.cache.parcel import Parcel
from dbproxy.cache.script import FULL, KEPT, REFUSED, Keys
from dbproxy.net.caller import BOUNDS
from dbproxy.net.contact import Contact

log = structlog.get_logger(__name__)

MOST = 16  # keys that are looked for in one call
WAITING = 8 << 20  # bytes that wait to be kept; what comes then is dropped
STATEMENTS = 10_000  # of which it is known what they cost
BEAT = 1.0  # seconds from one greeting to the next
BREATH = 1.0  # seconds that nothing is kept after Redis was full
HIT, MISS, STALE, BROKEN = "hit", "miss", "stale", "broken"
DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class TierFigures:
    """`since`: when Redis did not answer any more (monotonic seconds), and `error` why; None: it does.

    `found`: what came of looking, `kept`: of keeping. How long it took: `buckets` by `bounds` (seconds; the last has
    none), and their sum. Counters are since start.
    """

    since: float | None = None
    error: str = ""
    found: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    errors: int = 0
    bounds: Sequence[float] = BOUNDS
    buckets: Sequence[int] = ()
    seconds: float = 0.0

    @property
    def away(self) -> bool:
        return self.since is not None


@dataclass(slots=True)
class Bounds:
    """What may be changed at run time. Seconds; `limit`: bytes of all that is kept."""

    min_cost: float
    limit: int
    window: float  # no value is kept for longer


class Tier:
    """Of one proxy and one Redis, from `start` to `stop`. `forgotten`: somebody has flushed it, elsewhere."""

    def __init__(
        self, url: str, prefix: str, timeout: float, bounds: Bounds, forgotten: Callable[[], object]
    ) -> None:
        self.keys = Keys(prefix)
        self.bounds = bounds
        self.forgotten = forgotten
        self.contact = Contact(monotonic())
        self.reader = Line(url, timeout, self.next_find, self.fail)
        self.writer = Line(url, timeout, self.next_keep, self.fail)
        self.generation = ""  # "" until it is known
        self.flushing = False
        self.flushes = 0  # begun and ended
        self.lookups: dict[bytes, Lookup] = {}  # that are under way
        self.waiting: deque[Lookup] = deque()
        self.greets = True  # nothing is looked for, but whether Redis is there
        self.sweeps_at = 0.0
        self.keeping: deque[Keep] = deque()
        self.bytes = 0  # of those
        self.rests_until = 0.0
        self.costs: OrderedDict[int, tuple[int, float]] = OrderedDict()  # of statements: how often, the mean
        self.found = Counter({HIT: 0, MISS: 0, STALE: 0, BROKEN: 0})
        self.kept: Counter[str] = Counter({KEPT: 0})

    def start(self) -> None:
        for line in (self.reader, self.writer):
            line.start()
        self.sweep(monotonic())

    async def stop(self) -> None:
        for line in (self.reader, self.writer):
            await line.stop()
        while self.waiting:
            self.waiting.popleft().give_up()

    def sweep(self, now: float) -> None:
        """Once in BEAT: see whether Redis is there, and whether somebody has flushed it."""
        if now < self.sweeps_at:
            return
        self.sweeps_at = now + BEAT
        self.greets = True
        for line in (self.reader, self.writer):
            line.wanted.set()

    # --- what statements cost ---

    def learn_cost(self, statement: int, cost: float) -> None:
        number, mean = self.costs.pop(statement, (0, 0.0))
        number = min(number + 1, 100)
        self.costs[statement] = (number, mean + (cost - mean) / number)
        if len(self.costs) > STATEMENTS:
            self.costs.popitem(last=False)

    def is_worth(self, statement: int) -> bool:
        """Whether it takes longer than to ask Redis, as far as is known."""
        return self.costs.get(statement, (0, -1.0))[1] >= self.bounds.min_cost

    # --- looking ---

    def look(self, key: bytes, take: Callable[[bytes, int], None]) -> Lookup | None:
        """None if Redis is not to be asked now. Who looks for the same waits for the same, whose `take` it is."""
        if self.flushing or not self.reader.is_ready(monotonic()):
            self.greets = True
            return None
        lookup = self.lookups.get(key)
        if lookup is None:
            lookup = self.lookups[key] = Lookup(key, take, self.reader.caller.timeout)
            lookup.done.add_done_callback(lambda _: self.lookups.pop(key, None))
            self.waiting.append(lookup)
            self.reader.wanted.set()
        return lookup

    def next_find(self) -> Call | None:
        if self.reader.breaker.is_open(monotonic()):
            while self.waiting:
                self.waiting.popleft().give_up()
            return None
        some = [self.waiting.popleft() for _ in range(min(MOST, len(self.waiting)))]
        if not some and not self.greets:
            return None
        self.greets = False
        flushed = self.flushes
        return Find(self.keys, some, lambda generation: self.learn(generation, flushed))

    # --- keeping ---

    def keep(self, name: bytes, key: bytes, generation: str, parcel: Parcel, ttl: float) -> None:
        now, bounds = monotonic(), self.bounds
        window = int(bounds.window * 1000)
        one = Keep(
            self.keys, name, key, generation, parcel, int(ttl * 1000), window, bounds.limit, self.note_kept
        )
        full = self.bytes + one.size > WAITING or now < self.rests_until
        if full or not generation or self.flushing or not self.writer.is_ready(now):
            self.kept[DROPPED] += 1
            return
        self.keeping.append(one)
        self.bytes += one.size
        self.writer.wanted.set()

    def next_keep(self) -> Call | None:
        now = monotonic()
        if self.writer.breaker.is_open(now):
            self.kept[DROPPED] += len(self.keeping)
            self.keeping.clear()
            self.bytes = 0
            return None
        if self.flushing and now >= self.rests_until:
            return Flush(self.keys, self.end_flush)
        if self.keeping:
            one = self.keeping.popleft()
            self.bytes -= one.size
            return one
        return None if self.writer.open else Find(self.keys, (), bool)

    def note_kept(self, outcome: str, _: str) -> None:
        self.kept[outcome] += 1
        if outcome in (FULL, REFUSED):
            self.rests_until = monotonic() + BREATH

    # --- a flush ---

    def flush(self) -> None:
        """What Redis keeps by now is found by no proxy any more: at once not by this one, even if Redis is away."""
        self.flushes += 1
        self.flushing = True
        self.generation = ""
        self.writer.wanted.set()

    def end_flush(self, generation: str) -> None:
        if generation:
            self.flushes += 1
            self.flushing, self.generation = False, generation
        else:
            self.rests_until = monotonic() + BREATH

    def learn(self, generation: str, flushes: int) -> bool:
        """Redis has answered; whether what it has said counts: it does not if a flush has come in between."""
        if not generation:
            self.fail("Redis takes no generation: it is full, or a replica")
            return False
        if self.contact.succeed():
            log.info("kept answers are shared by Redis")
        if flushes != self.flushes or self.flushing:
            return False
        before, self.generation = self.generation, generation
        if before not in ("", generation):
            self.forgotten()
        return True

    # --- what is told ---

    def fail(self, error: str) -> None:
        """Redis has not answered."""
        if self.contact.fail(error, monotonic()):
            log.warning(
                "kept answers are not shared",
                error=error,
                hint="What is not kept in this process is asked of the servers until Redis answers in time again.",
            )

    def figures(self) -> TierFigures:
        calls = self.reader.caller.calls
        return TierFigures(
            since=self.contact.since,
            error=self.contact.error,
            found=dict(self.found),
            kept=dict(self.kept),
            errors=calls.errors + self.writer.caller.calls.errors,
            buckets=tuple(calls.buckets),
            seconds=calls.seconds,
        )
