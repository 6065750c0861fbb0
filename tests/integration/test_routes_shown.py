"""What operators see of routing and do about it, against a real primary and two replicas."""

import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psycopg
import pytest
from psycopg.rows import dict_row

from dbproxy.demo.postgres import Postgres
from tests.integration.test_console import until
from tests.support.hosts import (
    REPLICAS,
    SETTINGS,
    TABLES,
    host,
    hosts_of,
    urls,
    wait_for_answer,
    wait_for_replicas,
)
from tests.support.postgres import Database, connect, create_database, wait_for_replay
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.two_servers import open_client

Row = dict[str, object]
CONFIG = '[routing]\nmode = "on"\n'


@pytest.fixture
def database(hosts: list[Postgres]) -> Iterator[Database]:
    primary, *replicas = hosts
    with create_database(primary) as database:
        with connect(primary, database.name) as owner:
            owner.execute(TABLES)
        for replica in replicas:
            wait_for_replay(primary, replica)
        yield database


@pytest.fixture
def proxy(hosts: list[Postgres], database: Database) -> Iterator[Proxy]:
    with serving(database, {**SETTINGS, "replicas": urls(database, hosts[1:])}, config=CONFIG) as running:
        wait_for_replicas(running.dsn())
        yield running


@pytest.fixture
def client(proxy: Proxy) -> Iterator[psycopg.Connection]:
    with open_client(proxy.dsn()) as connection:
        yield connection


@pytest.fixture
def console(proxy: Proxy) -> Iterator[psycopg.Connection[Row]]:
    with open_console(proxy) as connection:
        yield connection


def open_console(proxy: Proxy) -> psycopg.Connection[Row]:
    return psycopg.connect(
        proxy.dsn("pgbouncer"), autocommit=True, prepare_threshold=None, row_factory=dict_row
    )


def show(console: psycopg.Connection[Row], what: str) -> list[Row]:
    return console.execute(f"SHOW {what}").fetchall()


def state(console: psycopg.Connection[Row], name: str) -> object:
    return {row["name"]: row["state"] for row in show(console, "HOSTS")}[name]


def explain(console: psycopg.Connection[Row], sql: str) -> str:
    return "\n".join(str(row["route"]) for row in console.execute(f"EXPLAIN ROUTE {sql}"))


def count(console: psycopg.Connection[Row], matches: Callable[[Row], bool]) -> int:
    return sum(int(str(row["count"])) for row in show(console, "ROUTES") if matches(row))


def test_hosts_are_shown_as_they_are(
    hosts: list[Postgres], console: psycopg.Connection[Row], client: psycopg.Connection
) -> None:
    for name in REPLICAS:
        until(lambda name=name: host(client) == name)
    rows = show(console, "HOSTS")
    assert all(row["servers"] for row in rows)
    assert [(row["name"], row["role"], row["state"]) for row in rows] == [
        ("primary", "primary", "up"),
        ("replica1", "replica", "up"),
        ("replica2", "replica", "up"),
    ]
    assert [row["port"] for row in rows] == [server.port for server in hosts]
    assert all("/" in str(row["lsn"]) and row["timeline"] == 1 for row in rows)
    assert sum(float(str(row["share"])) for row in rows) == pytest.approx(100, abs=0.2)


def test_queries_of_replicas_count_for_the_database(
    proxy: Proxy, console: psycopg.Connection[Row], client: psycopg.Connection
) -> None:
    (before,) = show(console, "STATS_TOTALS")
    for _ in range(30):
        assert host(client) in REPLICAS
    (after,) = show(console, "STATS_TOTALS")
    assert int(str(after["query_count"])) - int(str(before["query_count"])) >= 30
    (pool,) = show(console, "POOLS")
    by_host = show(console, "HOST_POOLS")
    assert {row["host"] for row in by_host} == REPLICAS | {"primary"}
    assert pool["sv_idle"] == sum(int(str(row["sv_idle"])) for row in by_host)


