"""A day in the life of a proxy: what befalls it is seen in log, metrics, console, page and alert, and the five agree.

One test, whose chapters follow each other on one stage: a primary, two replicas, clients who read and write all day, a
real Prometheus, and an operator who looks. Figures are compared while the clients pause: nothing moves then.
"""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.browser import CHROMIUM, open_browser
from tests.support.hosts import create_hosts, routing
from tests.support.load import READ, Load
from tests.support.operator import Operator
from tests.support.postgres import connect
from tests.support.prometheus import Prometheus, find_program
from tests.support.proxy import Proxy

pytestmark = pytest.mark.timeout(240)
POOL_SIZE = 3
SETTINGS = {
    "pool.size": POOL_SIZE,
    "pool.reserve_size": 0,
    "pool.query_wait_timeout": "12s",
    "slow_query.threshold": "250ms",
    "health.interval": "1s",
    "health.timeout": "500ms",
    "health.failure_threshold": 2,
    "health.lag_warn": "2s",
    "health.lag_limit": "4s",
    "routing.hedge_after": "0",  # each slow report stays where it is: what leaves a slow host is tested by itself
}
REPORT, REPORT_SHOWN = "SELECT pg_sleep(0.6), 'report'", "SELECT pg_sleep($?), $?"
FENCED = "host fenced: it takes writes, but is not the primary"
OURS = "dbproxy"  # what errands of the proxy's own are called
WRITER = "UPDATE items SET name = 'held' WHERE id = %s"


@dataclass(frozen=True)
class Day:
    """The stage."""

    primary: Postgres
    replicas: list[Postgres]
    proxy: Proxy
    load: Load
    operator: Operator

    @property
    def database(self) -> str:
        return self.proxy.url.rpartition("/")[2]

    def client(self, name: str) -> psycopg.Connection:
        return psycopg.connect(
            self.proxy.dsn(), autocommit=True, prepare_threshold=None, application_name=name
        )


@pytest.fixture
def day() -> Iterator[Day]:
    find_program("prometheus")
    with (
        create_hosts() as hosts,
        routing(hosts, SETTINGS) as proxy,
        Prometheus(f"127.0.0.1:{proxy.http_port}") as prometheus,
        Operator(proxy, prometheus) as operator,
        Load(proxy.dsn(), 3) as load,
    ):
        try:
            yield Day(hosts[0], hosts[1:], proxy, load, operator)
        finally:
            hosts[0].start()  # for what is tidied up there


def test_day(day: Day) -> None:
    all_is_well(day)
    slow_query_appears(day)
    pool_fills(day)
    replica_lags_and_leaves(day)
    primary_fails_over(day)
    old_primary_comes_back(day)
    assert_page_tells_the_day_as_the_log_does(day)


# --- the chapters ---


def all_is_well(day: Day) -> None:
    """Who is there, and what was asked."""
    operator, load = day.operator, day.load
    operator.until(lambda: operator.scraped("dbproxy:queries:rate5m > 1"))
    assert operator.prometheus.firing() == set()
    assert operator.json("/health/ready")["status"] == "ok"
    with load.paused():
        assert_agreed(day)
        clients = {line["client"] for line in operator.log("client login")}
        clients -= {line["client"] for line in operator.log("client disconnected")}
        assert {row["id"] for row in operator.show("CLIENTS", database=day.database)} == clients
        assert operator.page()["proxy"]["clients"]["idle"] == len(clients)
        assert operator.metric("dbproxy_clients", state="idle") == len(clients)
        found = find_statement(day, READ.replace("%s", "$1"))
        assert sum(row["calls"] for row in found) == load.reads
    assert operator.log("slow query") == []


def slow_query_appears(day: Day) -> None:
    """A report that somebody has deployed: 3 of 10 queries are slow now."""
    operator = day.operator
    with reports(day, 3) as done:
        operator.until(lambda: operator.alerts("DbproxyQueryLatency"))
        (alert,) = operator.alerts("DbproxyQueryLatency")
        assert (alert["database"], alert["severity"]) == (day.database, "warning")
    with day.load.paused():
        lines = operator.log("slow query", statement=REPORT_SHOWN)
        assert len(lines) == len(done)
        (identifier,) = {line["query"] for line in lines}
        durations = [round(1000 * line["duration_ms"]) for line in lines]
        rows = operator.show("QUERIES LIMIT 100", id=identifier)
        assert {row["text"] for row in rows} == {REPORT_SHOWN}
        assert sum(row["calls"] for row in rows) == len(done)
        assert abs(sum(row["total_us"] for row in rows) - sum(durations)) <= len(
            durations
        )  # a microsecond each
        assert abs(max(row["max_us"] for row in rows) - max(durations)) <= 1
        told = operator.json("/metrics/queries?limit=0")["queries"]
        assert [row for row in told if row["id"] == identifier] == [without_window(row) for row in rows]
        operator.until(lambda: all(is_on_page(operator, row) for row in rows))
        slow = len(operator.log("slow query"))  # also what had to wait for a server that ran a report
        assert operator.metric("dbproxy_slow_queries_total", database=day.database) == slow
        operator.until(lambda: operator.scraped("sum(dbproxy_slow_queries_total)") == slow)
        assert_agreed(day)
    operator.until(lambda: operator.prometheus.firing() == set())


