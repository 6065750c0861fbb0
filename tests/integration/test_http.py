"""Metrics and health of a proxy that serves real clients, and loses its PostgreSQL."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psycopg
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from dbproxy.demo.postgres import Postgres
from tests.support.postgres import Database, create_database, wait_for_replay
from tests.support.proxy import Proxy
from tests.support.serving import serving

POOL_SIZE = 2


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    with serving(module_database, {"pool.size": POOL_SIZE, "pool.reserve_size": 0}) as running:
        yield running


def scrape(proxy: Proxy) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    with urlopen(f"{proxy.http_url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def health(proxy: Proxy, path: str = "/health/ready") -> tuple[int, dict[str, Any]]:
    try:
        with urlopen(f"{proxy.http_url}{path}", timeout=10) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def test_metrics_agree_with_what_clients_did(proxy: Proxy, module_database: Database) -> None:
    pool = frozenset({("database", module_database.name), ("user", "app")})
    database = frozenset({("database", module_database.name)})
    with psycopg.connect(proxy.dsn(), autocommit=True, prepare_threshold=None) as client:
        client.execute("SELECT 1")
        before = scrape(proxy)
        for _ in range(5):
            client.execute("SELECT 1")
        with pytest.raises(psycopg.errors.DivisionByZero):
            client.execute("SELECT 1 / 0")
        # What its transaction left is asked behind its answer.
        until(lambda: scrape(proxy)["dbproxy_clients", frozenset({("state", "idle")})] == 1)
        after = scrape(proxy)

    def growth(name: str, labels: frozenset[tuple[str, str]]) -> float:
        return after[name, labels] - before[name, labels]

    assert growth("dbproxy_query_duration_seconds_count", pool) == 6
    assert growth("dbproxy_query_duration_seconds_sum", pool) > 0
    assert growth("pgbouncer_stats_queries_pooled_total", database) == 6
    assert growth("dbproxy_errors_total", pool) == 1
    assert growth("dbproxy_logins_total", pool) == 0
    # One more is opened if a statement comes before what the last one left has been asked.
    assert after["pgbouncer_pools_server_idle_connections", pool] in (1, 2)
    assert after["pgbouncer_up", frozenset()] == 1


def test_clients_that_left_are_counted_by_reason(proxy: Proxy) -> None:
    with psycopg.connect(proxy.dsn()):
        pass
    left = (
        "dbproxy_disconnects_total",
        frozenset({("side", "client"), ("reason", "client closed the connection")}),
    )
    until(lambda: scrape(proxy).get(left, 0) >= 1)


def test_slow_query_leaves_its_trace_with_the_bucket_that_counts_it(module_database: Database) -> None:
    trace = "5bd66ef5095369c7b0d1f8f4bd33716a"
    with (
        serving(module_database, {"slow_query.threshold": "50ms"}) as proxy,
        psycopg.connect(proxy.dsn(), autocommit=True) as client,
    ):
        client.execute(f"SELECT pg_sleep(0.1) /*traceparent='00-{trace}-c532cb4098ac3dd2-01'*/")
        request = Request(f"{proxy.http_url}/metrics", headers={"Accept": "application/openmetrics-text"})
        with urlopen(request, timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
            families = list(openmetrics.text_string_to_metric_families(answer.read().decode()))
    (query,) = (family for family in families if family.name == "dbproxy_query_duration_seconds")
    (found,) = (sample for sample in query.samples if sample.exemplar)
    assert found.exemplar.labels == {"trace_id": trace}
    assert 0.1 <= found.exemplar.value <= float(found.labels["le"])


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_health_follows_the_primary(own_primary: Postgres) -> None:
    settings = {"pool.server_login_retry": "200ms"}
    with (
        create_database(own_primary) as database,
        serving(database, settings) as proxy,
        psycopg.connect(proxy.dsn(), autocommit=True) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        assert health(proxy)[0] == 200
        own_primary.stop("immediate")
        waiting = pool.submit(client.execute, "SELECT 1")
        try:
            until(lambda: health(proxy)[0] == 503)
            assert str(own_primary.port) in health(proxy)[1]["reason"]
            assert health(proxy, "/health")[0] == 200
            until(lambda: degraded(proxy) >= {("host primary", "down")})
            (told,) = health(proxy, "/health/detailed")[1]["hosts"]
            assert (told["name"], told["state"], told["role"]) == ("primary", "down", "unknown")
        finally:
            own_primary.start()
        assert waiting.result(20).fetchone() == (1,)
        until(lambda: health(proxy)[1]["status"] == "ok")
        until(lambda: degraded(proxy) == set())


def degraded(proxy: Proxy) -> set[tuple[str, str]]:
    return {(one["what"], one["kind"]) for one in health(proxy, "/health/detailed")[1]["degraded"]}


def test_primary_that_becomes_a_standby_serves_reads_alone(own_primary: Postgres) -> None:
    with (
        own_primary.create_replica("standby") as standby,
        create_database(own_primary) as database,
    ):
        wait_for_replay(own_primary, standby)
        url = standby.dsn(database.name, database.user, database.password)
        with serving(database, url=url) as proxy:
            assert health(proxy, "/health/ready?for=read")[0] == 200
            status, answer = health(proxy)
            assert (status, answer["read"]["ready"]) == (503, True)
            assert answer["reason"] == "no host takes writes (primary is a replica)"
            standby.promote()
            until(lambda: health(proxy, "/health/ready?for=write")[0] == 200)


def test_clients_that_wait_are_seen_with_their_pool(proxy: Proxy, module_database: Database) -> None:
    holders = [psycopg.connect(proxy.dsn()) for _ in range(POOL_SIZE)]
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        for holder in holders:
            stack.enter_context(holder)
            holder.execute("SELECT 1")
        waiter = stack.enter_context(psycopg.connect(proxy.dsn(), autocommit=True))
        answer = pool.submit(waiter.execute, "SELECT 1")
        what = f"pool {module_database.name}/app on primary"
        until(lambda: (what, "waiting") in degraded(proxy))
        told = health(proxy, "/health/detailed")[1]
        assert (told["status"], told["queues"]["clients"]["server"]) == ("degraded", 1)
        assert told["pools"]["listed"][0]["waiting"] == 1
        for holder in holders:
            holder.rollback()
        assert answer.result(20).fetchone() == (1,)


def test_http_beyond_this_machine_without_a_token_is_refused_at_start(module_database: Database) -> None:
    with pytest.raises(AssertionError, match="did not start \\(exit code 2\\)") as raised:
        Proxy(module_database.dsn, settings={"http.host": "0.0.0.0"}).__enter__()
    assert "needs a token: set http.token (DBPROXY_HTTP__TOKEN)" in str(raised.value)


def test_secret_of_http_is_asked_for_and_shown_nowhere(module_database: Database) -> None:
    token = "correct-horse-battery"
    given = {"http.host": "0.0.0.0", "http.token": token, "auth.admin_users": "app"}
    with serving(module_database, given) as proxy:
        assert health(proxy, "/metrics-of-old")[0] == health(proxy, "/health/detailed")[0] == 401
        assert health(proxy)[0] == 200
        request = Request(f"{proxy.http_url}/metrics", headers={"Authorization": f"Bearer {token}"})
        with urlopen(request, timeout=10) as answer:
            assert token not in answer.read().decode()
        with psycopg.connect(proxy.dsn("dbproxy"), autocommit=True) as console:
            rows = console.execute("SHOW CONFIG").fetchall()
        assert [row[1] for row in rows if row[0] == "http.token"] == ["***"]
        assert token not in str(rows)
        assert token not in proxy.log()
