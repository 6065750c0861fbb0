"""Limits on connections and time at their edge: for all, for one database, for one user, and after a RELOAD."""

import select
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import asyncpg
import psycopg
import pytest
from psycopg.rows import dict_row

from dbproxy.demo.postgres import Postgres
from tests.support.postgres import PASSWORD, Database, connect, create_database
from tests.support.proxy import Proxy
from tests.support.serving import serving, wait_until

USERS = ("app", "app_md5", "app_password")
Serve = Callable[..., AbstractContextManager[Proxy]]
COUNT = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND"


@pytest.fixture
def userlist(tmp_path: Path) -> Path:
    path = tmp_path / "userlist.txt"
    path.write_text("".join(f'"{user}" "{PASSWORD}"\n' for user in USERS))
    return path


@pytest.fixture
def serve(database: Database, userlist: Path) -> Serve:
    """Call it with a dbproxy.toml."""

    @contextmanager
    def run(config: str, **settings: object) -> Iterator[Proxy]:
        given = {"auth.file": userlist, "auth.admin_users": "app", "pool.reserve_size": 0, **settings}
        with serving(database, given, config=config.replace("DB", database.name)) as proxy:
            yield proxy

    return run


def enter(proxy: Proxy, user: str = "app", dbname: str = "") -> psycopg.Connection:
    return psycopg.connect(proxy.dsn(dbname, user, PASSWORD), autocommit=True)


def show(proxy: Proxy, what: str) -> list[dict[str, object]]:
    with psycopg.connect(proxy.dsn("dbproxy"), autocommit=True, row_factory=dict_row) as console:
        return list(console.execute(f"SHOW {what}").fetchall())  # type: ignore[call-overload]


def reload(proxy: Proxy, config: str) -> None:
    proxy.config_path.write_text(config)
    proxy.send(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while not any(line["event"] == "reloaded" for line in proxy.log_lines()):
        assert time.monotonic() < deadline, proxy.log()
        time.sleep(0.01)  # another process


def watch_servers(proxy: Proxy, work: Sequence[Future[object]]) -> int:
    """The most server connections that the proxy had while this was done; PostgreSQL shows those that end, too."""
    most = 0
    while not all(future.done() for future in work):
        most = max(most, len(show(proxy, "SERVERS")))
    for future in work:
        future.result()
    return most


def struck(proxy: Proxy, limit: str) -> list[dict[str, object]]:
    return [line for line in proxy.log_lines() if line["event"] == "limit reached" and line["limit"] == limit]


# --- server connections -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    ["[pool]\nmax_db_connections = 3", '[databases."DB"]\npool.max_db_connections = 3\n'],
    ids=["all", "database"],
)
def test_database_never_has_more_server_connections_than_its_limit(
    database: Database, serve: Serve, config: str
):
    with serve(config) as proxy, ExitStack() as stack, ThreadPoolExecutor(30) as crowd:
        clients = [stack.enter_context(enter(proxy, user)) for user in USERS for _ in range(10)]
        done = [crowd.submit(client.execute, "SELECT pg_sleep(0.05)") for client in clients]
        assert watch_servers(proxy, done) == 3
        wait_until(database, f"({COUNT} starts_with(usename, 'app')) = 3")
        (row,) = [row for row in show(proxy, "DATABASES") if row["name"] == database.name]
        assert (row["max_connections"], row["current_connections"]) == (3, 3)
        assert row["current_client_connections"] == 30


@pytest.mark.parametrize(
    "config",
    ["[pool]\nmax_user_connections = 2", "[users.app]\npool.max_user_connections = 2\n"],
    ids=["all", "user"],
)
def test_user_never_has_more_server_connections_than_its_limit_over_all_databases(
    database: Database, serve: Serve, config: str
):
    with (
        create_database(database.server) as other,
        serve(config) as proxy,
        ExitStack() as stack,
        ThreadPoolExecutor(20) as crowd,
    ):
        names = (database.name, other.name)
        clients = [stack.enter_context(enter(proxy, "app", name)) for name in names for _ in range(10)]
        done = [crowd.submit(client.execute, "SELECT pg_sleep(0.05)") for client in clients]
        assert watch_servers(proxy, done) == 2
        wait_until(
            database,
            "(SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND datname <> 'postgres') = 2",
        )
        (row,) = [row for row in show(proxy, "USERS") if row["name"] == "app"]
        assert (row["max_user_connections"], row["current_connections"]) == (2, 2)
        assert row["current_client_connections"] == 20


