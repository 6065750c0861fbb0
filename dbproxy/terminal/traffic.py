"""How much each database does: between two snapshots, or, of the first one, as its own averages say."""

from dataclasses import dataclass

from dbproxy.terminal.result import Record
from dbproxy.terminal.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Traffic:
    """Of one database. Per second; times are means in seconds."""

    database: str
    queries: float
    transactions: float
    received: float
    sent: float
    query_time: float
    transaction_time: float
    wait_time: float


def measure(now: Snapshot, before: Snapshot | None) -> list[Traffic]:
    """A database that is new, or whose counters began again, is told by its averages."""
    earlier = {row["database"]: row for row in before.rows("stats")} if before is not None else {}
    seconds = now.at - before.at if before is not None else 0.0
    return [_compare(row, earlier.get(row["database"]), seconds) for row in now.rows("stats")]


def _compare(row: Record, before: Record | None, seconds: float) -> Traffic:
    if (
        before is None
        or seconds <= 0
        or _number(row, "total_query_count") < _number(before, "total_query_count")
    ):
        return _average(row)

    def grown(name: str) -> float:
        return max(0.0, _number(row, f"total_{name}") - _number(before, f"total_{name}"))

    queries, transactions = grown("query_count"), grown("xact_count")
    return Traffic(
        database=str(row["database"]),
        queries=queries / seconds,
        transactions=transactions / seconds,
        received=grown("received") / seconds,
        sent=grown("sent") / seconds,
        query_time=grown("query_time") / 1e6 / max(1.0, queries),
        transaction_time=grown("xact_time") / 1e6 / max(1.0, transactions),
        wait_time=grown("wait_time") / 1e6 / max(1.0, grown("server_assignment_count")),
    )


def _average(row: Record) -> Traffic:
    return Traffic(
        database=str(row["database"]),
        queries=_number(row, "avg_query_count"),
        transactions=_number(row, "avg_xact_count"),
        received=_number(row, "avg_recv"),
        sent=_number(row, "avg_sent"),
        query_time=_number(row, "avg_query_time") / 1e6,
        transaction_time=_number(row, "avg_xact_time") / 1e6,
        wait_time=_number(row, "avg_wait_time") / 1e6,
    )


def _number(row: Record, name: str) -> float:
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
