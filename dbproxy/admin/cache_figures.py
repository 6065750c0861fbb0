"""What is told of kept answers in numbers: to Prometheus, on the console, as JSON.

Of tables and statements nothing is counted for each request but at the statement (cache.case): what is told of a table
is the sum over the statements that read it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import nlargest
from itertools import islice
from time import monotonic

from dbproxy.admin.house import Caches
from dbproxy.cache.case import Case
from dbproxy.cache.entry import Entry
from dbproxy.cache.fence import Fence
from dbproxy.cache.gate import CacheGate
from dbproxy.cache.reading import kind_of
from dbproxy.cache.tally import COALESCED, HIT, MISS, VERIFIED, WOULD_HIT, Tally
from dbproxy.cache.tier import TierFigures
from dbproxy.observe.figures import CacheFigures, CacheUserFigures, SharedCacheFigures, TimeFigures

TURN = 500  # entries that are looked at in one go
LEAST, WORTH = 100, 0.3  # a table that is asked for so often, and has a lower hit rate, is not worth it
BYPASS = "bypass"
WHOLE = "(all of the database)"


@dataclass(slots=True)
class Held:
    """Current entries, and their bytes."""

    entries: int = 0
    bytes: int = 0

    def add(self, entry: Entry) -> None:
        self.entries += 1
        self.bytes += entry.size


@dataclass(frozen=True, slots=True)
class Bypass:
    """`count` requests of these were not looked for, for this reason."""

    database: str
    user: str
    reason: str
    count: int


@dataclass(slots=True)
class TableFigures:
    """`invalidations`: by whatever; `awaited`: by reads; `verdict`: "" or what to think of it."""

    database: str
    name: str
    entries: int = 0
    hits: int = 0
    misses: int = 0
    hit_rate: float = 0.0
    invalidations: int = 0
    committing: int = 0
    awaited: int = 0
    verdict: str = ""


@dataclass(slots=True)
class StatementFigures:
    """Of all users of a database; `reason`: why its answers are not kept."""

    id: str
    database: str
    statement: str
    hits: int = 0
    misses: int = 0
    bypassed: int = 0
    hit_rate: float = 0.0
    saved_s: float = 0.0
    entries: int = 0
    bytes: int = 0
    quarantined: bool = False
    reason: str = ""
    tables: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


# --- cheap: for each scrape ---


def cache_figures(caches: Caches) -> CacheFigures:
    memory, invalidations = caches.memory, Counter[str]()
    for fence in list_fences(caches):
        invalidations.update(fence.count_invalidations())
    return CacheFigures(
        users=[user_figures(gate) for gate in list_gates(caches)],
        invalidations=dict(invalidations),
        entries={"memory": len(memory.entries)},
        bytes={"memory": memory.size},
        limit_bytes=memory.limit,
        evictions=memory.evicted,
        shared=shared_figures(caches.tier.figures()) if caches.tier is not None else None,
    )


def shared_figures(tier: TierFigures) -> SharedCacheFigures:
    return SharedCacheFigures(
        away=tier.away,
        error=tier.error,
        found=tier.found,
        kept=tier.kept,
        errors=tier.errors,
        answers=TimeFigures(bounds=tier.bounds, buckets=tier.buckets, seconds=tier.seconds),
    )


def list_gates(caches: Caches) -> list[CacheGate]:
    return list(caches.gates.values())


def list_fences(caches: Caches) -> list[Fence]:
    """Each once: two names of one host may be one database."""
    return list(dict.fromkeys(watched.fence for watched in caches.watched.values()))


def user_figures(gate: CacheGate) -> CacheUserFigures:
    tally = gate.tally
    reasons: Counter[str] = Counter()
    for reason, count in tally.bypassed.items():
        reasons[kind_of(reason)] += count
    return CacheUserFigures(
        database=gate.database,
        user=gate.user,
        mode=gate.feature.mode,
        percent=gate.feature.percent,
        requests=count_requests(tally),
        bypassed=dict(reasons),
        kept=tally.kept,
        discarded=dict(tally.discarded),
        saved_s=tally.saved,
        mismatches=tally.mismatches,
        hit_rate=tally.hit_rate(),
    )


def count_requests(tally: Tally) -> dict[str, int]:
    """By outcome. One that has waited for another's answer is counted once more, as what came of it."""
    outcomes = {outcome: tally.outcomes[outcome] for outcome in (HIT, WOULD_HIT, MISS, COALESCED, VERIFIED)}
    return {**outcomes, BYPASS: sum(tally.bypassed.values())}


def find_rate(hits: int, misses: int) -> float:
    return hits / (hits + misses) if hits + misses else 0.0


