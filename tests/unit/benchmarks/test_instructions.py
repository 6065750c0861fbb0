"""The budget of instructions: what is over it, and how it is written."""

import tomllib

import pytest

from benchmarks.instructions import BUDGET, MODES, ROUTING, judge, write_budget


@pytest.mark.parametrize(("number", "kept"), [(900, True), (1050, True), (1051, False)])
def test_a_figure_may_grow_by_five_per_cent(number: int, kept: bool):
    lines = list(judge({"alone": {"simple": number}}, {"alone": {"simple": 1000}}))
    assert lines == ([] if kept else ["alone, simple: 1,051 instructions for each query, budget 1,000"])


def test_a_figure_without_budget_is_over_it():
    assert len(list(judge({"alone": {"simple": 1}}, {}))) == 1


def test_what_is_written_is_read_as_it_was():
    figures = {"alone": {"simple": 1, "prepared": 2}, "on": {"simple": 3}}
    assert tomllib.loads(write_budget(figures)) == figures


def test_all_that_is_measured_has_a_budget():
    budget = tomllib.loads(BUDGET.read_text())
    assert {name: list(modes) for name, modes in budget.items()} == dict.fromkeys(["alone", *ROUTING], MODES)