def test_reload_changes_limits_and_those_over_a_lower_one_are_closed(database: Database, serve: Serve):
    with serve("[pool]\nmax_db_connections = 4") as proxy, ExitStack() as stack:
        clients = [stack.enter_context(enter(proxy, user)) for user in ("app", "app_md5") for _ in range(2)]
        for client in clients:
            client.execute("BEGIN")
        wait_until(database, f"({COUNT} starts_with(usename, 'app')) = 4")
        for client in clients[:2]:
            client.execute("COMMIT")
        reload(proxy, f"[databases.{database.name}]\npool.max_db_connections = 1\n")
        for client in clients[2:]:
            assert client.execute("SELECT 1").fetchone() == (1,)  # who has one keeps it
            client.execute("COMMIT")
        wait_until(
            database,
            f"({COUNT} usename IN ('app', 'app_md5')) = 1",
        )
        assert {
            row["max_connections"] for row in show(proxy, "DATABASES") if row["name"] == database.name
        } == {1}
        for client in clients:
            assert client.execute("SELECT 1").fetchone() == (1,)


def test_limit_of_one_serves_everybody_in_turn(database: Database, serve: Serve):
    """Logins, errands, settings, prepared statements: nothing needs a second connection."""
    with serve("[pool]\nmax_db_connections = 1") as proxy, ExitStack() as stack:
        clients = [stack.enter_context(enter(proxy, user)) for user in USERS]
        for _ in range(3):
            for client in clients:
                client.execute("SET work_mem = '9MB'")
                assert client.execute("SHOW work_mem").fetchone() == ("9MB",)
                assert client.execute("SELECT %s::int", [7], prepare=True).fetchone() == (7,)
                with client.transaction():
                    client.execute("CREATE TEMP TABLE mine (id int) ON COMMIT DROP")
        with enter(proxy) as late:  # a login, too
            assert late.execute("SELECT current_user").fetchone() == ("app",)
        wait_until(database, f"({COUNT} starts_with(usename, 'app')) = 1")


def test_login_that_no_server_becomes_free_for_is_told_why_and_so_is_the_log(serve: Serve):
    with serve('[pool]\nmax_db_connections = 1\nquery_wait_timeout = "1s"') as proxy, enter(proxy) as holder:
        holder.execute("BEGIN")
        with pytest.raises(psycopg.OperationalError, match="max_db_connections: all 1 of database"):
            enter(proxy, "app_md5")
        [line] = [line for line in proxy.log_lines() if line["event"] == "client refused"]
        assert "max_db_connections: all 1 of" in line["detail"]


def test_listen_under_a_limit_of_one_is_refused_at_once_and_works_under_two(database: Database, serve: Serve):
    with serve("[pool]\nmax_db_connections = 1") as proxy:
        with enter(proxy) as client, pytest.raises(psycopg.OperationalError) as refused:
            client.execute("LISTEN news")
        assert refused.value.sqlstate == "53300"
        assert "LISTEN needs a server connection of its own" in str(refused.value)
        proxy.config_path.write_text("")
        reload(proxy, "[pool]\nmax_db_connections = 2")
        with enter(proxy) as listener, enter(proxy, "app_md5") as other:
            listener.execute("LISTEN news")
            other.execute("NOTIFY news, 'x'")
            assert [note.payload for note in listener.notifies(timeout=10, stop_after=1)] == ["x"]
            wait_until(database, f"({COUNT} starts_with(usename, 'app')) = 2")
        assert not [line for line in proxy.log_lines() if line["event"] == "internal error"]


