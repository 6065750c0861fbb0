import pytest

from dbproxy.terminal.snapshot import Snapshot
from dbproxy.terminal.traffic import measure

ROW = {
    "database": "app",
    "total_query_count": 1000,
    "total_query_time": 5_000_000,
    "total_xact_count": 100,
    "total_sent": 10_000,
    "avg_query_count": 7,
    "avg_query_time": 2_000,
    "avg_recv": 3,
}


def look(at: float, **changes: int) -> Snapshot:
    return Snapshot(at, {"stats": [{**ROW, **changes}]})


def test_first_look_is_told_by_the_averages():
    (one,) = measure(look(1.0), None)
    assert (one.database, one.queries, one.query_time, one.received) == ("app", 7, 0.002, 3)


def test_second_look_is_what_was_done_between():
    later = look(3.0, total_query_count=1200, total_query_time=5_400_000, total_sent=12_000)
    (one,) = measure(later, look(1.0))
    assert (one.queries, one.sent, one.transactions) == (100, 1000, 0)
    assert one.query_time == pytest.approx(0.002)


def test_database_that_is_new_or_began_again_is_told_by_its_averages():
    assert measure(look(3.0), Snapshot(1.0, {"stats": []}))[0].queries == 7
    assert measure(look(3.0, total_query_count=5), look(1.0))[0].queries == 7


def test_no_traffic_where_the_console_knows_none():
    assert measure(Snapshot(1.0), None) == []
