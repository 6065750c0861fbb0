"""What a rule takes on trust: functions that read some tables and nothing else, whatever language they are in."""

from collections.abc import Iterable

from dbproxy.cache.definitions import Definitions
from dbproxy.cache.terms import is_called
from dbproxy.config.cache import CacheRuleSettings


def vouch(definitions: Definitions, rules: Iterable[CacheRuleSettings], database: str) -> list[str]:
    """Note it at the functions; the names in rules that nothing has."""
    unknown: list[str] = []
    for rule in rules:
        if rule.tables is None or rule.database not in ("", database):
            continue
        functions = [
            function for function in definitions.functions.values() if is_called(rule, [function.name])
        ]
        relations = [definitions.named.get(name, []) for name in rule.tables]
        unknown += [name for name, found in zip(rule.tables, relations, strict=True) if not found]
        if not functions:
            unknown += rule.functions
        elif all(relations):
            for function in functions:
                function.vouched = [relation for found in relations for relation in found]
    return unknown