def test_replicas_count(hosts: list[Postgres], tmp_path: Path):
    """Reads and writes of one user, and of another, under a limit of two over three hosts."""
    primary, *replicas = hosts
    with create_database(primary) as database:
        settings = {
            "replicas": ",".join(replica.dsn(database.name, "app", PASSWORD) for replica in replicas),
            "pool.max_db_connections": 2,
            "pool.reserve_size": 0,
            "auth.admin_users": "app",
        }
        with serving(database, settings) as proxy, ExitStack() as stack, ThreadPoolExecutor(8) as crowd:
            clients = [stack.enter_context(enter(proxy)) for _ in range(8)]
            clients[0].execute("CREATE TABLE t AS SELECT 1 AS n")
            wait_until_routed(proxy)

            def work(client: psycopg.Connection) -> None:
                for _ in range(10):
                    assert client.execute("SELECT count(*) FROM t").fetchone() is not None
                    client.execute("UPDATE t SET n = n + 1")

            assert watch_servers(proxy, [crowd.submit(work, client) for client in clients]) <= 2
            assert clients[0].execute("SELECT n FROM t").fetchone() == (81,)


def wait_until_routed(proxy: Proxy) -> None:
    deadline = time.monotonic() + 20
    while sum(row["state"] == "up" for row in show(proxy, "HOSTS")) < 3:
        assert time.monotonic() < deadline, show(proxy, "HOSTS")
        time.sleep(0.05)


# --- fairness -----------------------------------------------------------------------------------------------


SHARES = """(SELECT array_agg(n ORDER BY n) = '{2,2}' FROM (SELECT count(*) AS n FROM pg_stat_activity
    WHERE usename IN ('app', 'app_md5') AND datname = current_database() GROUP BY usename) AS shares)"""


def test_flood_of_one_user_starves_no_other(database: Database, serve: Serve):
    """Forty clients of one user never rest; the other's queries are all answered, and its share grows to half."""
    config = '[pool]\nmax_db_connections = 4\nquery_wait_timeout = "10s"'
    with serve(config) as proxy, ExitStack() as stack:
        over = threading.Event()

        def flood(client: psycopg.Connection) -> int:
            turns = 0
            while not over.is_set():
                client.execute("SELECT pg_sleep(0.01)")
                turns += 1
            return turns

        crowd = [stack.enter_context(enter(proxy)) for _ in range(40)]
        modest = [stack.enter_context(enter(proxy, "app_md5")) for _ in range(4)]
        with ThreadPoolExecutor(44) as threads:
            greedy = [threads.submit(flood, client) for client in crowd]
            try:
                wait_until(
                    database,
                    f"({COUNT} usename = 'app') = 4",
                )
                for _ in range(20):
                    assert modest[0].execute("SELECT 1").fetchone() == (1,)
                shared = [threads.submit(flood, client) for client in modest]
                wait_until(database, SHARES)
            finally:
                over.set()
            assert all(future.result() for future in greedy)
            assert all(future.result() for future in shared)
        assert struck(proxy, "max_db_connections")


def test_more_users_than_connections_take_turns(database: Database, serve: Serve):
    with serve("[pool]\nmax_db_connections = 1") as proxy, ExitStack() as stack:
        crowds = {user: [stack.enter_context(enter(proxy, user)) for _ in range(3)] for user in USERS}
        served = dict.fromkeys(USERS, 0)
        over = threading.Event()

        def flood(user: str, client: psycopg.Connection) -> None:
            while not over.is_set():
                client.execute("SELECT pg_sleep(0.01)")
                served[user] += 1

        with ThreadPoolExecutor(9) as threads:
            done = [threads.submit(flood, user, client) for user, crowd in crowds.items() for client in crowd]
            before = dict(served)
            deadline = time.monotonic() + 30
            try:
                for _ in range(2):  # each comes again
                    while any(served[user] <= before[user] for user in USERS):
                        assert time.monotonic() < deadline, served
                        time.sleep(0.02)  # other threads
                    before = dict(served)
            finally:
                over.set()
            for future in done:
                future.result()


def test_client_that_waits_under_a_limit_is_told_which(database: Database, serve: Serve):
    config = '[pool]\nmax_db_connections = 1\nquery_wait_timeout = "500ms"'
    with serve(config) as proxy, enter(proxy) as holder, enter(proxy, "app_md5") as other:
        with holder.transaction():
            holder.execute("SELECT 1")
            with pytest.raises(psycopg.errors.TooManyConnections) as refused:
                other.execute("SELECT 1")
        detail = refused.value.diag.message_detail or ""
        assert f'max_db_connections: all 1 of database "{database.name}" are in use' in detail
        assert other.execute("SELECT 1").fetchone() == (1,)