def pool_fills(day: Day) -> None:
    """Three transactions keep all that may write; two clients wait for one, until they have waited for too long."""
    operator, primary = day.operator, {"database": day.database, "host": "primary"}
    failures: list[psycopg.Error] = []

    def wait(number: int) -> None:
        with day.client(f"shop {number}") as client:
            try:
                client.execute(WRITER, [50])
            except psycopg.Error as error:
                failures.append(error)

    with ExitStack() as stack:
        stack.enter_context(day.load.paused())
        holders = [stack.enter_context(day.client("batch")) for _ in range(POOL_SIZE)]
        for number, holder in enumerate(holders):
            holder.execute("BEGIN")
            holder.execute(WRITER, [number])
        waiting = [Thread(target=wait, args=[number]) for number in range(2)]
        for thread in waiting:
            thread.start()
        operator.until(lambda: agree(count_waiting(day), at_least=2))
        waits = operator.show("WAITS", **primary)
        held = operator.show("HOLDERS", **primary)
        assert {row["application_name"] for row in waits} - {OURS} == {"shop 0", "shop 1"}
        assert operator.metric("dbproxy_pool_servers", state="active", **primary) == len(held) == POOL_SIZE
        assert {row["holder"] for row in waits} == {row["client"] for row in held}
        assert {row["holder_application_name"] for row in waits} == {"batch"}
        assert {row["holder_state"] for row in waits} == {"idle in transaction"}
        assert {row["holder_statement"] for row in waits} == {"UPDATE items SET name = $? WHERE id = $1"}
        operator.until(lambda: len(operator.alerts("DbproxyPoolUtilisation")) == 2)
        assert {alert["host"] for alert in operator.alerts("DbproxyPoolUtilisation")} == {"primary"}
        operator.until(lambda: operator.alerts("DbproxyClientsWait"))
        for thread in waiting:
            thread.join()
        lines = operator.log(
            "clients waited in vain", limit="query_wait_timeout"
        )  # one for each look at the pool
        refused = operator.log("request refused", sqlstate="53300")
    assert {line["host"] for line in lines} == {"primary"}
    assert sum(line["refused"] for line in lines) == 2
    clients = [client for line in lines for client in line["clients"]]
    assert sorted(clients) == sorted(row["client"] for row in refused)
    assert set(clients) == {row["client"] for row in waits if row["application_name"] != OURS}
    told_by_lines = [line["holders"] for line in lines]
    for told in (*told_by_lines, *(error.diag.message_detail for error in failures)):
        assert all(f'client {row["client"]} "batch"' in str(told) for row in held)
    assert operator.metric("dbproxy_refusals_total", sqlstate="53300", database=day.database) == 2
    events = [event for event in operator.page()["events"] if event["text"] == "clients waited in vain"]
    assert {event["details"]["host"] for event in events} == {"primary"}
    assert sum(int(event["details"]["refused"]) for event in events) == 2
    operator.until(lambda: operator.prometheus.firing() == set())