def test_a_client_is_linked_to_the_server_of_a_replica(
    console: psycopg.Connection[Row], client: psycopg.Connection
) -> None:
    client.execute("BEGIN READ ONLY")
    where = host(client)
    (link,) = [row for row in show(console, "CLIENTS") if row["link"]]
    (server,) = [row for row in show(console, "SERVERS") if row["link"]]
    assert (link["link"], link["ptr"]) == (server["ptr"], server["link"])
    assert link["host"] == server["host"] == where
    client.execute("COMMIT")


def test_decisions_are_counted_by_host_and_reason(
    console: psycopg.Connection[Row], client: psycopg.Connection
) -> None:
    before = count(console, lambda row: row["reason"] == "not a read")
    client.execute("INSERT INTO items VALUES (1, 'one') ON CONFLICT DO NOTHING")
    assert count(console, lambda row: row["reason"] == "not a read") == before + 1
    client.execute(
        "CREATE OR REPLACE FUNCTION sneaky() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$"
    )

    def is_counted_by_kind() -> bool:
        client.execute("SELECT sneaky()")
        return count(console, lambda row: row["reason"] == "function is volatile") > 0

    until(is_counted_by_kind)
    assert 'function "sneaky" is volatile' in explain(console, "SELECT sneaky()")


def test_a_host_is_disabled_and_enabled_for_clients_that_are_there(
    console: psycopg.Connection[Row], client: psycopg.Connection
) -> None:
    console.execute("DISABLE HOST replica1")
    assert {host(client) for _ in range(20)} == {"replica2"}
    assert state(console, "replica1") == "disabled"
    assert "an operator has disabled it" in explain(console, "SELECT 1")
    console.execute("DRAIN HOST replica2")
    assert {host(client) for _ in range(20)} == {"primary"}
    console.execute("ENABLE HOST replica1; ENABLE HOST replica2; PROBE")
    for name in REPLICAS:
        until(lambda name=name: host(client) == name)
    with pytest.raises(psycopg.Error, match="there are primary, replica1, replica2"):
        console.execute("DRAIN HOST moon")


def test_what_runs_on_a_host_that_is_disabled_is_answered_by_another(
    proxy: Proxy, console: psycopg.Connection[Row], client: psycopg.Connection
) -> None:
    slow = "SELECT current_setting('test.host') FROM pg_sleep(2)"
    until(lambda: "It goes to replica1 or replica2" in explain(console, slow))  # the catalog has been read
    with ThreadPoolExecutor(1) as executor:
        answer = executor.submit(host, client, slow)
        links: list[Row] = []

        def runs() -> bool:
            links[:] = [row for row in show(console, "CLIENTS") if row["link"]]
            return bool(links)

        until(runs)
        where = str(links[0]["host"])
        assert where in REPLICAS
        console.execute(f"DISABLE HOST {where}")
        assert answer.result(20) != where
    assert {row["reason"] for row in show(console, "RESCUES")} == {"connection lost"}


def test_a_client_that_reads_only_is_not_cut_off_by_a_drain(
    console: psycopg.Connection[Row], client: psycopg.Connection
) -> None:
    client.execute("BEGIN READ ONLY")
    where = host(client)
    console.execute(f"DRAIN HOST {where}")
    assert host(client) == where
    client.execute("COMMIT")
    assert where not in {host(client) for _ in range(20)}


