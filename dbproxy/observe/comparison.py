"""What has changed between two times: statements that are new, gone, slower, more frequent."""

from collections.abc import Iterable
from dataclasses import dataclass

from dbproxy.observe.printable import clean
from dbproxy.observe.queries import WORDS, Row
from dbproxy.observe.querystats import OTHER
from dbproxy.observe.snapshots import Snapshot

SLOWER = 1.5  # times the p95 of before
MORE_FREQUENT = 2.0  # times the calls a second
ENOUGH = 20  # calls at both times, below which nothing is concluded
LEAST_US = 500  # by which a p95 has to differ
NEW, GONE, SLOW, FREQUENT = "new", "gone", "slower", "more frequent"

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One statement's; `factor` is of the p95 or of the calls a second, 0 for what is new or gone."""

    what: str
    row: Row
    before: Row | None
    factor: float


def compare(before: Snapshot, after: Snapshot) -> list[Change]:
    """What is new, then gone, slower and more frequent, what takes most time first."""
    old, new = index(before.rows), index(after.rows)
    changes = [Change(NEW, row, None, 0.0) for key, row in new.items() if key not in old]
    changes += [Change(GONE, row, row, 0.0) for key, row in old.items() if key not in new]
    for key in old.keys() & new.keys():
        changes += judge(old[key], new[key], before.window_s, after.window_s)
    order = [NEW, GONE, SLOW, FREQUENT]
    return sorted(
        changes, key=lambda change: (order.index(change.what), -change.row["total_us"], change.row["id"])
    )


def index(rows: Iterable[Row]) -> dict[Key, Row]:
    """By id, database, user and role."""
    return {tuple(str(row[word]) for word in WORDS[:4]): row for row in rows if row["id"] != OTHER}


def judge(old: Row, new: Row, old_s: float, new_s: float) -> list[Change]:
    """Of a statement that there is at both times."""
    if min(old["calls"], new["calls"]) < ENOUGH:
        return []
    changes = []
    if new["p95_us"] > old["p95_us"] * SLOWER and new["p95_us"] - old["p95_us"] >= LEAST_US:
        changes.append(Change(SLOW, new, old, new["p95_us"] / max(1, old["p95_us"])))
    rate = (new["calls"] / max(1.0, new_s)) / (old["calls"] / max(1.0, old_s))
    if rate >= MORE_FREQUENT:
        changes.append(Change(FREQUENT, new, old, rate))
    return changes


def spell(change: Change) -> str:
    """In a line."""
    row, before = change.row, change.before
    said = f"{row['calls']} calls, p95 {row['p95_us'] / 1000:.1f} ms"
    if change.what == SLOW and before is not None:
        times = f"p95 {before['p95_us'] / 1000:.1f} -> {row['p95_us'] / 1000:.1f} ms"
        said = f"{times} (x{change.factor:.1f}, {row['calls']} calls)"
    elif change.what == FREQUENT and before is not None:
        said = f"{before['calls']} -> {row['calls']} calls (x{change.factor:.1f} a second)"
    text = " ".join(row["text"].split())
    whose = f"{row['database']}/{row['user']}/{row['role']}"
    return clean(f"{change.what:13}  {row['id']}  {whose}  {said}  {text[:100]}")
