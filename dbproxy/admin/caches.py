"""SHOW CACHE, CACHE TABLES, CACHE QUERIES, CACHE BYPASS, and INVALIDATE CACHE; PgBouncer keeps no answers.

To invalidate is to count a generation on, for a table, a tag, a statement, or all of a database: nothing is looked for.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple

import structlog

from dbproxy.admin.cache_command import CacheOrder, CacheReport
from dbproxy.admin.cache_figures import (
    BYPASS,
    cache_figures,
    find_rate,
    list_bypasses,
    list_gates,
    list_statements,
    list_tables,
)
from dbproxy.admin.house import Caches, House
from dbproxy.admin.table import Table, Value, columns
from dbproxy.cache.case import name_statement, name_tag
from dbproxy.cache.fence import Fence
from dbproxy.cache.tally import COALESCED, HIT, MISS, VERIFIED, WOULD_HIT
from dbproxy.errors import CommandFailed

log = structlog.get_logger(__name__)

MOST = 100  # tables or statements that are shown, if no other number is asked for
ALL = "<all>"
CACHE = columns(
    "database:s user:s mode:s percent:i hits:q would_hits:q misses:q coalesced:q verified:q mismatches:q hit_rate:N "
    "bypassed:q kept:q discarded:q saved_s:N entries:q bytes:q limit_bytes:q evictions:q"
)
TABLES = columns(
    "database:s table:s entries:q hits:q misses:q hit_rate:N invalidations:q committing:i awaited:q verdict:s"
)
QUERIES = columns(
    "id:s database:s hits:q misses:q bypassed:q hit_rate:N saved_s:N entries:q bytes:q quarantined:s reason:s "
    "tables:s tags:s statement:s"
)
BYPASSES = columns("database:s user:s reason:s count:q")


# --- SHOW ---


def show_cache(house: House) -> Table:
    """Each database and user, then all of them, with what is kept."""
    figures = cache_figures(house.caches)
    rows: list[tuple[Value, ...]] = []
    counts, sums = Counter[str](), [0, 0, 0]
    saved = 0.0
    for one in figures.users:
        discarded = sum(one.discarded.values())
        rows.append((
            one.database, one.user, one.mode, one.percent, *show_counts(one.requests, one.mismatches),
            one.kept, discarded, f"{one.saved_s:.3f}", None, None, None, None,
        ))  # fmt: skip
        counts.update(one.requests)
        sums = [sums[0] + one.mismatches, sums[1] + one.kept, sums[2] + discarded]
        saved += one.saved_s
    kept = (figures.entries["memory"], figures.bytes["memory"], figures.limit_bytes, figures.evictions)
    rows.append((
        ALL, ALL, house.settings.cache.mode, house.settings.cache.percent, *show_counts(counts, sums[0]),
        *sums[1:], f"{saved:.3f}", *kept,
    ))  # fmt: skip
    return Table(CACHE, rows)


def show_counts(requests: Mapping[str, int], mismatches: int) -> tuple[Value, ...]:
    hits, would, misses, waited, verified = (
        requests.get(outcome, 0) for outcome in (HIT, WOULD_HIT, MISS, COALESCED, VERIFIED)
    )
    rate = show_rate(find_rate(hits + would + verified, misses))
    return hits, would, misses, waited, verified, mismatches, rate, requests.get(BYPASS, 0)


def show_rate(rate: float) -> str:
    """In percent."""
    return f"{rate * 100:.1f}"


async def show_report(house: House, report: CacheReport) -> Table:
    most = report.most or MOST
    if report.what == "tables":
        return Table(TABLES, [
            (one.database, one.name, one.entries, one.hits, one.misses, show_rate(one.hit_rate), one.invalidations,
             one.committing, one.awaited, one.verdict)
            for one in (await list_tables(house.caches))[:most]
        ])  # fmt: skip
    if report.what == "queries":
        return Table(QUERIES, [
            (one.id, one.database, one.hits, one.misses, one.bypassed, show_rate(one.hit_rate), f"{one.saved_s:.3f}",
             one.entries, one.bytes, "yes" if one.quarantined else "no", one.reason, ", ".join(one.tables),
             " ".join(one.tags), one.statement)
            for one in await list_statements(house.caches, most)
        ])  # fmt: skip
    return Table(BYPASSES, map(astuple, list_bypasses(house.caches, most)))


# --- INVALIDATE ---


class NotHere(CommandFailed):
    """Nothing that this proxy keeps has the tag, or is of the statement; others may have some."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(f"there are no {what}", hint=hint)
        self.what = what


def invalidate(house: House, order: CacheOrder) -> str:
    """What to tell of it. CommandFailed if nothing has this name."""
    fences = find_fences(house.caches, order.database)
    try:
        done = INVALIDATIONS[order.what](fences, order.name)
    except NotHere as error:
        if house.caches.tier is None:
            raise
        done = f"{error.what} (none are this proxy's)"
    house.caches.flush()  # what is there is not told apart by tables, tags or statements
    where = f" of {order.database}" if order.database else ""
    log.info("cache invalidated", what=order.what, name=order.name, database=order.database)
    return f"{done}{where}: what was kept until now is not given any more"


def find_fences(caches: Caches, database: str) -> list[Fence]:
    found = [gate.cases.fence for gate in list_gates(caches) if database in ("", gate.database)]
    if not found:
        which = f'of "{database}" ' if database else ""
        raise CommandFailed(
            f"no answers {which}are kept",
            hint="SHOW CACHE lists of which databases there are some; SET cache = 'on'.",
        )
    return list(dict.fromkeys(found))


def invalidate_all(fences: list[Fence], _: str) -> str:
    for fence in fences:
        fence.invalidate(None, "console")
    return "all answers"


def invalidate_table(fences: list[Fence], name: str) -> str:
    """And what hangs below it."""
    chosen = [(fence, find_oids(fence, name)) for fence in fences]
    if not any(oids for _, oids in chosen):
        raise CommandFailed(
            f'there is no table "{name}"',
            hint="SHOW CACHE TABLES lists those that answers depend on; of a view name its tables.",
        )
    for fence, oids in chosen:
        fence.invalidate(oids, "console")
    return f"answers that depend on {name}"


def find_oids(fence: Fence, name: str) -> list[int]:
    names = fence.knowledge.names if fence.knowledge is not None else {}
    return [oid for oid, full in names.items() if name in (full, full.partition(".")[2])]


def invalidate_query(fences: list[Fence], name: str) -> str:
    return invalidate_mark(
        fences, name_statement(name), f"answers to {name}", "SHOW CACHE QUERIES lists ids."
    )


def invalidate_tag(fences: list[Fence], name: str) -> str:
    return invalidate_mark(
        fences, name_tag(name), f"answers with the tag {name}", "SHOW CACHE QUERIES lists them."
    )


def invalidate_mark(fences: list[Fence], mark: str, what: str, hint: str) -> str:
    found = [fence.invalidate_mark(mark) for fence in fences]  # all of them
    if not any(found):
        raise NotHere(what, hint)
    return what


INVALIDATIONS = {
    "all": invalidate_all,
    "query": invalidate_query,
    "table": invalidate_table,
    "tag": invalidate_tag,
}
