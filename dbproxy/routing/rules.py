"""The configuration's rules: hints that an operator gives for what a statement reads or calls."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from dbproxy.config import RuleSettings
from dbproxy.sql.statement import Statement

LISTED = 1000  # statements whose rule is remembered


class Rules:
    """In their order: the first that fits counts."""

    def __init__(self, rules: tuple[RuleSettings, ...]) -> None:
        self.rules = rules
        self.found: dict[int, tuple[Statement, str]] = {}  # by a statement's id

    def route(self, statement: Statement) -> str:
        """As a hint spells it; "" if no rule fits."""
        if not self.rules:
            return ""
        known = self.found.get(id(statement))
        if known is not None and known[0] is statement:
            return known[1]
        route = next((rule.route for rule in self.rules if fits(rule, statement)), "")
        if len(self.found) >= LISTED:
            self.found.clear()
        self.found[id(statement)] = statement, route
        return route


def fits(rule: RuleSettings, statement: Statement) -> bool:
    """Whether all that the rule names is in the statement."""
    called = statement.functions | statement.calls
    return _is_among(statement.relations, rule.relation) and _is_among(called, rule.function)


def _is_among(names: Iterable[str], pattern: str) -> bool:
    return not pattern or any(fnmatchcase(name, pattern) for name in names)