def replica_lags_and_leaves(day: Day) -> None:
    """replica2 replays no more: it is warned of, then gets no reads, and comes back. No client hears of it."""
    operator, load = day.operator, day.load
    errors = len(load.errors)
    with replay_paused(day.replicas[1]):
        operator.until(lambda: operator.log("host lagging"))
        (warned,), (left,) = operator.log("replica lags"), operator.log("host lagging")
        assert warned["host"] == left["host"] == "replica2"
        assert see_hosts(day) == [
            {"primary": ("primary", "up"), "replica1": ("replica", "up"), "replica2": ("replica", "lagging")}
        ]
        assert operator.metric("dbproxy_host_up", host="replica2") == 0
        reads = {
            name: operator.metric("dbproxy_host_reads_total", host=name) for name in ("replica1", "replica2")
        }
        with (
            load.paused()
        ):  # little is written (PostgreSQL itself does): it is behind by the same bytes for all
            operator.until(lambda: agree(see_lag(day, "replica2"), at_least=left["bytes"]))
        operator.until(lambda: operator.alerts("DbproxyReplicaLag"))
        assert {alert["host"] for alert in operator.alerts("DbproxyReplicaLag")} == {"replica2"}
        (behind,) = operator.show("HOSTS", name="replica2")
        assert left["seconds"] <= float(behind["lag_seconds"])
        assert operator.metric("dbproxy_host_reads_total", host="replica1") > reads["replica1"]
        assert operator.metric("dbproxy_host_reads_total", host="replica2") == reads["replica2"]
    operator.until(lambda: operator.log("host up", host="replica2", before="lagging"))
    operator.until(lambda: operator.prometheus.firing() == set())
    operator.until(lambda: operator.metric("dbproxy_host_reads_total", host="replica2") > reads["replica2"])
    assert load.errors[errors:] == []


def primary_fails_over(day: Day) -> None:
    """The primary is lost, replica1 is promoted: who wrote meanwhile has waited."""
    operator, load = day.operator, day.load
    day.primary.stop("immediate")
    operator.until(lambda: operator.log("primary lost"))
    (lost,) = operator.log("primary lost")
    assert lost["host"] == "primary"
    operator.until(lambda: operator.json("/health/ready")["write"]["ready"] is False)
    assert operator.json("/health/ready")["read"]["ready"] is True
    operator.until(lambda: operator.alerts("DbproxyNoPrimary") and operator.alerts("DbproxyHostDown"))
    assert {alert["host"] for alert in operator.alerts("DbproxyHostDown")} == {"primary"}
    assert see_hosts(day)[0]["primary"] == ("unknown", "down")
    assert operator.metric("dbproxy_host_state", role="primary") is None

    writes = load.writes
    day.replicas[0].promote()
    operator.until(lambda: operator.log("primary found"))
    (found,) = operator.log("primary found")
    assert (found["host"], found["timeline"]) == ("replica1", 2)
    operator.until(lambda: load.writes > writes + 10)
    (seen,) = see_hosts(day)
    assert (seen["primary"], seen["replica1"]) == (("unknown", "down"), ("primary", "up"))
    assert [row["timeline"] for row in operator.show("HOSTS", name="replica1")] == [2]
    assert operator.metric("dbproxy_host_state", role="primary", state="up", host="replica1") == 1
    operator.until(lambda: not operator.alerts("DbproxyNoPrimary"))
    assert operator.alerts("DbproxyHostDown")
    with load.paused():
        assert_agreed(day)


def old_primary_comes_back(day: Day) -> None:
    """It takes writes, and is not the primary any more: nothing is sent there."""
    operator = day.operator
    day.primary.start()
    operator.until(lambda: operator.log(FENCED))
    (line,) = operator.log(FENCED)
    assert (line["host"], line["timeline"], line["primary"]) == ("primary", 1, "replica1 on timeline 2")
    (seen,) = see_hosts(day)
    assert (seen["primary"], seen["replica1"]) == (("unknown", "fenced"), ("primary", "up"))
    operator.until(lambda: operator.alerts("DbproxyHostFenced"))
    assert {alert["host"] for alert in operator.alerts("DbproxyHostFenced")} == {"primary"}
    if CHROMIUM is not None:
        asyncio.run(look_at_page(day))


def assert_page_tells_the_day_as_the_log_does(day: Day) -> None:
    """The same events, in the same order."""
    told = {"host lagging", "host up", "host down", "replica lags", "primary lost", "primary found"}
    told |= {"clients waited in vain", "request refused", FENCED}
    logged = [(line["event"], line.get("host")) for line in day.operator.proxy.log_lines()]
    shown = [(event["text"], event["details"].get("host")) for event in day.operator.page()["events"]]
    wanted = [(event, host) for event, host in logged if event in told]
    assert [(event, host) for event, host in shown if event in told] == wanted


async def look_at_page(day: Day) -> None:
    """As it is drawn."""
    async with open_browser() as tab:
        await tab.open(day.proxy.http_url)
        hosts = "[...find('host-list').children].map((host) => host.textContent)"
        await tab.until(f"{hosts}.some((text) => text.startsWith('replica1') && text.includes('primary'))")
        events = await tab.run("find('event-list').textContent")
        for told in ("host lagging", "clients waited in vain", "primary lost", "primary found", FENCED):
            assert told in events
        await tab.until(f"find('query-list').textContent.includes({REPORT_SHOWN!r})")
        assert tab.complaints == []