# --- clients ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("[pool]\nmax_db_client_connections = 2", 'too many connections for database "DB"'),
        ('[databases."DB"]\npool.max_db_client_connections = 2', 'too many connections for database "DB"'),
        ("[pool]\nmax_user_client_connections = 2", 'too many connections for role "app"'),
        ("[users.app]\npool.max_user_client_connections = 2", 'too many connections for role "app"'),
    ],
    ids=["all, database", "database", "all, user", "user"],
)
def test_client_over_the_limit_is_refused_until_one_leaves(
    database: Database, serve: Serve, config: str, text: str
):
    with serve(config) as proxy, enter(proxy), enter(proxy) as second:
        with pytest.raises(psycopg.OperationalError) as refused:
            enter(proxy)
        assert text.replace("DB", database.name) in str(refused.value)
        line = next(line for line in proxy.log_lines() if line["event"] == "client refused")
        assert (line["sqlstate"], line["user"]) == ("53300", "app")
        second.close()
        with patiently_enter(proxy) as third:
            assert third.execute("SELECT 1").fetchone() == (1,)
        (row,) = [row for row in show(proxy, "DATABASES") if row["name"] == database.name]
        (user,) = [row for row in show(proxy, "USERS") if row["name"] == "app"]
        assert (row["max_client_connections"] == 2) == ("_db_" in config)
        assert (user["max_user_client_connections"] == 2) == ("_user_" in config)


def patiently_enter(proxy: Proxy) -> psycopg.Connection:
    """The one that has left may be there for a moment."""
    for _ in range(100):
        try:
            return enter(proxy)
        except psycopg.OperationalError:
            time.sleep(0.02)  # another process
    return enter(proxy)


def test_limit_of_one_user_does_not_concern_another_and_reload_changes_it(database: Database, serve: Serve):
    config = "[users.app]\npool.max_user_client_connections = 1"
    with serve(config) as proxy, enter(proxy), enter(proxy, "app_md5"), enter(proxy, "app_md5"):
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            enter(proxy)
        reload(proxy, "[users.app]\npool.max_user_client_connections = 2")
        with enter(proxy):
            pass


# --- time ---------------------------------------------------------------------------------------------------

SCOPES = pytest.mark.parametrize(
    "scope",
    ["[pool]\n{}", '[databases."DB".pool]\n{}', "[users.app.pool]\n{}"],
    ids=["all", "database", "user"],
)


@SCOPES
def test_query_over_query_timeout_fails_and_its_client_stays(serve: Serve, scope: str):
    with serve(scope.format('query_timeout = "300ms"')) as proxy, enter(proxy) as client:
        for prepare in (False, True):
            with pytest.raises(psycopg.errors.QueryCanceled, match="due to query timeout") as failed:
                client.execute("SELECT pg_sleep(%s)", [60], prepare=prepare)
            assert failed.value.diag.message_detail == "query_timeout is 0.3 s."
            assert client.execute("SELECT 1").fetchone() == (1,)
        client.execute("BEGIN")
        with pytest.raises(psycopg.errors.QueryCanceled):
            client.execute("SELECT pg_sleep(60)")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            client.execute("SELECT 1")
        client.execute("ROLLBACK")
        (line, *_) = struck(proxy, "query_timeout")
        assert (line["user"], line["sqlstate"]) == ("app", "57014")
        with urllib.request.urlopen(f"{proxy.http_url}/metrics") as answer:
            metrics = answer.read().decode()
        labels = f'database="{client.info.dbname}",limit="query_timeout",user="app"'
        assert f"dbproxy_limits_reached_total{{{labels}}} 3.0" in metrics


def test_query_timeout_counts_each_query_of_a_transaction_alone_and_after_reload(
    serve: Serve,
):
    with serve("# nothing") as proxy, enter(proxy) as client:
        assert client.execute("SELECT pg_sleep(0.7)") is not None
        reload(proxy, '[pool]\nquery_timeout = "600ms"')
        with client.transaction():
            for _ in range(4):
                client.execute("SELECT pg_sleep(0.25)")
        with pytest.raises(psycopg.errors.QueryCanceled):
            client.execute("SELECT pg_sleep(60)")


