"""What operators see and do about kept answers: console, command line, HTTP, metrics, hints, rules; a story each."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from urllib.request import urlopen

import psycopg
import pytest

from tests.integration.test_console import Row, show, until
from tests.integration.test_console import connect as console
from tests.support.postgres import Database, connect
from tests.support.proxy import Proxy
from tests.support.serving import serving

SETTINGS = {"cache.mode": "on", "cache.verify": 0}
CONFIG = """
[auth]
type = "trust"
admin_users = ["app"]

[[cache.rules]]
relation = "secrets"
never = true

[[cache.rules]]
functions = ["recent_orders"]
tables = ["orders"]

[[cache.rules]]
relation = "items"
ttl = "5m"
tags = ["catalog"]
"""
SCHEMA = """
CREATE TABLE customers (id int PRIMARY KEY);
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers ON DELETE CASCADE);
CREATE TABLE items (id int, name text);
CREATE TABLE secrets (id int);
CREATE VIEW open_orders AS SELECT orders.id FROM orders JOIN items ON items.id = orders.id;
CREATE FUNCTION recent_orders() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM orders); END';
CREATE FUNCTION opaque() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
"""
ORDERS = "SELECT count(*) FROM orders"


@pytest.fixture
def proxy(database: Database) -> Iterator[Proxy]:
    with connect(database.server, database.name) as owner:
        owner.execute(SCHEMA)
    with serving(database, SETTINGS, config=CONFIG) as running:
        with enter(running), console(running) as admin:
            until(lambda: "being read" not in explain(admin, ORDERS))
        yield running


def enter(proxy: Proxy) -> psycopg.Connection:
    return psycopg.connect(proxy.dsn(), autocommit=True, prepare_threshold=None)


def explain(admin: psycopg.Connection[Row], text: str) -> str:
    return "\n".join(str(row["cache"]) for row in admin.execute(f"EXPLAIN CACHE {text}").fetchall())


def totals(admin: psycopg.Connection[Row]) -> Row:
    return show(admin, "CACHE")[-1]


def hits(proxy: Proxy, text: str, times: int = 2) -> int:
    """How many of so many requests were answered from what is kept, the first after all others have left."""
    with console(proxy) as admin:
        before = totals(admin)["hits"]
        for _ in range(times):
            with enter(proxy) as client:
                client.execute(text)
        return int(totals(admin)["hits"]) - int(before)


def row_of(rows: list[Row], **wanted: object) -> Row:
    return next(row for row in rows if all(row[name] == value for name, value in wanted.items()))


def run(proxy: Proxy, *words: str, code: int = 0) -> str:
    """`dbproxy cache …`, against this proxy."""
    command = [sys.executable, "-m", "dbproxy", "cache", *words]
    command += ["--host", proxy.host, "--port", str(proxy.port), "--user", "app"]
    environment = {**os.environ, **proxy.environment}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def fetch(proxy: Proxy, path: str) -> str:
    with urlopen(proxy.http_url + path, timeout=10) as answer:
        return str(answer.read().decode())


def test_console_shows_what_became_of_requests(proxy: Proxy) -> None:
    assert hits(proxy, ORDERS, 5) == 4
    assert hits(proxy, "SELECT count(*) FROM open_orders", 2) == 1
    assert hits(proxy, "SELECT opaque()", 3) == 0
    with console(proxy) as admin:
        row = row_of(show(admin, "CACHE"), user="app")
        assert (row["mode"], row["percent"], row["hits"], row["misses"]) == ("on", 100, 5, 2)
        assert (row["kept"], row["mismatches"], float(row["hit_rate"])) == (2, 0, 71.4)
        assert (totals(admin)["hits"], totals(admin)["entries"]) == (5, 2)
        assert totals(admin)["bytes"] > 1000
        tables = show(admin, "CACHE TABLES")
        orders = row_of(tables, table="public.orders")
        assert (orders["entries"], orders["hits"], orders["misses"]) == (2, 5, 2)
        assert row_of(tables, table="public.items")["entries"] == 1
        found = row_of(show(admin, "CACHE QUERIES"), statement="SELECT count(*) FROM orders")
        assert (found["hits"], found["misses"], found["entries"]) == (4, 1, 1)
        assert (found["tables"], found["quarantined"]) == ("public.orders", "no")
        assert re.fullmatch("[0-9a-f]{16}", str(found["id"]))
        listed = show(admin, "QUERIES LIMIT 100")
        roles = {row["role"]: row["calls"] for row in listed if row["text"] == found["statement"]}
        assert roles == {"primary": 1, "cache": 4}
        assert found["id"] in [row["id"] for row in listed]
        bypass = row_of(
            show(admin, "CACHE BYPASS"), reason='function "public.opaque" is volatile, in plpgsql'
        )
        assert bypass["count"] == 3


def test_a_table_that_is_written_all_the_time_is_told_not_to_be_worth_it(proxy: Proxy) -> None:
    for number in range(51):
        with enter(proxy) as client:
            client.execute(ORDERS)
            client.execute(ORDERS)
        with enter(proxy) as client:
            client.execute("INSERT INTO customers VALUES (%s)", [number])
            client.execute("INSERT INTO orders VALUES (%s, %s)", [number, number])
        with enter(proxy) as client:
            client.execute("SELECT count(*) FROM orders WHERE id < 0")
    with console(proxy) as admin:
        orders = row_of(show(admin, "CACHE TABLES"), table="public.orders")
        assert orders["misses"] >= 100
        assert orders["invalidations"] >= 51
        assert (orders["verdict"] == "not worth it") == (float(orders["hit_rate"]) < 30)


def test_operator_has_answers_forgotten(proxy: Proxy, database: Database) -> None:
    """By table, by tag, by statement, all of them: others stay."""
    items, tagged = "SELECT count(*) FROM items", f"/* dbproxy: cache(tags=a b, ttl=1h) */ {ORDERS}"
    texts = (ORDERS, items, tagged)

    def warm() -> None:
        for text in texts:
            hits(proxy, text)

    def kept() -> list[int]:
        return [hits(proxy, text, 1) for text in texts]

    notices: list[str] = []
    with console(proxy) as admin:
        admin.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
        identifier = (
            row_of(show(admin, "CACHE QUERIES"), statement=ORDERS)["id"] if hits(proxy, ORDERS) else ""
        )
        for order, left in (
            ("TABLE orders", [0, 1, 0]),
            ("TABLE public.items", [1, 0, 1]),
            ("TAG b", [1, 1, 0]),
            ("TAG catalog", [1, 0, 1]),
            (f"QUERY {identifier}", [0, 1, 1]),
            ("ALL", [0, 0, 0]),
            (database.name, [0, 0, 0]),
        ):
            warm()
            admin.execute(f"INVALIDATE CACHE {order}")
            assert kept() == left, order
        assert notices[0] == "answers that depend on orders: what was kept until now is not given any more"
        for order in ("TABLE nowhere", "TAG nothing", "QUERY 0123456789abcdef", "ALL nobody"):
            with pytest.raises(psycopg.Error, match=r"there (is|are) no|no answers"):
                admin.execute(f"INVALIDATE CACHE {order}")
    assert {line["what"] for line in proxy.log_lines() if line["event"] == "cache invalidated"} == {
        "table", "tag", "query", "all",
    }  # fmt: skip


def test_explain_says_what_an_answer_depends_on(proxy: Proxy) -> None:
    with console(proxy) as admin:
        told = explain(admin, '"SELECT * FROM open_orders"')
        assert "can be kept, for 5m" not in told, "the rule is of the table, not of the view"
        assert "It depends on public.items, public.orders." in told
        assert "foreign keys pass on, in public.customers." in told
        assert "can be kept, for 5m." in explain(admin, "SELECT * FROM items")
        assert "a rule says never" in explain(admin, "SELECT * FROM secrets")
        assert "It depends on public.orders." in explain(admin, "SELECT recent_orders()")
        assert 'opaque" is volatile' in explain(admin, "SELECT opaque()")
        assert "depends on the time" in explain(admin, "SELECT now()")
        assert "read by the clock" in explain(admin, "SELECT * FROM items WHERE name = 'today'")
        assert "answers that depend on public.customers, public.orders." in explain(
            admin, "DELETE FROM customers"
        )
        assert "invalidates all that is kept" in explain(admin, "DO $$ BEGIN END $$")
        bad = explain(admin, "SELECT 1 /* dbproxy: cache(ttl=soon) */")
        assert "its hint cannot be read" in bad
        assert "must be a duration" in bad
    assert "It depends on public.orders." in run(proxy, "explain", ORDERS)


def test_command_line_shows_forgets_and_proves(proxy: Proxy) -> None:
    hits(proxy, ORDERS, 3)
    told = run(proxy, "stats")
    assert "public.orders" in told
    assert json.loads(run(proxy, "stats", "--format", "json"))[-1]["hits"] == 2
    assert run(proxy, "invalidate", "--table", "orders").startswith("answers that depend on orders")
    assert hits(proxy, ORDERS, 1) == 0
    run(proxy, "invalidate", code=2)
    assert "0 were not the same" in run(proxy, "verify", "--for", "10ms")
    with console(proxy) as admin:
        assert row_of(show(admin, "CONFIG"), key="cache.verify")["value"] in ("0", "0.0")


def test_hints_say_what_is_kept(proxy: Proxy) -> None:
    assert hits(proxy, f"{ORDERS} /* dbproxy: no-cache */") == 0
    assert hits(proxy, f"/* dbproxy: cache */ {ORDERS}") == 1
    assert hits(proxy, "/* dbproxy: cache */ SELECT * FROM secrets") == 1, "it counts more than a rule"
    assert hits(proxy, "SELECT * FROM secrets") == 0
    assert hits(proxy, "SELECT recent_orders()") == 1
    assert hits(proxy, f"/* dbproxy: cache(ttl) */ {ORDERS}", 3) == 0
    (line,) = (line for line in proxy.log_lines() if line["event"] == "cache hint not understood")
    assert (line["level"], line["error"]) == ("warning", "ttl is neither ttl nor tags")


def test_function_that_is_vouched_for_is_over_with_its_tables(proxy: Proxy) -> None:
    text = "SELECT recent_orders()"
    assert hits(proxy, text) == 1
    with enter(proxy) as client:
        client.execute("INSERT INTO customers VALUES (1)")
        client.execute("INSERT INTO orders VALUES (1, 1)")
    with enter(proxy) as client:
        assert client.execute(text).fetchone() == (1,)


def test_session_turns_it_off(proxy: Proxy) -> None:
    hits(proxy, ORDERS)
    with console(proxy) as admin:
        before = totals(admin)["hits"]
        with enter(proxy) as client:
            client.execute("SET dbproxy.cache = 'off'")
            with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"dbproxy\.cache is on or off"):
                client.execute("SET dbproxy.cache = 'maybe'")

            def told() -> bool:
                client.execute(ORDERS)  # not asked about while its server is asked what SET has left
                return any(
                    row["reason"] == "the session has turned it off" for row in show(admin, "CACHE BYPASS")
                )

            until(told)
        assert totals(admin)["hits"] == before


def test_http_and_metrics_tell_of_it(proxy: Proxy) -> None:
    hits(proxy, ORDERS, 3)
    hits(proxy, "SELECT * FROM nowhere", 0)
    found = json.loads(fetch(proxy, "/cache"))
    assert found["users"][0]["requests"]["hit"] == 2
    assert row_of(found["tables"], name="public.orders")["hits"] == 2
    assert row_of(found["queries"], statement=ORDERS)["entries"] == 1
    assert json.loads(fetch(proxy, "/health/detailed"))["cache"]["entries"]["memory"] == 1
    metrics = fetch(proxy, "/metrics")
    assert re.search(r'dbproxy_cache_requests_total\{[^}]*outcome="hit"[^}]*\} 2', metrics)
    assert re.search(r'dbproxy_cache_entries\{tier="memory"\} 1', metrics)
    assert re.search(r'dbproxy_cache_invalidations_total\{source="catalog"\} [1-9]', metrics)
    assert "dbproxy_cache_saved_seconds_total" in metrics


def test_off_observe_on_and_back_while_it_runs(proxy: Proxy) -> None:
    with console(proxy) as admin:
        admin.execute("SET cache = 'off'")
        assert hits(proxy, ORDERS, 3) == 0
        admin.execute("SET cache = 'observe'")
        assert hits(proxy, ORDERS, 3) == 0
        assert totals(admin)["would_hits"] == 2
        admin.execute("SET cache = 'on'")
        assert hits(proxy, ORDERS, 3) == 3


def test_nothing_is_told_where_nobody_is_answered_so(database: Database) -> None:
    with serving(database, {}) as proxy, console(proxy) as admin:
        assert totals(admin)["mode"] == "off"
        assert "cache.mode is off" in explain(admin, "SELECT 1")
        assert "dbproxy_cache" not in fetch(proxy, "/metrics")


def test_rule_that_is_new_counts_after_a_reload(proxy: Proxy) -> None:
    assert hits(proxy, "SELECT opaque()") == 0
    assert hits(proxy, ORDERS) == 1
    more = '[[cache.rules]]\nfunctions = ["opaque"]\ntables = []\n[[cache.rules]]\nrelation = "orders"\nnever = true\n'
    with console(proxy) as admin:
        proxy.config_path.write_text(CONFIG + more)
        admin.execute("RELOAD")
        assert "a rule says never" in explain(admin, ORDERS)
        until(lambda: "It depends on no table" in explain(admin, "SELECT opaque()"))
        assert hits(proxy, "SELECT opaque()") == 1
        proxy.config_path.write_text(CONFIG)
        admin.execute("RELOAD")
        until(lambda: 'opaque" is volatile' in explain(admin, "SELECT opaque()"))
        assert hits(proxy, "SELECT opaque()") == 0
