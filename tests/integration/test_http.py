"""Metrics and health of a proxy that serves real clients, and loses its PostgreSQL."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.error import HTTPError
from urllib.request import urlopen

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dbproxy.demo.postgres import Postgres
from tests.support.postgres import Database, create_database
from tests.support.proxy import Proxy
from tests.support.serving import serving


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    with serving(module_database, {"pool.size": 2}) as running:
        yield running


def scrape(proxy: Proxy) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    with urlopen(f"{proxy.http_url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def health(proxy: Proxy) -> tuple[int, dict]:
    try:
        with urlopen(f"{proxy.http_url}/health", timeout=10) as answer:
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
    assert after["pgbouncer_pools_server_idle_connections", pool] == 1
    assert after["pgbouncer_up", frozenset()] == 1


def test_clients_that_left_are_counted_by_reason(proxy: Proxy) -> None:
    with psycopg.connect(proxy.dsn()):
        pass
    left = (
        "dbproxy_disconnects_total",
        frozenset({("side", "client"), ("reason", "client closed the connection")}),
    )
    until(lambda: scrape(proxy).get(left, 0) >= 1)


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
            assert f"127.0.0.1:{own_primary.port}" in health(proxy)[1]["reason"]
        finally:
            own_primary.start()
        assert waiting.result(20).fetchone() == (1,)
        assert health(proxy)[1]["status"] == "ok"
