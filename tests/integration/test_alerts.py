"""Alerts fire under the fault that they are about, and are silent without: a real Prometheus reads a real proxy."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.batches import run
from tests.support.faults import Line
from tests.support.hosts import create_hosts, routing
from tests.support.postgres import Database, connect
from tests.support.prometheus import WINDOW, Prometheus, find_program
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.two_servers import open_client

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "dbproxy.json"
POOL_SIZE = 2


@pytest.fixture(autouse=True)
def installed() -> None:
    """Skips before servers are made for nothing."""
    find_program("prometheus")


@pytest.fixture(scope="module")
def breakable() -> Iterator[list[Postgres]]:
    """A primary and two replicas, for the tests of this module to break and mend."""
    with create_hosts() as servers:
        yield servers


def watch(proxy: Proxy) -> Prometheus:
    return Prometheus(f"127.0.0.1:{proxy.http_port}")


@contextmanager
def repeating(dsn: str, *texts: str) -> Iterator[None]:
    """A client that runs these again and again, whatever comes of them."""
    over = threading.Event()

    def run() -> None:
        with psycopg.connect(dsn, autocommit=True) as client:
            while not over.wait(0.005):
                for text in texts:
                    try:
                        client.execute(text)
                    except psycopg.Error:
                        if client.closed:
                            return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def is_ready(proxy: Proxy, wanted: str) -> bool:
    try:
        with urlopen(f"{proxy.http_url}/health/ready?for={wanted}", timeout=10):
            return True
    except HTTPError as error:
        return error.code != 503


def is_busy(prometheus: Prometheus) -> bool:
    """Whether it has seen queries for long enough to judge them."""
    return bool(prometheus.query("dbproxy:queries:rate5m > 1"))


def test_errors_of_servers_fire_and_end_with_them(module_database: Database) -> None:
    with (
        serving(module_database, {"pool.size": POOL_SIZE}) as proxy,
        watch(proxy) as prometheus,
        repeating(proxy.dsn(), "SELECT 1"),
    ):
        prometheus.until(lambda: is_busy(prometheus))
        assert prometheus.firing() == set()
        with repeating(proxy.dsn(), "SELECT 1 / 0"):
            both = {("DbproxyErrorRate", "warning"), ("DbproxyErrorRate", "critical")}
            prometheus.until(lambda: both <= prometheus.firing())
        prometheus.until(lambda: prometheus.firing() == set())


def test_prometheus_reads_with_the_token_and_takes_a_proxy_for_down_without(
    module_database: Database,
) -> None:
    token = "correct-horse-battery"
    with serving(module_database, {"http.token": token}) as proxy:
        address = f"127.0.0.1:{proxy.http_port}"
        with Prometheus(address, token) as prometheus:
            prometheus.until(lambda: prometheus.query("dbproxy_build_info"))
            assert prometheus.firing() == set()
        with Prometheus(address, up=False) as prometheus:
            prometheus.until(lambda: prometheus.firing() == {("DbproxyDown", "critical")})


def test_pool_that_is_used_up_fires_and_so_do_those_who_wait(module_database: Database) -> None:
    with (
        serving(module_database, {"pool.size": POOL_SIZE, "pool.reserve_size": 0}) as proxy,
        watch(proxy) as prometheus,
        ExitStack() as stack,
    ):
        holders = [stack.enter_context(psycopg.connect(proxy.dsn())) for _ in range(POOL_SIZE)]
        for holder in holders:
            holder.execute("SELECT 1")
        used_up = {("DbproxyPoolUtilisation", "warning"), ("DbproxyPoolUtilisation", "critical")}
        prometheus.until(lambda: used_up <= prometheus.firing())
        assert "DbproxyClientsWait" not in {name for name, _ in prometheus.firing()}
        with repeating(proxy.dsn(), "SELECT 1"):
            prometheus.until(lambda: ("DbproxyClientsWait", "warning") in prometheus.firing())
            for holder in holders:
                holder.rollback()
            prometheus.until(lambda: prometheus.firing() == set())


async def test_slow_line_to_the_server_fires_by_how_slow_it_is(module_database: Database) -> None:
    server = module_database.server
    async with Line(server.port) as line:
        url = module_database.dsn.replace(f":{server.port}/", f":{line.port}/")
        async with Proxy(url) as proxy, watch(proxy) as prometheus:

            async def until(condition: Callable[[], object]) -> None:
                await asyncio.to_thread(prometheus.until, condition)

            def fires(*severities: str) -> bool:
                return prometheus.firing() == {("DbproxyQueryLatency", severity) for severity in severities}

            with ExitStack() as stack:
                for _ in range(10):
                    await asyncio.to_thread(stack.enter_context, repeating(proxy.dsn(), "SELECT 1"))
                await until(lambda: is_busy(prometheus))
                assert fires()
                line.down.delay = 0.7
                await until(lambda: fires("warning"))
                line.down.delay = 1.3
                await until(lambda: fires("warning", "critical"))
                line.down.delay = 0
                await until(fires)
                clients = stack.pop_all()
            await asyncio.to_thread(clients.close)


def test_replica_that_stops_replaying_fires_and_leaves(breakable: list[Postgres]) -> None:
    primary, replica, _ = breakable
    with routing(breakable) as proxy, watch(proxy) as prometheus:
        prometheus.until(lambda: prometheus.query("dbproxy:replica_lag:seconds"))
        assert prometheus.firing() == set()
        with connect(replica) as paused, connect(primary) as owner:
            paused.execute("SELECT pg_wal_replay_pause()")
            try:
                owner.execute("CREATE TABLE lagging ()")
                prometheus.until(lambda: prometheus.firing() == {("DbproxyReplicaLag", "warning")})
                found = prometheus.query("ALERTS{alertname='DbproxyReplicaLag'}")
                assert {alert["metric"]["host"] for alert in found} == {"replica1"}
            finally:
                paused.execute("SELECT pg_wal_replay_resume()")
                owner.execute("DROP TABLE lagging")
        prometheus.until(lambda: prometheus.firing() == set())


def test_lost_primary_fires_and_the_proxy_that_is_gone(breakable: list[Postgres]) -> None:
    primary = breakable[0]
    with routing(breakable) as proxy, watch(proxy) as prometheus:
        prometheus.until(lambda: prometheus.query('dbproxy_host_state{role="primary", state="up"}'))
        assert prometheus.firing() == set()
        primary.stop("immediate")
        try:
            lost = {("DbproxyNoPrimary", "critical"), ("DbproxyHostDown", "warning")}
            prometheus.until(lambda: prometheus.firing() == lost)
            assert [is_ready(proxy, wanted) for wanted in ("write", "read")] == [False, True]
        finally:
            primary.start()
        prometheus.until(lambda: prometheus.firing() == set())
        proxy.kill()
        prometheus.until(lambda: prometheus.firing() == {("DbproxyDown", "critical")})
        proxy.start()


def test_every_panel_of_the_dashboard_has_something_to_show(breakable: list[Postgres]) -> None:
    """All but those that say that they show what is not there yet, and those about what did not happen here."""
    quiet = {"Reads that another host answered instead", "Without Redis", "Answers of Redis"}
    quiet |= {"Time left", "What it waits for", "Tried again"}  # of a batch that is done
    settings = {
        "slow_query.threshold": "0s",
        "pool.size": 1,
        "pool.reserve_size": 0,
        "pool.query_wait_timeout": "300ms",
        "limits.mode": "on",
        "cache.mode": "on",
    }
    with routing(breakable, settings) as proxy, watch(proxy) as prometheus, ExitStack() as stack:
        load = ["SELECT 1", "SELECT 1 / 0", "SELECT * FROM items", "CREATE TEMP TABLE IF NOT EXISTS t ()"]
        stack.enter_context(repeating(proxy.dsn(), *load, "DROP TABLE IF EXISTS t"))
        stack.enter_context(repeating(proxy.dsn(), *load))
        stack.enter_context(open_client(proxy.dsn()))
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(proxy.dsn("nowhere"))
        asyncio.run(run(proxy.url, "UPDATE items SET name = name WHERE {chunk}", table="items"))
        with psycopg.connect(proxy.dsn("pgbouncer"), autocommit=True) as console:
            console.execute("SHOW BATCHES")  # so that it is looked for now
        panels = [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]
        later = [panel for panel in panels if "no data" in panel["description"]]
        assert 0 < len(later) < len(panels) / 2
        for panel in panels:
            for target in panel["targets"]:
                expression = fill(target["expr"])
                if panel in later:
                    assert prometheus.query(expression) == [], (panel["title"], expression)
                elif panel["title"] not in quiet:
                    prometheus.until(lambda asked=expression: prometheus.query(asked))


def fill(expression: str) -> str:
    """As Grafana asks."""
    chosen = {"$job": "dbproxy", "$instance": ".*", "$database": ".*", "$__rate_interval": WINDOW}
    for name, value in chosen.items():
        expression = expression.replace(name, value)
    return expression
