"""What a gate decides once of each statement: whether its answers are kept, and on which terms."""

from typing import Any

import pytest

from dbproxy.cache.cases import NO_READ, QUARANTINED, SEVERAL, STARTING
from dbproxy.cache.definitions import PERMANENT, TABLE, Definitions, Relation
from dbproxy.cache.entry import Moment
from dbproxy.cache.fence import Fence
from dbproxy.cache.fill import Fill
from dbproxy.cache.gate import SPREAD, CacheGate
from dbproxy.cache.keyring import FOR_HOST, refuse
from dbproxy.cache.memory import Memory
from dbproxy.cache.schema import Schema
from dbproxy.cache.terms import BAD_HINT, BY_RULE, FORBIDDEN
from dbproxy.cache.value import Value
from dbproxy.config.cache import CacheKeys, CacheRuleSettings
from dbproxy.features.mode import Feature
from dbproxy.sql.cache import StatementCache
from dbproxy.sql.identity import Shape


def shape_of(text: str) -> Shape:
    return StatementCache(16).find(text.encode())


def make_gate(*rules: dict[str, Any]) -> CacheGate:
    fence, found = Fence(), Definitions()
    found.add_relation(Relation(1, "public.orders", TABLE, PERMANENT), "orders")
    fence.learn(Schema(found), fence.alterations)
    listed = tuple(map(CacheRuleSettings.model_validate, rules))
    feature = Feature("cache", "on", 100)
    return CacheGate("host/shop", "shop", "app", fence, Memory(1 << 20), feature, CacheKeys(ttl=60), listed)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT * FROM orders", ""),
        ("/* dbproxy: replica */ SELECT * FROM orders", ""),
        ("/* dbproxy: replica(r1) */ SELECT * FROM orders", FOR_HOST),
        ("/* dbproxy: primary */ SELECT * FROM orders", FOR_HOST),
        ("  -- note\n (SELECT 1)", ""),
        ("SHOW search_path", NO_READ),
        ("EXPLAIN SELECT 1", NO_READ),
        ("COPY orders TO STDOUT", NO_READ),
        ("DELETE FROM orders", NO_READ),
        ("SELECT 1; SELECT 2", SEVERAL),
        ("SELECT * FROM gone", 'unknown relation "gone"'),
        ("SELECT 1 /* dbproxy: no-cache */", FORBIDDEN),
        ("SELECT 1 /* dbproxy: cache(x) */", BAD_HINT),
    ],
)
def test_statement_whose_answers_are_not_kept_has_a_reason(text: str, reason: str) -> None:
    assert make_gate().cases.judge(shape_of(text)).reason == reason


def test_while_the_database_is_not_known_none_are_kept() -> None:
    gate = make_gate()
    shape = shape_of("SELECT 1")
    assert gate.cases.judge(shape).reason == ""
    gate.cases.fence.alterations += 1
    assert gate.cases.judge(shape).reason == STARTING


def test_what_was_quarantined_stays_so() -> None:
    gate = make_gate()
    shape = shape_of("SELECT 1")
    gate.cases.quarantined.add(shape.hash)
    assert gate.cases.judge(shape).reason == QUARANTINED


def test_other_rules_count_from_the_next_request_on() -> None:
    gate = make_gate()
    shape = shape_of("SELECT * FROM orders")
    case = gate.cases.judge(shape)
    assert case.reason == ""
    gate.apply(CacheKeys(mode="on"), (CacheRuleSettings(relation="orders", never=True),))
    assert case.knowledge is not gate.cases.fence.knowledge, "it is judged anew"
    assert gate.cases.judge(shape) is case
    assert case.reason == BY_RULE


@pytest.mark.parametrize(
    ("text", "ttl"),
    [
        ("SELECT 1", 60.0),
        ("SELECT * FROM orders", 5.0),
        ("SELECT * FROM orders /* dbproxy: cache(ttl=2s) */", 2.0),
        ("SELECT * FROM orders /* dbproxy: cache */", 60.0),
    ],
)
def test_answer_is_kept_for_as_long_as_its_terms_say(text: str, ttl: float) -> None:
    gate = make_gate({"relation": "orders", "ttl": "5s"})
    case = gate.cases.judge(shape_of(text))
    fill = Fill(b"key", case.shape, Moment(gate.cases.fence, case.tables), 100, gate.land)
    gate.keep(fill, Value(b"", b"x"))
    entry = gate.memory.find(b"key")
    assert entry is not None
    assert ttl * (1 - SPREAD) <= entry.expires_at <= ttl * (1 + SPREAD)


def test_entry_holds_on_to_the_marks_of_its_statement_and_its_tags() -> None:
    gate = make_gate({"relation": "orders", "tags": ["menu"]})
    case = gate.cases.judge(shape_of("SELECT * FROM orders"))
    for name in (f"query {case.shape.name()}", "tag menu"):
        moment = Moment(gate.cases.fence, case.tables)
        assert gate.cases.fence.invalidate_mark(name)
        assert not moment.is_current()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, b""),
        ({"dbproxy.cache": "ON"}, b""),
        ({"dbproxy.cache": ""}, b""),
        ({"dbproxy.cache": "off"}, b"off"),
        ({"dbproxy.cache": "whatever"}, b"off"),
        ({"dbproxy.route": "replica"}, b""),
        ({"dbproxy.route": "primary"}, b"host"),
        ({"dbproxy.route": "replica(r1)"}, b"host"),
        ({"default_transaction_isolation": "SERIALIZABLE"}, b"serializable"),
    ],
)
def test_session_may_have_set_that_it_is_not_answered(settings: dict[str, str], reason: bytes) -> None:
    assert refuse(settings) == reason
