"""SHOW STATS and its kin: counters by database, and averages over the last minute (admin.averages)."""

from collections.abc import Callable, Iterator
from time import monotonic

from dbproxy.admin.averages import COUNTERS, Counts, take, total
from dbproxy.admin.house import House
from dbproxy.admin.table import Columns, Table, columns

STATS = columns(
    "database:s total_server_assignment_count:N total_xact_count:N total_query_count:N total_received:N "
    "total_sent:N total_xact_time:N total_query_time:N total_wait_time:N total_client_parse_count:N "
    "total_server_parse_count:N total_bind_count:N total_client_login_count:N "
    "avg_server_assignment_count:N avg_xact_count:N avg_query_count:N avg_recv:N avg_sent:N avg_xact_time:N "
    "avg_query_time:N avg_wait_time:N avg_client_parse_count:N avg_server_parse_count:N avg_bind_count:N "
    "avg_client_login_count:N"
)
STATS_TOTALS = columns(
    "database:s server_assignment_count:N xact_count:N query_count:N bytes_received:N bytes_sent:N "
    "xact_time:N query_time:N wait_time:N client_parse_count:N server_parse_count:N bind_count:N "
    "client_login_count:N"
)
STATS_AVERAGES = columns(  # the mixed naming is PgBouncer's
    "database:s server_assignment_count:N xact_count:N query_count:N bytes_received:N bytes_sent:N "
    "xact_time:N query_time:N wait_time:N avg_client_parse_count:N avg_server_parse_count:N avg_bind_count:N "
    "avg_client_login_count:N"
)
TOTALS = columns("name:s value:N")
TOTALS_ROWS = (
    "server_assignment_count",
    "xact_count",
    "query_count",
    "client_bytes",
    "server_bytes",
    "xact_time",
    "query_time",
    "wait_time",
    "ps_client_parse_count",
    "ps_server_parse_count",
    "ps_bind_count",
    "client_login_count",
)


def by_database(house: House, now: float) -> Iterator[tuple[str, Counts, Counts]]:
    """Each database, its counters and their averages."""
    for database, counts in take(house.pools.values(), now).databases.items():
        yield database, counts, house.averages.of(database, counts, now)


def show_stats(house: House) -> Table:
    return _table(house, STATS, lambda counts, averages: [*counts.values(), *averages.values()])


def show_stats_totals(house: House) -> Table:
    return _table(house, STATS_TOTALS, lambda counts, _: [*counts.values()])


def show_stats_averages(house: House) -> Table:
    return _table(house, STATS_AVERAGES, lambda _, averages: [*averages.values()])


def _table(house: House, shape: Columns, choose: Callable[[Counts, Counts], list[int]]) -> Table:
    found = by_database(house, monotonic())
    return Table(shape, ([database, *choose(counts, averages)] for database, counts, averages in found))


def show_totals(house: House) -> Table:
    now = monotonic()
    counts = total(take(house.pools.values(), now).databases.values())
    averages = house.averages.of_all(counts, now)
    rows = [("total", counts), ("avg", averages)]
    return Table(
        TOTALS,
        (
            (f"{prefix}_{name}", values[key])
            for prefix, values in rows
            for name, key in zip(TOTALS_ROWS, COUNTERS, strict=True)
        ),
    )
