"""A replica that is configured otherwise than its primary answers as the primary does; what cannot be so is told."""

import json
import urllib.request
from collections.abc import Callable, Iterator

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.hosts import SETTINGS, create_hosts, routing, urls
from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.two_servers import open_client

ODD = {
    "timezone": "Asia/Tokyo",
    "datestyle": "SQL, DMY",
    "statement_timeout": "300ms",
    "search_path": "other, public",
    "bytea_output": "escape",
    "intervalstyle": "iso_8601",
    "extra_float_digits": "0",
    "default_transaction_isolation": "repeatable read",
    "work_mem": "9MB",
    "track_commit_timestamp": "on",
    "max_standby_streaming_delay": "7s",
}
READS = (
    "SELECT timestamptz '2024-01-01 00:00+00'::text",
    "SELECT '01/02/2024'::date::text",
    r"SELECT '\x4142'::bytea::text",
    "SELECT interval '1 day 2 hours'::text",
    "SELECT (0.1::float4 + 0.2::float4)::text",
    "SELECT 'slept' FROM pg_sleep(0.4)",
    "SELECT current_setting('search_path')",
    "SHOW statement_timeout",
    "SHOW default_transaction_isolation",
    "SHOW work_mem",
    "SHOW max_standby_streaming_delay",  # of a whole server: the primary's
)
HINT = "/* dbproxy: replica(replica1) */ "


@pytest.fixture(scope="module")
def odd_hosts() -> Iterator[list[Postgres]]:
    with create_hosts(replicas=ODD) as created:
        yield created


@pytest.fixture(scope="module")
def proxy(odd_hosts: list[Postgres]) -> Iterator[Proxy]:
    with routing(odd_hosts) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy) -> Iterator[psycopg.Connection]:
    with open_client(proxy.dsn()) as connection:
        yield connection


def ask(client: psycopg.Connection, sql: str) -> str:
    row = client.execute(sql).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return str(row[0])


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():  # the limit of the test ends it
        pass


def test_it_answers_as_the_primary(client: psycopg.Connection, odd_hosts: list[Postgres]):
    assert ask(client, HINT + "SHOW test.host") == "replica1"
    with psycopg.connect(odd_hosts[0].dsn("postgres"), autocommit=True) as primary:
        for sql in READS:
            assert [ask(client, HINT + sql) for _ in range(2)] == [ask(primary, sql)] * 2


@pytest.mark.parametrize("taken_back", ["RESET ALL", "RESET TimeZone", "DISCARD ALL"])
def test_what_a_session_takes_back_is_the_primarys(client: psycopg.Connection, taken_back: str):
    client.execute("SET TimeZone = 'Europe/Rome'")
    assert ask(client, HINT + "SHOW TimeZone") == "Europe/Rome"
    client.execute(taken_back)  # type: ignore[call-overload]
    assert ask(client, HINT + "SHOW TimeZone") == "Etc/UTC"
    client.execute("BEGIN READ ONLY")
    assert ask(client, "SHOW test.host").startswith("replica")
    client.execute("RESET ALL")
    assert ask(client, "SHOW TimeZone") == "Etc/UTC"
    client.execute("COMMIT")


def test_altered_settings_hold_on_replicas(
    client: psycopg.Connection, proxy: Proxy, odd_hosts: list[Postgres]
):
    database = client.info.dbname
    with psycopg.connect(odd_hosts[0].dsn("postgres"), autocommit=True) as owner:
        owner.execute(f"ALTER DATABASE \"{database}\" SET TimeZone = 'Europe/Lisbon'")
        with open_client(proxy.dsn()) as second:
            for _ in range(3):
                assert ask(second, HINT + "SHOW TimeZone") == ask(second, "SHOW TimeZone") == "Europe/Lisbon"
                assert ask(client, HINT + "SHOW TimeZone") == ask(client, "SHOW TimeZone") == "Etc/UTC"
        owner.execute(f'ALTER DATABASE "{database}" RESET TimeZone')
        with open_client(proxy.dsn()) as third:
            assert ask(third, HINT + "SHOW TimeZone") == ask(third, "SHOW TimeZone") == "Etc/UTC"