def list_bypasses(caches: Caches, most: int) -> list[Bypass]:
    """Why requests were not looked for, the commonest first."""
    found = (
        Bypass(gate.database, gate.user, reason, count)
        for gate in list_gates(caches)
        for reason, count in gate.tally.bypassed.items()
    )
    return nlargest(most, found, key=lambda one: one.count)


# --- of tables and statements ---


def list_cases(caches: Caches) -> Iterator[tuple[CacheGate, Case]]:
    for gate in list_gates(caches):
        for case in list(gate.cases.known.values()):
            yield gate, case


async def list_current(caches: Caches) -> list[Entry]:
    """What would be given if it were asked for now."""
    found: list[Entry] = []
    entries: Iterator[Entry] = iter(list(caches.memory.entries.values()))
    while some := list(islice(entries, TURN)):
        now = monotonic()
        found += [entry for entry in some if entry.expires_at > now and entry.moment.is_unchanged()]
        await asyncio.sleep(0)
    return found


def name_database(caches: Caches, fence: Fence) -> str:
    """What clients call it, those who came first if several do; else the server."""
    named = (gate.database for gate in list_gates(caches) if gate.cases.fence is fence)
    places = (place for place, watched in caches.watched.items() if watched.fence is fence)
    return next(named, "") or next(places, "").rpartition("/")[2]


async def list_tables(caches: Caches) -> list[TableFigures]:
    """Those that answers depend on or that were written, the most asked for first."""
    current = await list_current(caches)
    found: list[TableFigures] = []
    for fence in list_fences(caches):
        names = fence.knowledge.names if fence.knowledge is not None else {}
        database = name_database(caches, fence)
        listed = {
            oid: TableFigures(database, names.get(oid, f"(dropped: {oid})")) for oid in list(fence.tables)
        }
        for oid, figures in listed.items():
            table = fence.tables[oid]
            figures.invalidations, figures.committing = table.generation, table.committing
            figures.awaited = table.last.awaited
        for gate, case in list_cases(caches):
            if gate.cases.fence is fence:
                add_case(listed, case)
        for entry in current:
            if entry.moment.fence is fence:
                for table in entry.moment.tables:
                    if table.oid in listed:
                        listed[table.oid].entries += 1
        all_of_it = fence.whole
        whole = TableFigures(
            database,
            WHOLE,
            invalidations=all_of_it.generation,
            committing=all_of_it.committing,
            awaited=all_of_it.last.awaited,
        )
        found += [whole, *listed.values()]
    for figures in found:
        judge(figures)
    return sorted(found, key=lambda figures: -figures.hits - figures.misses)


def add_case(listed: dict[int, TableFigures], case: Case) -> None:
    for oid in case.oids:
        if oid in listed:
            listed[oid].hits += case.hits
            listed[oid].misses += case.misses


def judge(figures: TableFigures) -> None:
    figures.hit_rate = find_rate(figures.hits, figures.misses)
    often = figures.hits + figures.misses >= LEAST
    figures.verdict = "not worth it" if often and figures.hit_rate < WORTH else ""


async def list_statements(caches: Caches, most: int) -> list[StatementFigures]:
    """Those that are asked for most."""
    found: dict[tuple[str, str], StatementFigures] = {}
    for gate, case in list_cases(caches):
        key = (gate.database, case.shape.name())
        figures = found.get(key)
        if figures is None:
            figures = found[key] = StatementFigures(key[1], key[0], case.shape.text)
        take_case(figures, gate, case)
    chosen = nlargest(most, found.values(), key=lambda one: (one.hits + one.misses, one.bypassed))
    held = hold(await list_current(caches), lambda entry: entry.shape.name())
    for figures in chosen:
        own = held.get(figures.id, Held())
        figures.entries, figures.bytes = own.entries, own.bytes
        figures.hit_rate = find_rate(figures.hits, figures.misses)
    return chosen


def take_case(figures: StatementFigures, gate: CacheGate, case: Case) -> None:
    figures.hits += case.hits
    figures.misses += case.misses
    figures.bypassed += case.bypassed
    figures.saved_s += case.saved
    figures.quarantined |= case.shape.hash in gate.cases.quarantined
    figures.reason = figures.reason or case.reason
    names = gate.cases.fence.knowledge.names if gate.cases.fence.knowledge is not None else {}
    figures.tables = sorted(names.get(oid, str(oid)) for oid in case.oids)
    figures.tags = sorted(case.tags)


def hold(entries: Iterable[Entry], name: Callable[[Entry], str]) -> dict[str, Held]:
    found: dict[str, Held] = {}
    for entry in entries:
        found.setdefault(name(entry), Held()).add(entry)
    return found
