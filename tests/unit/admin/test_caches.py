"""SHOW CACHE and its like, INVALIDATE CACHE, EXPLAIN CACHE and `/cache`, of gates without a proxy."""

import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from dbproxy.admin.cache_command import CacheOrder, CacheQuestion, CacheReport
from dbproxy.admin.cache_explain import explain_cache
from dbproxy.admin.cache_figures import LEAST, cache_figures
from dbproxy.admin.caches import ALL, invalidate, show_cache, show_report
from dbproxy.cache.definitions import PERMANENT, TABLE, Definitions, Key, Relation
from dbproxy.cache.entry import Entry, Moment
from dbproxy.cache.fence import Fence
from dbproxy.cache.gate import CacheGate
from dbproxy.cache.schema import Schema
from dbproxy.cache.value import Value
from dbproxy.config.cache import CacheKeys, CacheRuleSettings
from dbproxy.demo.postgres import free_port
from dbproxy.errors import CommandFailed
from dbproxy.features.mode import Feature
from dbproxy.sql.cache import StatementCache
from tests.unit.admin.house import FakeHouse, records, settings
from tests.unit.admin.test_http import fetch

ORDERS = b"SELECT count(*) FROM orders"


@dataclass
class Keeping:
    """One database and user whose answers are kept, in a house."""

    house: FakeHouse
    gate: CacheGate

    def keep(self, text: bytes, hits: int = 0, misses: int = 1, expires_at: float = 1e12) -> Entry:
        case = self.gate.cases.judge(StatementCache(16).find(text))
        case.hits, case.misses = hits, misses
        moment = Moment(self.gate.cases.fence, case.tables)
        entry = Entry(text, Value(b"", b"x" * 100), moment, case.shape, 0.5, expires_at)
        self.house.caches.memory.keep(entry)
        return entry

    def explain(self, text: str, database: str = "") -> str:
        lines = records(explain_cache(self.house, CacheQuestion(database, text)))
        return "\n".join(line["cache"] for line in lines)


@pytest.fixture
def keeping() -> Keeping:
    house = FakeHouse(settings(DBPROXY_HTTP__PORT=str(free_port())))
    fence = Fence()
    found = Definitions()
    orders = Relation(1, "public.orders", TABLE, PERMANENT)
    found.add_relation(orders, "orders")
    found.add_relation(
        Relation(2, "public.customers", TABLE, PERMANENT, keys=[Key(orders, "c", "a")]), "customers"
    )
    fence.learn(Schema(found), fence.alterations)
    rules = (CacheRuleSettings(relation="customers", tags=("people",), ttl="5m"),)
    feature = Feature("cache", "on", 100)
    gate = CacheGate(
        "host/shop", "shop", "app", fence, house.caches.memory, feature, CacheKeys(mode="on"), rules
    )
    house.caches.gates["tenant"] = gate
    house.caches.watched["host/shop"] = SimpleNamespace(fence=fence, writers=None)
    return Keeping(house, gate)


async def report(house: FakeHouse, what: str, most: int = 0) -> list[dict[str, Any]]:
    return records(await show_report(house, CacheReport(what, most)))


def test_each_user_has_a_row_and_all_have_one(keeping: Keeping) -> None:
    tally = keeping.gate.tally
    tally.outcomes.update(hit=6, would_hit=1, verified=1, miss=2)
    tally.bypass("no read")
    tally.saved = 1.25
    keeping.keep(ORDERS)
    one, every = records(show_cache(keeping.house))
    assert (one["database"], one["user"], one["mode"], one["hit_rate"]) == ("shop", "app", "on", "80.0")
    assert (one["hits"], one["misses"], one["bypassed"], one["saved_s"]) == (6, 2, 1, "1.250")
    assert (every["user"], every["hits"], every["entries"], one["entries"]) == (ALL, 6, 1, None)


async def test_table_is_told_with_what_reads_it(keeping: Keeping) -> None:
    keeping.keep(ORDERS, hits=1, misses=3)
    keeping.keep(b"SELECT * FROM orders, customers", hits=5, misses=1)
    keeping.keep(b"SELECT 2", expires_at=0)
    rows = {row["table"]: row for row in await report(keeping.house, "tables")}
    orders, customers = rows["public.orders"], rows["public.customers"]
    assert (orders["hits"], orders["misses"], orders["entries"], orders["hit_rate"]) == (6, 4, 2, "60.0")
    assert (customers["hits"], customers["misses"], customers["entries"]) == (5, 1, 1)
    keeping.gate.cases.fence.invalidate([1])
    rows = {row["table"]: row for row in await report(keeping.house, "tables")}
    assert (rows["public.orders"]["entries"], rows["public.orders"]["invalidations"]) == (0, 1)


