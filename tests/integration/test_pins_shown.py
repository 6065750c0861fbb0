"""Who keeps a server beyond its transaction is seen: on the console, in the metrics, in the log."""

import time
from collections.abc import Callable, Iterator
from urllib.request import urlopen

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from psycopg.rows import dict_row

from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving

SETTINGS = {"pool.size": 2, "pool.reserve_size": 0, "auth.type": "trust", "auth.admin_users": "app"}


@pytest.fixture
def proxy(database: Database) -> Iterator[Proxy]:
    with serving(database, SETTINGS) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy) -> Iterator[psycopg.Connection]:
    with psycopg.connect(proxy.dsn(), autocommit=True, application_name="worker") as connection:
        yield connection


def show(proxy: Proxy, what: str) -> list[dict[str, object]]:
    with psycopg.connect(
        proxy.dsn("pgbouncer"), autocommit=True, prepare_threshold=None, row_factory=dict_row
    ) as console:
        return console.execute(f"SHOW {what}").fetchall()


def scrape(proxy: Proxy, prefix: str) -> dict[tuple[str, str], float]:
    """The samples of one pool whose names begin with `prefix`, by name and reason."""
    with urlopen(f"{proxy.http_url}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    samples = [sample for family in families for sample in family.samples if sample.name.startswith(prefix)]
    return {(sample.name, sample.labels.get("reason", "")): sample.value for sample in samples}


def until(condition: Callable[[], object]) -> None:
    """A client is answered before its server is asked what was left behind."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)  # another process: asked, not awaited


def test_console_tells_who_pins_what_and_why(proxy: Proxy, client: psycopg.Connection) -> None:
    client.execute("CREATE TEMP TABLE mine (id int)")
    client.execute("SELECT pg_advisory_lock(7)")
    (backend,) = client.execute("SELECT pg_backend_pid()").fetchone() or ()
    assert [(row["reason"], row["server_pid"]) for row in show(proxy, "PINS")] == [
        ("lock", backend),
        ("temp", backend),
    ]
    (worker,) = [row for row in show(proxy, "CLIENTS") if row["application_name"] == "worker"]
    assert [str(pin).partition(":")[0] for pin in str(worker["pins"]).split(",")] == ["lock", "temp"]
    (server,) = [row for row in show(proxy, "SERVERS") if row["ptr"] == worker["link"]]
    assert (server["pins"], server["link_time"]) == ("lock,temp", worker["link_time"])
    client.execute("SELECT pg_advisory_unlock(7)")
    client.execute("DROP TABLE mine")
    until(lambda: show(proxy, "PINS") == [])
    assert {row["link_time"] for row in show(proxy, "SERVERS")} == {""}


def test_metrics_count_pins_audits_and_replays(proxy: Proxy, client: psycopg.Connection) -> None:
    before = scrape(proxy, "dbproxy_audits")["dbproxy_audits_total", ""]
    for _ in range(2):
        client.execute("SELECT pg_advisory_lock(7)")
        until(lambda: ("dbproxy_pins", "lock") in scrape(proxy, "dbproxy_pins"))
        client.execute("SELECT pg_advisory_unlock(7)")
        until(lambda: ("dbproxy_pins", "lock") not in scrape(proxy, "dbproxy_pins"))
    assert scrape(proxy, "dbproxy_pins") == {("dbproxy_pins_begun_total", "lock"): 2}
    assert scrape(proxy, "dbproxy_audits")["dbproxy_audits_total", ""] - before == 4


def test_metrics_count_replays(proxy: Proxy, client: psycopg.Connection) -> None:
    client.execute("SET work_mem = '7MB'")
    before = scrape(proxy, "dbproxy_replays")["dbproxy_replays_total", ""]
    client.execute("SELECT 1")  # the server has it still
    assert scrape(proxy, "dbproxy_replays")["dbproxy_replays_total", ""] == before
    with psycopg.connect(proxy.dsn(), autocommit=True) as other:
        for _ in range(3):  # in turn, on one server
            other.execute("SELECT 1")
            client.execute("SELECT 1")
    assert scrape(proxy, "dbproxy_replays")["dbproxy_replays_total", ""] == before + 6


async def test_log_tells_when_a_pin_begins_and_ends(proxy: Proxy, client: psycopg.Connection) -> None:
    for _ in range(2):  # the second time nothing begins
        client.execute("CREATE TEMP TABLE IF NOT EXISTS mine (id int)")
    client.execute("DROP TABLE mine")
    await proxy.logged(lambda line: line["event"] == "client unpinned")
    lines = [line for line in proxy.log_lines() if "pinned" in line["event"]]
    assert [(line["event"], line["reason"], line["application_name"]) for line in lines] == [
        ("client pinned", "temp", "worker"),
        ("client unpinned", "temp", "worker"),
    ]
    assert lines[0]["server"] == lines[1]["server"]


def test_refused_pin_is_counted_once(database: Database) -> None:
    with (
        serving(database, {**SETTINGS, "pool.refuse_pins": "temp"}) as proxy,
        psycopg.connect(proxy.dsn(), autocommit=True) as client,
    ):
        for number, prepare in enumerate([False, True], 1):
            with pytest.raises(psycopg.errors.FeatureNotSupported, match="temporary objects"):
                client.execute("CREATE TEMP TABLE mine (id int)", prepare=prepare)
            assert scrape(proxy, "dbproxy_refused")["dbproxy_refused_pins_total", "temp"] == number
        assert show(proxy, "PINS") == []