def test_query_that_waits_for_a_server_is_overdue_too(serve: Serve):
    config = '[pool]\nsize = 1\nquery_timeout = "400ms"'
    with serve(config) as proxy, enter(proxy) as holder, enter(proxy) as other:
        with holder.transaction():
            holder.execute("SELECT 1")
            with pytest.raises(psycopg.errors.QueryCanceled, match="due to query timeout"):
                other.execute("SELECT 1")
        assert other.execute("SELECT 1").fetchone() == (1,)


def test_server_that_does_not_obey_costs_the_client_its_connection(serve: Serve, database: Database):
    """A statement that catches its cancellation goes on; so its client is disconnected, and the server closed."""
    config = '[pool]\nquery_timeout = "300ms"\ncancel_wait_timeout = "500ms"'
    stubborn = """DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END;
        END LOOP; END $$"""
    with serve(config) as proxy, enter(proxy) as client:
        with pytest.raises(psycopg.errors.QueryCanceled) as failed:
            client.execute(stubborn)
        assert failed.value.diag.severity == "FATAL"
        assert "did not cancel it within cancel_wait_timeout" in (failed.value.diag.message_detail or "")
        assert client.closed
    with connect(database.server) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'DO %'")


def test_copy_over_query_timeout_fails_with_its_next_data_as_under_statement_timeout(serve: Serve):
    with (
        serve('[pool]\nquery_timeout = "300ms"\ncancel_wait_timeout = "300ms"') as proxy,
        enter(proxy) as client,
    ):
        client.execute("CREATE TEMP TABLE t (n int)")
        with (
            pytest.raises(psycopg.errors.QueryCanceled, match="due to query timeout"),
            client.cursor().copy("COPY t FROM STDIN") as copy,
        ):
            copy.write("1\n")
            while not struck(proxy, "query_timeout"):
                time.sleep(0.02)  # another process
            time.sleep(0.5)  # silent beyond cancel_wait_timeout: not given up for that
            copy.write("2\n" * 100_000)
        assert client.execute("SELECT count(*) FROM t").fetchone() == (0,)


async def test_drivers_that_pipeline_know_it_too(serve: Serve):
    with serve('[pool]\nquery_timeout = "300ms"') as proxy:
        connection = await asyncpg.connect(proxy.dsn("", "app", PASSWORD))
        with pytest.raises(asyncpg.QueryCanceledError, match="due to query timeout"):
            await connection.fetch("SELECT pg_sleep($1)", 60)
        assert await connection.fetchval("SELECT $1::int", 7) == 7
        await connection.close()


@SCOPES
def test_transaction_over_transaction_timeout_ends_its_client(serve: Serve, scope: str, database: Database):
    config = scope.format('transaction_timeout = "600ms"')
    with serve(config) as proxy, enter(proxy) as busy, enter(proxy) as idle, enter(proxy) as short:
        for client in (busy, idle):
            client.execute("BEGIN")
        busy.execute("SELECT pg_sleep(0.3)")
        with pytest.raises(psycopg.Error) as ended:
            busy.execute("SELECT pg_sleep(20)")  # while it waits: TCP loses what is said to who is sending
        assert "terminating connection due to transaction timeout" in str(ended.value)
        wait_until(
            database,
            f"({COUNT} starts_with(state, 'idle in transaction')) = 0",
        )
        with pytest.raises(psycopg.Error):
            idle.execute("SELECT 1")
        for _ in range(3):
            short.execute("SELECT pg_sleep(0.3)")  # each is a transaction of its own
        assert len(struck(proxy, "transaction_timeout")) == 2


def test_transaction_timeout_counts_from_its_begin_in_session_mode_and_after_reload(
    serve: Serve,
):
    with serve('[pool]\nmode = "session"') as proxy, enter(proxy) as client:
        client.execute("SELECT pg_sleep(1)")
        reload(proxy, '[pool]\nmode = "session"\ntransaction_timeout = "800ms"')
        time.sleep(1)  # idle: no transaction is open, which nothing would tell
        with client.transaction():
            client.execute("SELECT pg_sleep(0.1)")
        with pytest.raises(psycopg.Error), client.transaction():
            for _ in range(100):
                client.execute("SELECT pg_sleep(0.05)")


