"""`pg_cancel_backend` and `pg_terminate_backend` act on the client that was told the process id at its login."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from dbproxy.wire import build
from tests.support.blocking_client import BlockingClient, error_of, first_value
from tests.support.postgres import Database, connect
from tests.support.proxy import Proxy
from tests.support.serving import serving, wait_for_activity

SLEEP = build.query("SELECT pg_sleep(67)")


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    """A pool of two."""
    settings = {"pool.size": 2, "pool.reserve_size": 0, "auth.type": "trust"}
    with serving(module_database, settings) as running:
        yield running


@pytest.fixture
def enter(proxy: Proxy, module_database: Database) -> Iterator[Callable[..., BlockingClient]]:
    with ExitStack() as stack:

        def enter(user: str = "app_trust") -> BlockingClient:
            who = {"user": user, "database": module_database.name}
            return stack.enter_context(BlockingClient(proxy.host, proxy.port, **who))

        yield enter


@pytest.fixture
def psycopg_client(proxy: Proxy) -> Iterator[psycopg.Connection]:
    with psycopg.connect(proxy.dsn(user="app_trust"), autocommit=True) as client:
        yield client


def is_terminated(client: BlockingClient) -> bool:
    """It has been told 57P01, and no more."""
    kind, payload = client.read()
    assert error_of([(kind, payload)])["C"] == "57P01"
    with pytest.raises(ConnectionError):
        client.read()
    return True


@contextmanager
def sleeping(client: BlockingClient, database: Database) -> Iterator[None]:
    """It runs a query, which is cancelled."""
    client.send(SLEEP)
    wait_for_activity(database, "SELECT pg_sleep(67)")
    yield
    assert error_of(client.read_until_ready())["C"] == "57014"
    assert client.values("SELECT 1") == ["1"]


@pytest.mark.parametrize(
    "call", ["{}", "'{}'", "{}::int", "'{}'::int4", "CAST({} AS integer)", " /* ) */ {} -- )\n"]
)
def test_running_query_is_canceled_by_the_id_in_the_text(
    enter: Callable[..., BlockingClient], module_database: Database, call: str
):
    one, other = enter(), enter()
    with sleeping(other, module_database):
        assert one.values(f"SELECT pg_cancel_backend({call.format(other.pid)})") == ["t"]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("prepare", [True, False])
@pytest.mark.parametrize("sql", ["SELECT pg_cancel_backend(%s)", "SELECT pg_cancel_backend(%s::int) AS x, 1"])
def test_running_query_is_canceled_by_the_id_in_a_parameter(
    enter: Callable[..., BlockingClient], module_database: Database, psycopg_client: psycopg.Connection,
    binary: bool, prepare: bool, sql: str,
):  # fmt: skip
    other = enter()
    for _ in range(2):
        with sleeping(other, module_database):
            parameter = sql.replace("%s", "%b" if binary else "%t")
            cursor = psycopg_client.execute(parameter, [other.pid], prepare=prepare)
            assert cursor.fetchone()[0] is True


def test_client_that_waits_for_a_server_is_canceled(enter: Callable[..., BlockingClient]):
    holders = [enter(), enter()]
    other = enter()
    for holder in holders:
        holder.ask(build.query("BEGIN"))
    other.send(build.query("SELECT 1"))
    answer: list[str | None] = []
    while True:  # the request and the cancel come by different lines
        answer += holders[0].values(f"SELECT pg_cancel_backend({other.pid})")
        other.socket.settimeout(0.1)
        try:
            assert error_of(other.read_until_ready())["C"] == "57014"
        except TimeoutError:
            continue
        break
    assert set(answer) == {"t"}


def test_client_that_runs_nothing_notices_nothing_of_a_cancel(enter: Callable[..., BlockingClient]):
    one, other = enter(), enter()
    for state in ("SELECT 1", "BEGIN"):
        other.ask(build.query(state))
        assert one.values(f"SELECT pg_catalog.pg_cancel_backend({other.pid})") == ["t"]
        assert other.values("SELECT 1") == ["1"]


@pytest.mark.parametrize(
    "state", ["SELECT 1", "BEGIN", "BEGIN; SELECT 1/0", "CREATE TEMP TABLE own (id int)"]
)
@pytest.mark.parametrize("arguments", ["{}", "{}, 5000"])
def test_client_is_disconnected(enter: Callable[..., BlockingClient], state: str, arguments: str):
    one, other = enter(), enter()
    other.ask(build.query(state))
    assert one.values(f"SELECT pg_terminate_backend({arguments.format(other.pid)})") == ["t"]
    assert is_terminated(other)


def test_client_is_disconnected_with_its_query(
    enter: Callable[..., BlockingClient], module_database: Database, psycopg_client: psycopg.Connection
):
    other = enter()
    other.send(SLEEP)
    wait_for_activity(module_database, "SELECT pg_sleep(67)")
    row = psycopg_client.execute("SELECT pg_terminate_backend(%s, %s)", [other.pid, 5000]).fetchone()
    assert row == (True,)
    assert is_terminated(other)


@pytest.mark.parametrize("parameter", [True, False])
def test_client_that_names_itself_is_answered_by_postgresql(proxy: Proxy, parameter: bool):
    with psycopg.connect(proxy.dsn(user="app_trust"), autocommit=True) as client:
        pid = client.info.backend_pid

        def call(function: str) -> None:
            client.execute(f"SELECT {function}(%s)", [pid]) if parameter else client.execute(
                f"SELECT {function}({pid})"
            )

        with pytest.raises(psycopg.errors.QueryCanceled):
            call("pg_cancel_backend")
        assert client.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.errors.AdminShutdown):
            call("pg_terminate_backend")
        assert client.closed


def test_client_of_another_user_is_left_alone(
    enter: Callable[..., BlockingClient], psycopg_client: psycopg.Connection
):
    other = enter("app")
    for function, what in (
        ("pg_cancel_backend", "cancel query"),
        ("pg_terminate_backend", "terminate process"),
    ):
        for call in (str(other.pid), "%s"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"permission denied to {what}"):
                psycopg_client.execute(f"SELECT {function}({call})", [other.pid] if call == "%s" else None)
    assert other.values("SELECT 1") == psycopg_client.execute("SELECT '1'").fetchone()[0].split() == ["1"]


def test_superuser_ends_anybody(enter: Callable[..., BlockingClient], module_database: Database):
    with connect(module_database.server) as boss:
        boss.execute("ALTER ROLE app_trust SUPERUSER")
        try:
            with serving(module_database, {"auth.type": "trust"}) as proxy, ExitStack() as stack:
                one, other = (
                    stack.enter_context(
                        BlockingClient(proxy.host, proxy.port, user=user, database=module_database.name)
                    )
                    for user in ("app_trust", "app")
                )
                assert one.values(f"SELECT pg_terminate_backend({other.pid})") == ["t"]
                assert is_terminated(other)
        finally:
            boss.execute("ALTER ROLE app_trust NOSUPERUSER")


def test_id_that_is_nobodys_is_postgresqls_to_judge(
    enter: Callable[..., BlockingClient], psycopg_client: psycopg.Connection
):
    other = enter()
    other.close()
    warnings: list[str] = []
    psycopg_client.add_notice_handler(lambda notice: warnings.append(notice.message_primary or ""))
    for parameters, call in (([other.pid], "%s"), (None, str(other.pid))):
        assert psycopg_client.execute(f"SELECT pg_cancel_backend({call})", parameters).fetchone() == (False,)
        assert "is not a PostgreSQL backend process" in warnings.pop()
    backend = psycopg_client.execute("SELECT pg_backend_pid()").fetchone()[0]
    with pytest.raises(psycopg.errors.QueryCanceled):
        psycopg_client.execute("SELECT pg_cancel_backend(%s)", [backend])


def test_nobody_is_disconnected_by_a_failed_transaction(enter: Callable[..., BlockingClient]):
    one, other = enter(), enter()
    one.ask(build.query("BEGIN; SELECT 1/0"))
    answer = one.ask(build.query(f"SELECT pg_terminate_backend({other.pid})"))
    assert error_of(answer)["C"] == "25P02"
    assert other.values("SELECT 1") == ["1"]


@pytest.mark.parametrize(
    "call", ["pg_cancel_backend({})", "not pg_cancel_backend({}), 2 AS b", "pg_cancel_backend({}) AS x"]
)
def test_answer_has_the_shape_of_postgresqls(enter: Callable[..., BlockingClient], call: str):
    """But for the value: RowDescription, DataRow and tag."""
    one, other = enter(), enter()
    answer = one.ask(build.query(f"SELECT {call.format(other.pid)}"))
    theirs = [
        message for message in one.ask(build.query(f"SELECT {call.format(2**22 - 1)}")) if message[0] != "N"
    ]
    assert [kind for kind, _ in answer] == [kind for kind, _ in theirs]
    assert answer[0] == theirs[0]
    assert first_value(answer[1][1]) == ("f" if call.startswith("not") else "t")
