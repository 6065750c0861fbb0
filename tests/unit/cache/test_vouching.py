"""What rules take on trust of functions."""

from dbproxy.cache.definitions import PERMANENT, TABLE, VOLATILE, Definitions, Function, Relation
from dbproxy.cache.schema import Schema
from dbproxy.cache.vouching import vouch
from dbproxy.config.cache import CacheRuleSettings
from dbproxy.sql.cache import StatementCache


def definitions() -> Definitions:
    found = Definitions()
    found.add_relation(Relation(1, "public.orders", TABLE, PERMANENT), "orders")
    found.add_function(Function(7, "public.f", aggregate=False, volatility=VOLATILE, language="plpgsql"), "f")
    return found


def rule(**given: object) -> CacheRuleSettings:
    return CacheRuleSettings.model_validate(given)


def test_answer_depends_on_the_tables_that_the_rule_names_and_running_it_writes_nothing() -> None:
    known = definitions()
    shape = StatementCache(16).find(b"SELECT f()")
    assert Schema(known).judge(shape).reason
    assert Schema(known).find_targets(shape) is None
    assert vouch(known, [rule(functions=["f"], tables=["orders"])], "shop") == []
    assert Schema(known).judge(shape).tables == {1}
    assert Schema(known).find_targets(shape) == frozenset()


def test_names_that_nothing_has_are_told_and_vouch_for_nothing() -> None:
    known = definitions()
    assert vouch(known, [rule(functions=["f"], tables=["gone"])], "shop") == ["gone"]
    assert vouch(known, [rule(functions=["g"], tables=[])], "shop") == ["g"]
    assert known.functions[7].vouched is None


def test_rule_of_another_database_or_without_tables_vouches_for_nothing() -> None:
    known = definitions()
    given = [rule(functions=["f"], tables=[], database="other"), rule(functions=["f"], ttl="5s")]
    assert vouch(known, given, "shop") == []
    assert known.functions[7].vouched is None
