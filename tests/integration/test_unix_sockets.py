"""Unix sockets on both sides."""

import stat
from pathlib import Path

import psycopg
import pytest

from tests.integration.test_terminal import run
from tests.support.postgres import PASSWORD, Database
from tests.support.proxy import Proxy
from tests.support.serving import serving


def backend_address(connection: psycopg.Connection) -> object:
    return (connection.execute("SELECT inet_server_addr()").fetchone() or ("nothing",))[0]


def test_client_comes_by_a_unix_socket(database: Database, tmp_path: Path):
    settings = {"listen.unix_socket_dir": tmp_path, "listen.unix_socket_mode": "0700"}
    with serving(database, settings) as proxy:
        where = {"host": str(tmp_path), "port": proxy.port, "dbname": database.name}
        with psycopg.connect(**where, user="app", password=PASSWORD) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(**where, user="app", password="wrong")
        place = tmp_path / f".s.PGSQL.{proxy.port}"
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert proxy.stop() == 0
        assert not place.exists()


def test_only_a_unix_socket(database: Database, tmp_path: Path):
    class WithoutTcp(Proxy):
        def _listens(self) -> bool:
            return (tmp_path / f".s.PGSQL.{self.port}").exists()

    settings = {"listen.unix_socket_dir": tmp_path, "listen.host": "", "auth.admin_users": "app"}
    with WithoutTcp(database.dsn, settings=settings) as proxy:
        with psycopg.connect(
            host=str(tmp_path), port=proxy.port, dbname=database.name, user="app", password=PASSWORD
        ) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(proxy.dsn())
        done = run(proxy, "admin", "SHOW STATE", "--format", "csv")
        assert (done.returncode, done.stdout.splitlines()[1]) == (0, "active,yes"), done.stderr


def test_console_is_asked_on_an_abstract_socket(database: Database):
    settings = {"listen.unix_socket_dir": "@dbproxy-test-console", "auth.admin_users": "app"}
    with serving(database, settings) as proxy:
        done = run(proxy, "admin", "SHOW STATE", "--format", "csv", "--host", "@dbproxy-test-console")
        assert (done.returncode, done.stdout.splitlines()[1]) == (0, "active,yes"), done.stderr


def test_server_is_reached_by_a_unix_socket(database: Database):
    url = database.server.dsn(database.name, "app", PASSWORD, unix=True)
    with serving(database, url=url) as proxy:
        dsn = f"postgresql://app:{PASSWORD}@{proxy.host}:{proxy.port}/{database.name}"
        with psycopg.connect(dsn, autocommit=True) as connection:
            assert backend_address(connection) is None  # no address: a Unix socket
            connection.execute("SELECT set_config('statement_timeout', '100', true), pg_sleep(0)")
            connection.cancel_safe()
    with psycopg.connect(database.dsn) as direct:
        assert backend_address(direct) is not None


def test_cancel_goes_by_the_unix_socket_too(database: Database):
    url = database.server.dsn(database.name, "app", PASSWORD, unix=True)
    with serving(database, url=url) as proxy:
        dsn = f"postgresql://app:{PASSWORD}@{proxy.host}:{proxy.port}/{database.name}"
        with psycopg.connect(dsn, autocommit=True) as connection, connection.pipeline():
            sleeping = connection.execute("SELECT pg_sleep(60)")
            connection.pgconn.flush()
            connection.cancel_safe()
            with pytest.raises(psycopg.errors.QueryCanceled):
                sleeping.fetchone()