def test_routing_is_moved_step_by_step_and_taken_back_at_once(
    proxy: Proxy, console: psycopg.Connection[Row], client: psycopg.Connection
) -> None:
    notices: list[str] = []
    console.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
    console.execute("SET routing = 'off'")
    assert notices == ["routing.mode is off until the next RELOAD; it was on"]
    before = count(console, lambda row: True)
    assert {host(client) for _ in range(10)} == {"primary"}
    assert count(console, lambda row: True) == before
    console.execute("SET routing = observe")

    def is_observed() -> bool:  # not before it is known what was committed while nobody asked
        assert host(client) == "primary"
        return count(console, lambda row: str(row["host"]).startswith("observed: replica")) > 0

    until(is_observed)
    config = {row["key"]: row["value"] for row in show(console, "CONFIG")}
    assert config["routing.mode"] == "observe"
    console.execute("SET routing = 'on'; SET routing.percent = '50'")
    with ExitStack() as stack:
        sessions = [stack.enter_context(open_client(proxy.dsn())) for _ in range(8)]
        sides = [hosts_of(session, times=10) for session in sessions]
        arms = {str(row["arm"]): row for row in show(console, "FEATURES")}
    assert all(side == {"primary"} or side <= REPLICAS for side in sides)
    treated = sum(side <= REPLICAS for side in sides)
    assert 0 < treated < 8
    assert [int(str(arms[name]["requests"])) for name in ("treated", "control")] == [
        10 * treated,
        80 - 10 * treated,
    ]
    assert {(row["feature"], row["mode"], row["percent"], row["errors"]) for row in arms.values()} == {
        ("routing", "on", 50, 0)
    }
    console.execute("SET routing.percent = 0")
    assert {host(client) for _ in range(20)} == {"primary"}
    console.execute("RELOAD")
    wait_for_answer(client)
    assert {host(client) for _ in range(30)} <= REPLICAS


def test_a_rescued_statement_is_shown(
    proxy: Proxy, console: psycopg.Connection[Row], client: psycopg.Connection
) -> None:
    client.execute("CREATE SEQUENCE liars")
    client.execute(
        "CREATE FUNCTION liar(text) RETURNS text STABLE LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM nextval('liars'); RETURN current_setting('test.host'); END $$"
    )

    def is_given_up() -> bool:
        assert host(client, "SELECT liar('a literal')") == "primary"
        return any(row["reason"] == "rescued too often" for row in show(console, "RESCUES"))

    until(is_given_up)
    rows = show(console, "RESCUES")
    assert {row["host"] for row in rows if row["reason"] == "read only"} <= REPLICAS
    (stays,) = [row for row in rows if row["reason"] == "rescued too often"]
    assert str(stays["statement"]).startswith("SELECT liar(")
    assert "a literal" not in str(rows)
    (line,) = [
        line for line in proxy.log_lines() if line["event"].startswith("statement goes to the primary")
    ]
    assert line["reason"] == "read only"
    assert "a literal" not in str(line)


def test_metrics_tell_the_same(proxy: Proxy, client: psycopg.Connection) -> None:
    host(client)
    with urllib.request.urlopen(f"{proxy.http_url}/metrics") as answer:
        text = answer.read().decode()
    assert 'dbproxy_host_up{host="replica2"} 1.0' in text
    assert 'dbproxy_host_state{host="primary",role="primary",state="up"} 1.0' in text
    assert 'reason="read"' in text


def test_pause_closes_what_is_open_to_replicas(
    console: psycopg.Connection[Row], client: psycopg.Connection
) -> None:
    host(client)
    console.execute("PAUSE")
    assert show(console, "SERVERS") == []
    console.execute("RESUME")
    wait_for_answer(client)


def test_clients_that_are_there_get_replicas_that_a_reload_adds_and_loses(
    hosts: list[Postgres], database: Database
) -> None:
    """By the file: what the environment says stays."""
    tables = "".join(
        f'[[replicas]]\nname = "replica{number}"\nurl = "{url}"\n'
        for number, url in enumerate(urls(database, hosts[1:]).split(","), 1)
    )
    given = {key: value for key, value in SETTINGS.items() if key != "replicas"}
    with (
        serving(database, given, config="[slow_query]\nenabled = true\n") as proxy,
        open_client(proxy.dsn()) as client,
        open_console(proxy) as console,
    ):
        assert host(client) == "primary"
        assert "There are no replicas" in explain(console, "SELECT 1")
        plain = proxy.config_path.read_text()
        proxy.config_path.write_text(plain + tables)
        console.execute("RELOAD")
        wait_for_answer(client)
        proxy.config_path.write_text(plain)
        console.execute("RELOAD")
        assert {host(client) for _ in range(10)} == {"primary"}
