"""The console as its users reach it: psycopg, psql, asyncpg, against a proxy that serves real clients."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import psycopg
import pytest
from psycopg.rows import dict_row

from dbproxy.admin.show import SHOWS
from dbproxy.demo.installation import installations
from tests.support.postgres import PASSWORD, Database, create_database
from tests.support.proxy import Proxy
from tests.support.serving import serving

Row = dict[str, object]
SETTINGS = {
    "pool.size": 2,
    "pool.reserve_size": 0,
    "auth.admin_users": "app",
    "auth.type": "trust",
    "auth.stats_users": "stats",
}


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    with serving(module_database, SETTINGS) as running:
        yield running


def connect(proxy: Proxy, user: str = "app", database: str = "pgbouncer") -> psycopg.Connection[Row]:
    """Without prepared statements psycopg uses the simple protocol where there are no parameters."""
    return psycopg.connect(
        proxy.dsn(database, user), autocommit=True, prepare_threshold=None, row_factory=dict_row
    )


@pytest.fixture
def console(proxy: Proxy) -> Iterator[psycopg.Connection[Row]]:
    with connect(proxy) as connection:
        yield connection


@pytest.fixture
def client(proxy: Proxy) -> Iterator[psycopg.Connection]:
    with psycopg.connect(proxy.dsn(), autocommit=True, application_name="the test") as connection:
        yield connection


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def show(console: psycopg.Connection[Row], what: str) -> list[Row]:
    return console.execute(f"SHOW {what}").fetchall()


@pytest.mark.parametrize("name", ["pgbouncer", "dbproxy"])
def test_both_names_lead_to_it(proxy: Proxy, name: str) -> None:
    with connect(proxy, database=name) as console:
        cursor = console.execute("SHOW VERSION")
        assert str(cursor.fetchone()["version"]).startswith("dbproxy ")
        assert cursor.statusmessage == "SHOW"
        assert console.info.parameter_status("server_version").endswith("/bouncer")


def test_numbers_arrive_as_numbers(console: psycopg.Connection[Row], client: psycopg.Connection) -> None:
    client.execute("SELECT 1")
    (pool,) = show(console, "POOLS")
    assert isinstance(pool["sv_idle"], int)
    (stats,) = show(console, "STATS")
    assert stats["total_query_count"] == int(stats["total_query_count"])


def test_drivers_read_every_table_by_its_types(
    proxy: Proxy, console: psycopg.Connection[Row], client: psycopg.Connection
) -> None:
    with client.transaction(), ThreadPoolExecutor(2) as pool:
        client.execute("SELECT 1")
        others = [pool.submit(run, proxy.dsn(), "SELECT pg_sleep(0.5)") for _ in range(2)]
        until(lambda: show(console, "WAITS"))
        for what in SHOWS.keys() - {"fds"}:
            console.execute(f"SHOW {what}").fetchall()  # psycopg makes numbers of what is said to be one
    for other in others:
        other.result(10)
    done = psql(proxy, *(f"SHOW {what}" for what in SHOWS.keys() - {"fds"}))
    assert (done.returncode, done.stderr) == (0, "")


def test_pools_count_those_who_work_and_those_who_wait(
    proxy: Proxy, console: psycopg.Connection[Row], module_database: Database
) -> None:
    holders = [psycopg.connect(proxy.dsn()) for _ in range(2)]
    for holder in holders:
        holder.execute("SELECT 1")
    waiter = threading.Thread(target=run, args=[proxy.dsn(), "SELECT 1"])
    waiter.start()
    try:
        until(lambda: show(console, "POOLS")[0]["cl_waiting"] == 1)
        (pool,) = show(console, "POOLS")
        assert (pool["database"], pool["user"]) == (module_database.name, "app")
        assert (pool["cl_active"], pool["sv_active"], pool["sv_idle"]) == (2, 2, 0)
        assert pool["maxwait"] * 1_000_000 + pool["maxwait_us"] > 0
    finally:
        for holder in holders:
            holder.close()
        waiter.join(10)
    until(lambda: show(console, "POOLS")[0]["sv_active"] == 0)


def run(dsn: str, query: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(query)


def test_stats_count_what_was_asked(console: psycopg.Connection[Row], client: psycopg.Connection) -> None:
    (before,) = show(console, "STATS_TOTALS")
    for _ in range(3):
        client.execute("SELECT 1")
    with client.transaction():
        client.execute("SELECT 2")
    (after,) = show(console, "STATS_TOTALS")
    grown = {name: after[name] - before[name] for name in after if name != "database"}
    assert (grown["query_count"], grown["xact_count"]) == (6, 4)  # BEGIN and COMMIT are queries
    assert grown["client_login_count"] == 0
    assert grown["query_time"] > 0


def test_login_is_counted_once_and_not_for_each_server(
    proxy: Proxy, console: psycopg.Connection[Row]
) -> None:
    with psycopg.connect(proxy.dsn()):
        (before,) = show(console, "STATS")
        with psycopg.connect(proxy.dsn()):
            (after,) = show(console, "STATS")
    assert after["total_client_login_count"] - before["total_client_login_count"] == 1


def test_link_joins_client_and_server(console: psycopg.Connection[Row], client: psycopg.Connection) -> None:
    with client.transaction():
        backend = client.execute("SELECT pg_backend_pid()").fetchone()
        (row,) = [row for row in show(console, "CLIENTS") if row["application_name"] == "the test"]
        servers = {row["ptr"]: row for row in show(console, "SERVERS")}
        assert servers[row["link"]]["link"] == row["ptr"]
        assert (servers[row["link"]]["remote_pid"],) == backend
        assert (row["state"], servers[row["link"]]["state"]) == ("active", "active")
    until(lambda: {row["state"] for row in show(console, "SERVERS")} == {"idle"})


def test_databases_tell_where_they_are(console: psycopg.Connection[Row], module_database: Database) -> None:
    (database,) = show(console, "DATABASES")
    assert (database["name"], database["database"]) == (module_database.name, module_database.name)
    assert (database["port"], database["pool_size"]) == (module_database.server.port, 2)


def test_config_is_what_the_proxy_was_told(console: psycopg.Connection[Row]) -> None:
    config = {row["key"]: row for row in show(console, "CONFIG")}
    assert (config["pool.size"]["value"], config["pool.size"]["default"]) == ("2", "50")
    assert PASSWORD not in str(config["primary.url"])


def test_pause_waits_for_transactions_and_resume_lets_clients_go_on(
    proxy: Proxy, console: psycopg.Connection[Row], client: psycopg.Connection
) -> None:
    with connect(proxy) as second:
        with client.transaction():
            client.execute("SELECT 1")
            pausing = threading.Thread(target=second.execute, args=["PAUSE"])
            pausing.start()
            until(lambda: show(console, "STATE")[1]["value"] == "yes")
            assert pausing.is_alive()
            client.execute("SELECT 2")  # a transaction that is open may end
        pausing.join(10)
        assert not pausing.is_alive()
        assert show(console, "SERVERS") == []
    waiter = threading.Thread(target=client.execute, args=["SELECT 3"])
    waiter.start()
    until(lambda: show(console, "POOLS")[0]["cl_waiting"] == 1)
    assert console.execute("RESUME").statusmessage == "RESUME"
    waiter.join(10)
    assert not waiter.is_alive()
    assert show(console, "STATE")[0]["value"] == "yes"


def test_database_can_be_paused_before_anybody_uses_it(
    proxy: Proxy, console: psycopg.Connection[Row]
) -> None:
    console.execute("PAUSE postgres")
    waiter = threading.Thread(target=run, args=[proxy.dsn("postgres"), "SELECT 1"])
    waiter.start()
    until(lambda: any(row["database"] == "postgres" and row["cl_waiting"] for row in show(console, "POOLS")))
    assert [row["name"] for row in show(console, "DATABASES") if row["paused"]] == ["postgres"]
    console.execute("RESUME postgres")
    waiter.join(10)
    assert not waiter.is_alive()


def test_cancel_request_takes_a_waiting_pause_back(
    proxy: Proxy, console: psycopg.Connection[Row], client: psycopg.Connection
) -> None:
    with connect(proxy) as second, client.transaction():
        client.execute("SELECT 1")
        errors: list[BaseException] = []
        pausing = threading.Thread(target=catch, args=[second, "PAUSE", errors])
        pausing.start()
        until(lambda: show(console, "STATE")[1]["value"] == "yes")
        second.cancel()
        pausing.join(10)
        assert [type(error) for error in errors] == [psycopg.errors.QueryCanceled]
    assert client.execute("SELECT 1").fetchone() == (1,)


def catch(connection: psycopg.Connection[Row], query: str, errors: list[BaseException]) -> None:
    try:
        connection.execute(query)
    except psycopg.Error as error:
        errors.append(error)


def test_kill_ends_clients_and_resume_lets_new_ones_in(
    proxy: Proxy, console: psycopg.Connection[Row], module_database: Database
) -> None:
    client = psycopg.connect(proxy.dsn())
    client.execute("SELECT 1")
    console.execute(f"KILL {module_database.name}")
    with pytest.raises(psycopg.errors.AdminShutdown):
        client.execute("SELECT 1")
    assert show(console, "SERVERS") == []
    console.execute(f"RESUME {module_database.name}")
    run(proxy.dsn(), "SELECT 1")


def test_reconnect_gives_clients_another_server(
    console: psycopg.Connection[Row], client: psycopg.Connection
) -> None:
    before = client.execute("SELECT pg_backend_pid()").fetchone()
    assert console.execute("RECONNECT").statusmessage == "RECONNECT"
    assert client.execute("SELECT pg_backend_pid()").fetchone() != before


async def test_commands_are_logged_with_who_issued_them(
    proxy: Proxy, console: psycopg.Connection[Row]
) -> None:
    console.execute("RELOAD;")
    line = await proxy.logged(lambda line: line.get("command") == "RELOAD")
    assert (line["event"], line["user"], line["address"][:10]) == ("console command", "app", "127.0.0.1:")


def test_database_moves_under_its_clients_without_an_error(module_database: Database) -> None:
    with (
        create_database(module_database.server) as elsewhere,
        serving(
            module_database, SETTINGS, config=f'[databases.moving]\ndbname = "{module_database.name}"\n'
        ) as proxy,
        connect(proxy) as console,
        psycopg.connect(proxy.dsn("moving"), autocommit=True) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        assert client.execute("SELECT current_database()").fetchone() == (module_database.name,)
        console.execute("PAUSE moving")
        waiting = pool.submit(client.execute, "SELECT current_database()")
        proxy.config_path.write_text(f'[databases.moving]\ndbname = "{elsewhere.name}"\n')
        console.execute("RELOAD")
        console.execute("RESUME moving")
        assert waiting.result(10).fetchone() == (elsewhere.name,)


def test_bad_settings_are_refused_with_every_mistake(module_database: Database) -> None:
    with (
        serving(module_database, SETTINGS, config='[log]\nlevel = "info"\n') as proxy,
        connect(proxy) as console,
    ):
        proxy.config_path.write_text('[pool]\nmode = "none"\n[log]\nlevel = 7\n')
        with pytest.raises(psycopg.errors.ConfigFileError, match="RELOAD failed") as raised:
            console.execute("RELOAD")
        assert "dbproxy.toml:2: pool.mode" in str(raised.value.diag.message_detail)
        assert "dbproxy.toml:4: log.level" in str(raised.value.diag.message_detail)
        config = {row["key"]: row["value"] for row in show(console, "CONFIG")}
        assert (config["pool.mode"], config["log.level"]) == ("transaction", "info")


def test_stats_user_looks_and_does_not_touch(proxy: Proxy) -> None:
    with connect(proxy, "stats") as console:
        assert show(console, "POOLS") is not None
        with pytest.raises(psycopg.Error, match="admin access needed"):
            console.execute("PAUSE")
        assert show(console, "STATE")[0]["value"] == "yes"


def test_nobody_else_is_let_in(proxy: Proxy) -> None:
    with pytest.raises(psycopg.OperationalError, match='user "somebody" may not use the console'):
        connect(proxy, "somebody")


def test_statements_in_one_query_are_answered_in_turn(console: psycopg.Connection[Row]) -> None:
    cursor = console.execute("SHOW VERSION; SHOW STATE")
    assert cursor.nextset()
    assert len(cursor.fetchall()) == 3


def test_empty_query_is_no_error(console: psycopg.Connection[Row]) -> None:
    assert console.execute(";").pgresult.status == psycopg.pq.ExecStatus.EMPTY_QUERY


def test_parameters_are_refused_in_pgbouncers_words(proxy: Proxy) -> None:
    with (
        connect(proxy) as console,
        pytest.raises(psycopg.Error, match="extended query protocol not supported"),
    ):
        console.execute("SHOW POOLS WHERE name = %s", ["app"])


async def test_asyncpg_connects_and_uses_the_simple_protocol(proxy: Proxy) -> None:
    connection = await asyncpg.connect(proxy.dsn("pgbouncer"))
    assert await connection.execute("SHOW POOLS") == "SHOW"
    with pytest.raises(asyncpg.PostgresError, match="extended query protocol not supported"):
        await connection.fetch("SHOW POOLS")
    connection.terminate()


def psql(proxy: Proxy, *commands: str) -> subprocess.CompletedProcess[str]:
    program = installations()[0].bin_dir / "psql"
    options = [option for command in commands for option in ("-c", command)]
    return subprocess.run(
        [program, "-X", "-A", "-t", proxy.dsn("pgbouncer", "app"), *options],
        env={**os.environ, "PGCONNECT_TIMEOUT": "10"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_psql_shows_tables(proxy: Proxy) -> None:
    done = psql(proxy, "SHOW STATE", "RELOAD")
    assert done.stdout.splitlines() == ["active|yes", "paused|no", "suspended|no", "RELOAD"]
    assert done.returncode == 0


def test_psql_shows_help_and_errors(proxy: Proxy) -> None:
    done = psql(proxy, "SHOW HELP", "WHAT IS THIS")
    assert "Console usage" in done.stderr
    assert "invalid command 'WHAT IS THIS', use SHOW HELP;" in done.stderr
    assert done.returncode == 1
