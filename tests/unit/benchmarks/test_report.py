"""The table shows medians, and says what is missing and why."""

from benchmarks.pgbench import Load
from benchmarks.report import Figures, build_table, describe_machine

LOAD = Load("simple", 16, 4)


def row(table: str) -> list[str]:
    return [cell.strip() for cell in table.splitlines()[2].strip("|").split("|")]


def test_each_cell_is_the_median_of_the_rounds() -> None:
    results = {
        ("direct", LOAD): [Figures(30_000, 0.1, 0.2, 0.0)],
        ("PgBouncer", LOAD): [Figures(t, 0.3, 0.9, c) for t, c in ((1_000, 30), (20_000, 20), (21_000, 10))],
        ("dbproxy", LOAD): [Figures(22_000, 0.25, 0.8, 23)],
    }
    assert row(build_table(results, [LOAD], [])) == [
        *("simple", "16", "30,000", "20,000", "22,000"),
        *("0.10/0.20", "0.30/0.90", "0.25/0.80", "20.0", "23.0", "1.15"),
    ]


def test_what_was_not_measured_is_a_dash_with_its_reason_told_once() -> None:
    results = {("direct", LOAD): [Figures(30_000, 0.1, 0.2, 0.0)]}
    table = build_table(results, [LOAD], ["no PgBouncer", "no PgBouncer"])
    assert row(table)[3:] == ["-", "-", "0.10/0.20", "-", "-", "-", "-", "-"]
    assert table.count("no PgBouncer") == 1


def test_the_machine_and_the_build_are_told() -> None:
    text = describe_machine({"pool": 20})
    assert "- pool: 20\n" in text
    assert "compiled" in text or "interpreted" in text
