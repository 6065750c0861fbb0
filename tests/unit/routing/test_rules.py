"""Rules of the configuration: which statements they fit."""

import pytest

from dbproxy.config import RuleSettings
from dbproxy.routing.rules import Rules
from dbproxy.sql.parser import classify

RULES = [
    {"relation": "orders", "function": "total", "route": "replica(reports)"},
    {"relation": "orders*", "route": "primary"},
    {"function": "report_?", "route": "replica"},
]


@pytest.fixture
def rules() -> Rules:
    return Rules(tuple(RuleSettings.model_validate(rule) for rule in RULES))


@pytest.mark.parametrize(
    ("text", "route"),
    [
        (b"SELECT * FROM orders", "primary"),
        (b"SELECT * FROM shop.orders_2024 JOIN items USING (id)", "primary"),
        (b"SELECT total(id) FROM orders", "replica(reports)"),
        (b"SELECT total(id) FROM items", ""),
        (b"SELECT report_a(1)", "replica"),
        (b"SELECT 1", ""),
    ],
)
def test_the_first_rule_that_fits_counts(rules: Rules, text: bytes, route: str):
    statement = classify(text)
    assert [rules.route(statement) for _ in range(2)] == [route, route]


def test_a_rule_is_not_remembered_for_another_statement_in_the_same_place(rules: Rules):
    """A statement's id is used again once it is gone: the one that is remembered is kept."""
    for number in range(1500):
        name = b"orders" if number % 2 else b"items"
        statement = classify(b"SELECT %d FROM %b" % (number, name))
        assert rules.route(statement) == ("primary" if number % 2 else "")
