"""The table is read strictly: a row that is not understood must not excuse anything."""

import pytest

from tests.compat.page import HEADING, PageError, parse
from tests.support.proxy import ROOT

TOP = f"# Compatibility\n\n| `elsewhere` | no |\n\n## {HEADING}\n\nText.\n\n| test | reason |\n|---|:---|\n"


def test_each_row_is_a_test_and_its_reason() -> None:
    rows = "| `test_a.py::A::test_b` | Needs `pg_backend_pid()`. |\n|`c`|why|\n"
    assert parse(TOP + rows) == {"test_a.py::A::test_b": "Needs `pg_backend_pid()`.", "c": "why"}


def test_an_empty_table_lists_nothing() -> None:
    assert parse(TOP) == {}


def test_the_table_ends_at_the_next_heading() -> None:
    assert parse(f"{TOP}| `a` | why |\n\n## Next\n\n| `b` | no |\n") == {"a": "why"}


@pytest.mark.parametrize("row", ["| a | why |", "| `a` | |", "| `a` |", "| `a` | why | more |"])
def test_another_row_is_refused(row: str) -> None:
    with pytest.raises(PageError, match="not a row"):
        parse(f"{TOP}{row}\n")


def test_a_test_listed_twice_is_refused() -> None:
    with pytest.raises(PageError, match="listed twice: a"):
        parse(f"{TOP}| `a` | why |\n| `a` | because |\n")


def test_a_page_without_the_heading_is_refused() -> None:
    with pytest.raises(PageError, match="one heading"):
        parse("# Compatibility\n")


def test_our_own_page_can_be_read() -> None:
    assert all(name.startswith("test_") for name in parse((ROOT / "docs" / "compatibility.md").read_text()))