@pytest.mark.parametrize(
    ("hits", "misses", "verdict"),
    [(LEAST, LEAST, ""), (LEAST // 5, LEAST, "not worth it"), (1, 5, "")],
)
async def test_table_with_a_low_hit_rate_is_not_worth_it(
    keeping: Keeping, hits: int, misses: int, verdict: str
) -> None:
    keeping.keep(ORDERS, hits, misses)
    (row,) = (row for row in await report(keeping.house, "tables") if row["table"] == "public.orders")
    assert row["verdict"] == verdict


async def test_statement_is_told_with_its_tables_and_tags(keeping: Keeping) -> None:
    entry = keeping.keep(b"SELECT * FROM customers", hits=3)
    keeping.keep(ORDERS, hits=9)
    first, second = await report(keeping.house, "queries")
    assert (first["statement"], first["hits"]) == (ORDERS.decode(), 9)
    assert (second["id"], second["tables"], second["tags"]) == (
        entry.shape.name(),
        "public.customers",
        "people",
    )
    assert (second["entries"], second["bytes"], second["hit_rate"]) == (1, entry.size, "75.0")
    assert len(await report(keeping.house, "queries", 1)) == 1


async def test_reasons_are_told_commonest_first(keeping: Keeping) -> None:
    for reason in ("no read", "several statements", "no read"):
        keeping.gate.tally.bypass(reason)
    rows = await report(keeping.house, "bypass")
    assert [(row["reason"], row["count"]) for row in rows] == [("no read", 2), ("several statements", 1)]


@pytest.mark.parametrize(
    ("what", "name", "ended"),
    [
        ("all", "", {"orders", "customers"}),
        ("table", "orders", {"orders"}),
        ("table", "public.customers", {"customers"}),
        ("tag", "people", {"customers"}),
        ("query", StatementCache(16).find(ORDERS).name(), {"orders"}),
    ],
)
def test_what_is_invalidated_is_not_current_any_more(
    keeping: Keeping, what: str, name: str, ended: set[str]
) -> None:
    entries = {"orders": keeping.keep(ORDERS), "customers": keeping.keep(b"SELECT * FROM customers")}
    assert "not given any more" in invalidate(keeping.house, CacheOrder(what, name, "shop"))
    assert keeping.house.caches.flushes == 1  # in Redis, nothing is told apart
    assert {name for name, entry in entries.items() if not entry.moment.is_current()} == ended


@pytest.mark.parametrize(
    ("what", "name", "database"),
    [("table", "gone", ""), ("tag", "gone", ""), ("query", "0" * 16, ""), ("all", "", "gone")],
)
def test_what_is_not_there_cannot_be_invalidated(
    keeping: Keeping, what: str, name: str, database: str
) -> None:
    with pytest.raises(CommandFailed, match="no"):
        invalidate(keeping.house, CacheOrder(what, name, database))


@pytest.mark.parametrize("what", ["tag", "query"])
def test_what_only_others_have_is_forgotten_by_redis(keeping: Keeping, what: str) -> None:
    keeping.house.caches.tier = SimpleNamespace()
    assert "none are this proxy's" in invalidate(keeping.house, CacheOrder(what, "0" * 16, ""))
    assert keeping.house.caches.flushes == 1
    with pytest.raises(CommandFailed, match="no table"):
        invalidate(keeping.house, CacheOrder("table", "gone", ""))


def test_explained_is_what_ends_an_answer(keeping: Keeping) -> None:
    told = keeping.explain("SELECT * FROM orders")
    assert "can be kept, for 60s" in told or "can be kept, for 1m" in told
    assert "It depends on public.orders." in told
    assert "foreign keys pass on, in public.customers." in told
    assert "nobody has asked for it yet" in told
    told = keeping.explain("SELECT * FROM customers")
    assert "for 5m." in told
    assert "INVALIDATE CACHE TAG does, too: people." in told


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("SELECT * FROM gone", 'unknown relation "gone"'),
        ("SELECT now()", "depends on the time"),
        ("SELECT 1 /* dbproxy: cache(ttl) */", "ttl is neither ttl nor tags"),
        ("SELECT * FROM orders WHERE id = 'now'", "clock"),
        ("DELETE FROM customers", "answers that depend on public.customers, public.orders."),
        ("BEGIN", "invalidates nothing"),
        ("DROP TABLE orders", "invalidates all"),
    ],
)
def test_explained_is_why_an_answer_is_not_kept(keeping: Keeping, text: str, why: str) -> None:
    assert why in keeping.explain(text)


def test_nobody_is_answered_so_in_another_database(keeping: Keeping) -> None:
    assert keeping.explain("SELECT 1", "other").startswith("No answers of other are kept")


async def test_page_has_all_of_it(keeping: Keeping) -> None:
    keeping.gate.tally.bypass("no read")
    keeping.keep(ORDERS, hits=2)
    status, _, text = await fetch(keeping.house, "/cache?limit=10")
    found = json.loads(text)
    assert (status, found["entries"], found["users"][0]["user"]) == (200, {"memory": 1}, "app")
    assert found["queries"][0]["hits"] == 2
    assert found["reasons"] == [{"database": "shop", "user": "app", "reason": "no read", "count": 1}]
    assert "public.orders" in [table["name"] for table in found["tables"]]
    assert (await fetch(keeping.house, "/cache?limit=all"))[0] == 400


async def test_two_names_of_one_database_are_counted_once(keeping: Keeping) -> None:
    keeping.gate.cases.fence.invalidate([1])
    keeping.house.caches.watched["alias/shop"] = SimpleNamespace(fence=keeping.gate.cases.fence)
    assert cache_figures(keeping.house.caches).invalidations["other"] == 1
    rows = await report(keeping.house, "tables")
    assert [row["table"] for row in rows].count("public.orders") == 1