@SCOPES
@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_client_idle_in_a_transaction_or_out_of_it_is_ended(serve: Serve, scope: str, mode: str):
    config = scope.format(
        f'mode = "{mode}"\nidle_transaction_timeout = "500ms"\nclient_idle_timeout = "500ms"'
    )
    with serve(config) as proxy, enter(proxy) as inside, enter(proxy) as outside, enter(proxy) as pinned:
        inside.execute("BEGIN")
        outside.execute("SELECT 1")
        pinned.execute("CREATE TEMP TABLE mine (id int)")
        for client, sqlstate in ((inside, "25P03"), (outside, "57P05"), (pinned, "57P05")):
            wait_for_end(client)
            assert any(
                line["sqlstate"] == sqlstate
                for limit in ("idle_transaction_timeout", "client_idle_timeout")
                for line in struck(proxy, limit)
            )
            with pytest.raises(psycopg.Error):
                client.execute("SELECT 1")


def wait_for_end(client: psycopg.Connection) -> None:
    """Return once the other end is closed, whatever it has said before."""
    assert select.select([client.fileno()], [], [], 10)[0]


# --- checks -------------------------------------------------------------------------------------------------


def test_server_check_query_is_run_on_idle_servers_and_its_failure_costs_the_connection(
    serve: Serve, database: Database
):
    with connect(database.server, database.name) as connection:
        connection.execute("CREATE TABLE checks (n int); GRANT ALL ON checks TO PUBLIC")
    config = '[pool]\nserver_check_delay = "200ms"\nserver_check_query = "INSERT INTO checks VALUES (1)"'
    with serve(config) as proxy, enter(proxy) as client:
        client.execute("SELECT 1")
        wait_until(database, "(SELECT count(*) FROM checks) >= 2")
        reload(proxy, '[pool]\nserver_check_delay = "200ms"\nserver_check_query = "SELECT 1/0"')
        deadline = time.monotonic() + 10
        while "a statement of ours failed: 22012" not in proxy.log():
            assert time.monotonic() < deadline, proxy.log()
            time.sleep(0.02)  # another process
        assert client.execute("SELECT 1").fetchone() == (1,)


# --- memory -------------------------------------------------------------------------------------------------


@SCOPES
def test_client_with_too_many_prepared_statements_is_ended(serve: Serve, scope: str):
    config = scope.format('max_client_memory = "1MiB"')
    with serve(config) as proxy, enter(proxy) as client, enter(proxy) as other:
        client.prepare_threshold = 0
        client.prepared_max = None
        with pytest.raises(psycopg.OperationalError):
            for number in range(100_000):
                client.execute(f'SELECT {number} AS "{"x" * 60}" /* {"y" * 2000} */')
        (line,) = struck(proxy, "max_client_memory")
        assert line["sqlstate"] == "53200"
        assert other.execute("SELECT 1").fetchone() == (1,)


def test_crowd_that_reads_nothing_is_thinned_out_and_newcomers_wait(serve: Serve, database: Database):
    """Above the limit of all the heaviest are disconnected; whoever reads is not."""
    with serve('[pool]\nsize = 20\nmax_total_memory = "100KiB"') as proxy, ExitStack() as stack:
        good = stack.enter_context(enter(proxy))
        lazy = [enter(proxy) for _ in range(10)]
        for client in lazy:  # their answers fill the sockets' buffers, and then ours
            client.pgconn.send_query(b"SELECT repeat('x', 1000) FROM generate_series(1, 50000)")
            client.pgconn.flush()
            stack.callback(client.close)
        deadline = time.monotonic() + 20
        while not struck(proxy, "max_total_memory"):
            assert good.execute("SELECT 1").fetchone() == (1,)
            assert time.monotonic() < deadline, show(proxy, "MEM")
        assert {line["sqlstate"] for line in struck(proxy, "max_total_memory")} == {"53200"}
        assert good.execute("SELECT 1").fetchone() == (1,)
        names = {row["name"] for row in show(proxy, "MEM")}
        assert {"client_backlog", "client_partial", "client_unsent", "client_statements"} <= names
