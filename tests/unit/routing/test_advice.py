"""What rules and the plugin say of a statement."""

from types import SimpleNamespace
from typing import Any

from dbproxy.config import RuleSettings
from dbproxy.pool.parameters import NOTHING
from dbproxy.routing.advice import Advice
from dbproxy.sql.parser import classify

ITEMS = classify(b"SELECT * FROM items")
RULES = (RuleSettings(relation="items", route="primary"),)


def plugin(hint: str) -> Any:
    return SimpleNamespace(route=lambda *_: hint)


def test_nobody_says_anything() -> None:
    advice = Advice(None, (), None)  # type: ignore[arg-type]  # whose it is only a plugin is told
    assert not advice.is_given()
    assert advice.find_hint(ITEMS, NOTHING, ()) == ""


def test_rule_speaks_where_the_plugin_does_not() -> None:
    silent, loud = (Advice(None, RULES, plugin(hint)) for hint in ("", "replica"))  # type: ignore[arg-type]  # as above
    assert silent.find_hint(ITEMS, NOTHING, ()) == "primary"
    assert loud.find_hint(ITEMS, NOTHING, ()) == "replica"