# --- what is asked again and again ---


def assert_agreed(day: Day) -> None:
    """How many queries there were, by all that count them; nobody asks for anything at the moment."""
    operator, database = day.operator, day.database
    (stats,) = operator.show("STATS", database=database)
    queries = int(stats["total_query_count"])
    (pool,) = operator.page()["pools"]
    assert pool["queries"] == queries
    assert operator.metric("dbproxy_query_duration_seconds_count", database=database) == queries
    assert operator.metric("pgbouncer_stats_queries_pooled_total", database=database) == queries
    rows = operator.show("QUERIES LIMIT 100")
    refused = operator.metric("dbproxy_refusals_total", database=database) or 0
    states = [state.split(":") for row in rows for state in row["states"].split()]
    ended = sum(int(number) for state, number in states if state.startswith("57P"))  # by their server's end
    unanswered = refused + ended + sum(row["lost"] for row in rows)  # calls that have no ReadyForQuery
    assert sum(row["calls"] for row in rows) == queries + unanswered
    told = operator.json("/metrics/queries?limit=0")["queries"]
    assert sum(row["calls"] for row in told) == queries + unanswered
    operator.until(lambda: operator.scraped("sum(dbproxy_query_duration_seconds_count)") == queries)


def count_waiting(day: Day) -> list[float | None]:
    """How many wait for a server, by all that count them; an errand of the proxy's own may be among them."""
    operator = day.operator
    (pool,) = operator.show("POOLS", database=day.database)
    page = operator.page()
    return [
        pool["cl_waiting"],
        len({(row["client"], row["position"]) for row in operator.show("WAITS", waits_for="server")}),
        operator.metric("dbproxy_pool_waiting_clients", database=day.database),
        page["pools"][0]["cl_waiting"],
        len(page["waiters"]),
        operator.scraped("sum(dbproxy_pool_waiting_clients)"),
    ]


def agree(figures: list[float | None], at_least: float) -> bool:
    return len(set(figures)) == 1 and (figures[0] or 0) >= at_least


def see_hosts(day: Day) -> list[dict[str, tuple[str, str]]]:
    """Each one's role and state: one answer, if console, metrics and page agree."""
    operator = day.operator
    console = {row["name"]: (row["role"], row["state"]) for row in operator.show("HOSTS")}
    page = {host["name"]: (host["role"], host["state"]) for host in operator.page()["hosts"]}
    metrics = {
        labels["host"]: (labels["role"], labels["state"])
        for labels, value in operator.samples("dbproxy_host_state")
        if value == 1
    }
    return [console] if console == page == metrics else [console, page, metrics]


def see_lag(day: Day, name: str) -> list[float | None]:
    """The bytes that it is behind, by all that tell them."""
    operator = day.operator
    (row,) = operator.show("HOSTS", name=name)
    (host,) = [host for host in operator.page()["hosts"] if host["name"] == name]
    return [
        row["lag_bytes"],
        host["lag_bytes"],
        operator.metric("dbproxy_host_lag_bytes", host=name),
        operator.scraped(f"dbproxy_host_lag_bytes{{host='{name}'}}"),
    ]


@contextmanager
def replay_paused(replica: Postgres) -> Iterator[None]:
    with connect(replica) as owner:
        owner.execute("SELECT pg_wal_replay_pause()")
        try:
            yield
        finally:
            owner.execute("SELECT pg_wal_replay_resume()")


def find_statement(day: Day, text: str) -> list[dict[str, Any]]:
    """A row for each role of host."""
    return day.operator.show("QUERIES LIMIT 100", text=text)


def without_window(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith("window")}


def is_on_page(operator: Operator, row: dict[str, Any]) -> bool:
    """With the same figures: the page's are of the last five minutes, which are all of this day."""
    counted = {name: value for name, value in row.items() if not name.startswith("window")}
    told = operator.page()["queries"]  # looked up once somebody looks, now and then
    return told is not None and counted in told["lists"]["top"]


@contextmanager
def reports(day: Day, size: int) -> Iterator[list[int]]:
    """So many clients run slow reports; yields one item for each that was answered, complete at the end."""
    done: list[int] = []
    over: list[bool] = []

    def run() -> None:
        with day.client("reports") as client:
            while not over:
                client.execute(REPORT)
                done.append(1)

    threads = [Thread(target=run) for _ in range(size)]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        over.append(True)
        for thread in threads:
            thread.join()
