"""What one client SETs in transaction mode is not seen by another."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.support.postgres import Database, connect
from tests.support.serving import serving

SINGLE = {"pool.size": 1, "pool.reserve_size": 0}


@pytest.mark.parametrize(
    "statement",
    [
        "SET TimeZone = 'Asia/Tokyo'",
        "SET work_mem = '7MB'",
        "SET search_path = nowhere",
        "SET ROLE pg_monitor",
    ],
)
@pytest.mark.parametrize("options", ["", "-c work_mem=5MB"])
def test_set_of_one_client_is_not_seen_by_the_next(database: Database, statement: str, options: str) -> None:
    with connect(database.server, database.name) as admin:
        admin.execute(f"GRANT pg_monitor TO {database.user}")
    names = ("TimeZone", "work_mem", "search_path", "role")
    look = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
    with serving(database, SINGLE) as proxy:
        with psycopg.connect(database.dsn, options=options) as direct:
            expected = direct.execute(look).fetchone()
        with (
            psycopg.connect(proxy.dsn(), autocommit=True) as first,
            psycopg.connect(proxy.dsn(), autocommit=True, options=options) as second,
        ):
            first.execute(statement)
            assert second.execute(look).fetchone() == expected


def test_set_of_one_client_is_not_reported_to_one_that_logs_in_later(database: Database) -> None:
    with serving(database, SINGLE) as proxy, psycopg.connect(proxy.dsn(), autocommit=True) as first:
        first.execute("SET TimeZone = 'Asia/Tokyo'")
        assert first.info.parameter_status("TimeZone") == "Asia/Tokyo"
        with (
            psycopg.connect(database.dsn, options="-c work_mem=5MB") as direct,
            psycopg.connect(proxy.dsn(), options="-c work_mem=5MB") as second,
        ):
            for name in ("TimeZone", "client_encoding", "is_superuser"):
                assert second.info.parameter_status(name) == direct.info.parameter_status(name)


def test_statements_prepared_by_sql_stay_with_their_client_and_go_with_it(database: Database) -> None:
    names = "SELECT name FROM pg_prepared_statements WHERE from_sql"
    with serving(database, {"pool.size": 1, "pool.reserve_size": 0}) as proxy:
        with psycopg.connect(proxy.dsn(), autocommit=True) as first:
            first.execute("PREPARE mine AS SELECT 42")
            assert first.execute("EXECUTE mine").fetchone() == (42,)
        with psycopg.connect(proxy.dsn(), autocommit=True) as second:
            assert second.execute(names).fetchall() == []


def test_client_that_waited_is_given_settings_and_a_clean_currval_at_once(database: Database) -> None:
    with serving(database, {**SINGLE, "auth.admin_users": "app"}) as proxy, ThreadPoolExecutor(1) as threads:
        with psycopg.connect(proxy.dsn(), autocommit=True) as first:
            first.execute("CREATE SEQUENCE s")
            first.execute(
                "SELECT nextval('s'), currval('s')"
            )  # from now on servers forget sequences between clients
        with (
            psycopg.connect(proxy.dsn(), autocommit=True, application_name="holder") as holder,
            psycopg.connect(proxy.dsn(), autocommit=True, application_name="waiter") as waiter,
        ):
            with holder.transaction():
                holder.execute("SELECT 1")
                answer = threads.submit(waiter.execute, "SHOW application_name")
                with psycopg.connect(
                    proxy.dsn("pgbouncer"), autocommit=True, prepare_threshold=None
                ) as console:
                    while console.execute("SHOW POOLS").fetchall()[0][3] == 0:  # cl_waiting
                        assert not answer.done()
            assert answer.result(10).fetchone() == ("waiter",)
