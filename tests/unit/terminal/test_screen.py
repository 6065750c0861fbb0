"""What `dbproxy top` shows, as text: drawn from a snapshot, without a terminal."""

import io
from typing import Any

from rich.console import Console

from dbproxy.terminal.screen import render
from dbproxy.terminal.snapshot import Snapshot
from dbproxy.terminal.traffic import measure
from tests.unit.terminal.rows import FULL


def draw(tables: dict[str, list[dict[str, Any]]], most: int = 20, width: int = 200) -> list[str]:
    snapshot = Snapshot(1.0, tables)
    shown = io.StringIO()
    screen = Console(width=width, color_system=None, file=shown)
    screen.print(render(snapshot, measure(snapshot, None), [1.0, 2.0], where="127.0.0.1:6432", most=most))
    return [line.rstrip() for line in shown.getvalue().splitlines()]


def section(lines: list[str], title: str) -> list[str]:
    """The rows under a title, heads first."""
    start = next(number for number, line in enumerate(lines) if line.startswith(title))
    rest = lines[start + 1 :]
    return rest[: rest.index("")] if "" in rest else rest


def test_everything_has_its_section():
    lines = draw(FULL)
    titles = [line.split()[0] for line in lines if line.split()[:1] and line.split()[0].isupper()]
    assert titles == ["HOSTS", "POOLS", "TRAFFIC", "HOLDERS", "WAITS", "QUERIES"]
    assert "dbproxy 1.0 at 127.0.0.1:6432" in lines[0]
    assert "2 waiting" in lines[0]


def test_replica_shows_its_lag_and_the_primary_none():
    primary, replica = section(draw(FULL), "HOSTS")[1:]
    assert "12.0 s 3.0 MiB" in replica
    assert primary.split()[:3] == ["primary", "db1:5432", "primary"]


def test_pools_with_waiters_come_first_with_how_full_they_are():
    _, first, second = section(draw(FULL), "POOLS")
    assert first.split()[0] == "busy"
    assert "10/10" in first
    assert "2.2 s" in first
    assert second.split()[0] == "quiet"


def test_holders_on_whom_somebody_waits_come_first():
    _, first, second = section(draw(FULL), "HOLDERS")
    assert "worker" in first
    assert "idle in transaction" in first
    assert "UPDATE t SET n = $?" in first
    assert "report" in second


def test_a_client_that_waits_for_any_of_several_servers_has_one_row():
    rows = section(draw(FULL), "WAITS")[1:]
    assert [row.split()[0] for row in rows] == ["31", "32"]


def test_queries_show_whether_they_waited_or_ran_and_where():
    heads, row = section(draw(FULL), "QUERIES")
    assert " ".join(heads.split()) == "calls errors total mean p95 wait run stall database role statement"
    assert "20.0 ms  3.0 ms  1.0 ms  busy      replica  SELECT * FROM items WHERE id = $?" in row


def test_console_that_does_not_know_a_table_has_no_section_of_it():
    pools = {"pools": FULL["pools"], "stats": FULL["stats"]}
    lines = draw(pools)
    assert not [line for line in lines if line.startswith(("HOSTS", "QUERIES", "HOLDERS"))]
    assert section(lines, "POOLS")


def test_empty_proxy_says_so():
    lines = draw({name: [] for name in FULL})
    assert "HOLDERS  none" in lines
    assert "POOLS  none" in lines


def test_only_so_many_rows_are_shown_and_how_many_there_are():
    holders = [{**FULL["holders"][0], "client": number} for number in range(30)]
    lines = draw({**FULL, "holders": holders}, most=4)
    assert "HOLDERS  4 of 30" in lines
    assert len(section(lines, "HOLDERS  4")) == 5


def test_names_of_clients_are_no_markup_and_steer_no_terminal():
    holders = [{**FULL["holders"][0], "application_name": "[red]\x1b[2Jx[/red]"}]
    lines = draw({**FULL, "holders": holders})
    assert any("[red]\\x1b[2Jx[/red]" in line for line in lines)


def test_narrow_terminal_cuts_and_breaks_nothing():
    assert max(map(len, draw(FULL, width=60))) <= 60
