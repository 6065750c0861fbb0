"""On which terms an answer is kept: what hints and rules say."""

import pytest

from dbproxy.cache.terms import BY_RULE, FORBIDDEN, USUAL, Terms, find_terms, read_terms
from dbproxy.config.cache import CacheRuleSettings
from dbproxy.sql.cache import StatementCache
from dbproxy.sql.identity import Shape


def shape_of(text: str) -> Shape:
    return StatementCache(16).find(text.encode())


def rules(*given: dict[str, object]) -> list[CacheRuleSettings]:
    return [CacheRuleSettings.model_validate(rule) for rule in given]


@pytest.mark.parametrize(
    ("hint", "terms"),
    [
        ("cache", Terms()),
        ("CACHE( )", Terms()),
        ("cache(ttl=30s)", Terms(30.0)),
        ("cache(tags=a b:1, ttl = '5m')", Terms(300.0, frozenset({"a", "b:1"}))),
        ("no-cache", Terms(refusal=FORBIDDEN)),
        ("no_cache", Terms(refusal=FORBIDDEN)),
    ],
)
def test_hint_is_read(hint: str, terms: Terms) -> None:
    assert read_terms(hint) == terms


@pytest.mark.parametrize(
    ("hint", "why"),
    [
        ("cache(ttl=soon)", "duration"),
        ("cache(ttl=0)", "no time"),
        ("cache(30s)", "30s is neither ttl nor tags"),
        ("cache(tags=a/b)", "a tag is"),
        ("cache please", "nothing else"),
        ("no-cache(ttl=3s)", "parentheses"),
    ],
)
def test_bad_hint_says_what_is_wrong(hint: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_terms(hint)


@pytest.mark.parametrize(
    "rule",
    [
        {"relation": "orders"},
        {"relation": "ord*"},
        {"relation": "public.orders"},
        {"user": "ap?", "database": "shop"},
        {"functions": ["lower"], "relation": "orders"},
    ],
)
def test_rule_fits_if_all_that_it_names_is_so(rule: dict[str, object]) -> None:
    shape = shape_of("SELECT lower(name) FROM public.orders")
    assert find_terms(shape, rules({**rule, "ttl": "5s"}), "shop", "app").ttl == 5.0


@pytest.mark.parametrize(
    "rule",
    [
        {"relation": "items"},
        {"user": "bob"},
        {"database": "other"},
        {"functions": ["upper"]},
        {"relation": "orders", "user": "bob"},
        {"query": "0123456789abcdef"},
    ],
)
def test_rule_does_not_fit_otherwise(rule: dict[str, object]) -> None:
    shape = shape_of("SELECT lower(name) FROM public.orders")
    assert find_terms(shape, rules({**rule, "never": True}), "shop", "app") is USUAL


def test_rule_names_a_statement_by_its_id() -> None:
    shape = shape_of("SELECT * FROM orders WHERE id = 1")
    found = find_terms(shape, rules({"query": shape.name(), "tags": ["a"]}), "shop", "app")
    assert found == Terms(tags=frozenset({"a"}))


def test_first_rule_that_fits_counts_and_a_hint_more() -> None:
    listed = rules({"relation": "orders", "never": True}, {"relation": "orders", "ttl": "5s"})
    assert find_terms(shape_of("SELECT * FROM orders"), listed, "", "").refusal == BY_RULE
    hinted = shape_of("/* dbproxy: cache(ttl=9s) */ SELECT * FROM orders")
    assert find_terms(hinted, listed, "", "") == Terms(9.0)


@pytest.mark.parametrize(
    "rule",
    [
        {"relation": "orders"},
        {"query": "x", "never": True},
        {"tags": ["a b"]},
        {"tables": ["orders"]},
        {"tables": [], "functions": ["f"], "user": "app"},
    ],
)
def test_rule_that_says_nothing_or_cannot_be_meant_is_a_mistake(rule: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"rule|tag"):
        CacheRuleSettings.model_validate(rule)