def test_a_configuration_that_a_replica_reads_again_does_not_show_for_long(
    client: psycopg.Connection, proxy: Proxy, odd_hosts: list[Postgres]
):
    read_again = lambda: any("has read its configuration again" in str(line) for line in proxy.log_lines())  # noqa: E731
    assert ask(client, HINT + "SHOW IntervalStyle") == "postgres"
    with psycopg.connect(odd_hosts[1].dsn("postgres"), autocommit=True) as replica:
        replica.execute("ALTER SYSTEM SET lock_timeout = '8s'")
        replica.execute("SELECT pg_reload_conf()")
    wait_for(read_again)
    assert ask(client, HINT + "SHOW lock_timeout") == "0"


def test_what_cannot_be_evened_out_is_told_once(client: psycopg.Connection, proxy: Proxy):
    ask(client, HINT + "SELECT 1")
    told = [
        line
        for line in proxy.log_lines()
        if line["event"] == "replica has other settings" and line["host"] == "replica1"
    ]
    assert [line["settings"] for line in told[:1]] == [["track_commit_timestamp"]]
    with psycopg.connect(proxy.dsn("dbproxy"), autocommit=True) as console:
        hosts = console.execute("SHOW HOSTS")
        assert hosts.description is not None
        column = [found.name for found in hosts.description].index("differing_settings")
        shown = {row[0]: row[column] for row in hosts}
    assert (shown["primary"], shown["replica1"]) == ("", "track_commit_timestamp")
    with urllib.request.urlopen(f"{proxy.http_url}/health") as answer:
        assert json.load(answer)["differing_settings"]["replica1"] == ["track_commit_timestamp"]


def test_a_function_that_is_altered_past_the_proxy_is_the_primarys_soon(
    client: psycopg.Connection, odd_hosts: list[Postgres]
):
    database = client.info.dbname
    with psycopg.connect(odd_hosts[0].dsn(database), autocommit=True) as owner:
        owner.execute(
            "CREATE FUNCTION place() RETURNS text STABLE LANGUAGE plpgsql"
            " AS $$BEGIN RETURN current_setting('test.host'); END$$"
        )
        wait_for(lambda: ask(client, "SELECT place()").startswith("replica"))
        owner.execute("ALTER FUNCTION place() VOLATILE")
        wait_for(lambda: {ask(client, "SELECT place()") for _ in range(20)} == {"primary"})
        with owner.transaction():  # a replica never has the one without the other
            owner.execute("CREATE VIEW placed AS SELECT current_setting('test.host') AS name")
            owner.execute("GRANT SELECT ON placed TO PUBLIC")
        wait_for(lambda: ask(client, "SELECT name FROM placed").startswith("replica"))
        owner.execute("CREATE OR REPLACE VIEW placed AS SELECT place() AS name")
        wait_for(lambda: {ask(client, "SELECT name FROM placed") for _ in range(20)} == {"primary"})


def test_a_session_that_outlives_its_primary_keeps_what_it_began_with():
    with create_hosts(replicas={"timezone": "Asia/Tokyo"}) as hosts:
        database = Database(hosts[0], "postgres")
        settings = {**SETTINGS, "health.failure_threshold": 2, "replicas": urls(database, hosts[1:])}
        with serving(database, settings) as proxy, open_client(proxy.dsn()) as client:
            client.execute("BEGIN; COMMIT")
            hosts[0].stop()
            hosts[1].promote()
            for _ in range(3):
                with client.transaction():
                    assert ask(client, "SELECT pg_is_in_recovery()") == "False"
                    assert ask(client, "SHOW TimeZone") == "Etc/UTC"
                with open_client(proxy.dsn()) as second, second.transaction():
                    assert ask(second, "SELECT pg_is_in_recovery()") == "False"
                    assert ask(second, "SHOW TimeZone") == "Asia/Tokyo"
                    assert second.info.parameter_status("TimeZone") == "Asia/Tokyo"
