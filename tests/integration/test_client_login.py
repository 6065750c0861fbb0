"""Logging in through the proxy: every way a client proves who it is, with every way the server asks us."""

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import psycopg
import pytest

from tests.support.postgres import PASSWORD, USERS, Database, connect, create_database
from tests.support.proxy import Proxy
from tests.support.serving import serving

SECRETS = ("plain", "md5", "scram")


@pytest.fixture(scope="module")
def stored(module_database: Database) -> dict[str, str]:
    """What PostgreSQL stores of each user's password."""
    with connect(module_database.server) as connection:
        return dict(
            connection.execute(
                "SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword <> ''"
            ).fetchall()
        )


def userlist(folder: Path, entries: dict[str, str]) -> Path:
    path = folder / "userlist.txt"
    path.write_text("".join(f'"{user}" "{secret}"\n' for user, secret in entries.items()))
    path.chmod(0o600)
    return path


def who_am_i(dsn: str) -> str:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT session_user").fetchone()
    assert row is not None
    return str(row[0])


@pytest.fixture(scope="module", params=["scram-sha-256", "md5", "trust"])
def all_users(
    module_database: Database, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """Knows every user's plain password."""
    file = userlist(tmp_path_factory.mktemp("auth"), dict.fromkeys(USERS, PASSWORD))
    with serving(module_database, {"auth.type": request.param, "auth.file": file}) as running:
        yield running


@pytest.mark.parametrize("user", USERS)
def test_each_client_method_works_with_each_server_method(all_users: Proxy, user: str):
    assert who_am_i(all_users.dsn(user=user, password=PASSWORD)) == user


async def test_asyncpg_logs_in_too(all_users: Proxy):
    connection = await asyncpg.connect(all_users.dsn(user="app", password=PASSWORD))
    assert await connection.fetchval("SELECT session_user") == "app"
    await connection.close()


def test_scram_secret_opens_the_server_with_the_clients_own_proof(
    module_database: Database, stored: dict[str, str], tmp_path: Path
):
    """Pass-through: nobody has told the proxy the password."""
    file = userlist(tmp_path, {"app": stored["app"]})
    server = module_database.server
    url = f"postgresql://{server.host}:{server.port}/{module_database.name}"
    with serving(module_database, {"auth.file": file}, url=url) as proxy:
        assert who_am_i(proxy.dsn(user="app", password=PASSWORD)) == "app"
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            who_am_i(proxy.dsn(user="app", password="wrong"))


def test_md5_secret_opens_a_server_that_asks_for_md5(
    module_database: Database, stored: dict[str, str], tmp_path: Path
):
    file = userlist(tmp_path, {"app_md5": stored["app_md5"]})
    server = module_database.server
    url = f"postgresql://{server.host}:{server.port}/{module_database.name}"
    with serving(module_database, {"auth.file": file, "auth.type": "md5"}, url=url) as proxy:
        assert who_am_i(proxy.dsn(user="app_md5", password=PASSWORD)) == "app_md5"


@pytest.fixture(scope="module", params=["scram-sha-256", "md5"])
def strict(
    module_database: Database,
    stored: dict[str, str],
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Proxy]:
    """Knows one user by each kind of secret."""
    known = {"app_password": PASSWORD, "app_md5": stored["app_md5"], "app": stored["app"]}
    file = userlist(tmp_path_factory.mktemp("auth"), known)
    with serving(module_database, {"auth.type": request.param, "auth.file": file}) as running:
        yield running


@pytest.mark.parametrize("user", ["app", "app_md5", "app_password", "nobody", "postgres"])
def test_wrong_password_and_unknown_user_look_the_same(strict: Proxy, user: str):
    with pytest.raises(psycopg.OperationalError) as refused:
        psycopg.connect(strict.dsn(user=user, password="wrong"))
    assert re.sub(user, "USER", str(refused.value).split("FATAL: ")[1]).strip() == (
        'password authentication failed for user "USER"'
    )


@pytest.mark.parametrize("user", ["app", "nobody"])
async def test_refusal_has_its_sqlstate(strict: Proxy, user: str):
    with pytest.raises(asyncpg.InvalidPasswordError) as refused:
        await asyncpg.connect(strict.dsn(user=user, password="wrong"))
    assert refused.value.sqlstate == "28P01"


async def test_unknown_database(module_database: Database):
    with serving(module_database) as proxy:
        for _ in range(2):
            with pytest.raises(asyncpg.InvalidCatalogNameError, match='database "missing" does not exist'):
                await asyncpg.connect(proxy.dsn("missing"))
        assert who_am_i(proxy.dsn()) == "app"


async def test_wrong_password_in_our_own_url(module_database: Database):
    """The client proved itself to us, but PostgreSQL does not want us: its words, and the connection ends."""
    url = module_database.dsn.replace(PASSWORD, "outdated")
    with serving(module_database, url=url) as proxy:
        for _ in range(2):
            with pytest.raises(asyncpg.InvalidPasswordError, match='authentication failed for user "app"'):
                await asyncpg.connect(proxy.dsn())


async def test_user_that_may_not_connect_to_the_database(module_database: Database):
    with create_database(module_database.server) as other, connect(other.server, other.name) as connection:
        connection.execute(f"REVOKE CONNECT ON DATABASE {other.name} FROM PUBLIC, app")
        denied = pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for database")
        with serving(module_database) as proxy, denied:
            await asyncpg.connect(proxy.dsn(other.name))


async def test_one_client_too_many(module_database: Database):
    with serving(module_database, {"pool.max_client_conn": 3}) as proxy, ExitStack() as stack:
        first = [stack.enter_context(psycopg.connect(proxy.dsn())) for _ in range(3)]
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await asyncpg.connect(proxy.dsn())
        first[0].close()
        await proxy.logged(lambda line: line["event"] == "client disconnected")
        assert who_am_i(proxy.dsn()) == "app"


async def test_console_is_open_where_clients_are_too_many_and_nothing_else_to_administrators(
    module_database: Database,
):
    settings = {"pool.max_client_conn": 1, "auth.admin_users": "app"}
    with serving(module_database, settings) as proxy, psycopg.connect(proxy.dsn()):
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await asyncpg.connect(proxy.dsn())
        with psycopg.connect(proxy.dsn("dbproxy"), autocommit=True) as console:
            assert console.execute("SHOW STATE").fetchall()


async def test_database_under_another_name(module_database: Database):
    config = f'[databases.reports]\ndbname = "{module_database.name}"\npool.mode = "session"\n'
    with (
        serving(module_database, config=config) as proxy,
        psycopg.connect(proxy.dsn("reports")) as connection,
    ):
        assert connection.execute("SELECT current_database()").fetchone() == (module_database.name,)
        connection.execute("CREATE TEMP TABLE kept (id int)")
        connection.commit()
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


async def test_tls_is_refused_politely(module_database: Database):
    with serving(module_database) as proxy:
        with psycopg.connect(proxy.dsn(), sslmode="prefer", gssencmode="disable") as connection:
            assert not connection.pgconn.ssl_in_use
        with pytest.raises(psycopg.OperationalError, match="server does not support SSL"):
            psycopg.connect(proxy.dsn(), sslmode="require")


def test_login_that_takes_too_long(module_database: Database):
    with (
        serving(module_database, {"pool.client_login_timeout": "200ms"}) as proxy,
        psycopg.connect(proxy.dsn()) as logged_in,
        socket.create_connection((proxy.host, proxy.port), timeout=10) as silent,
    ):
        assert b"client_login_timeout" in silent.recv(1000)
        assert silent.recv(1000) == b""
        assert logged_in.execute("SELECT 1").fetchone() == (1,)
