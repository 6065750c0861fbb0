import socket

import pytest

from dbproxy.demo.installation import PostgresError, embedded, installations
from dbproxy.demo.postgres import HOST, Postgres, free_port
from dbproxy.demo.postgres import _literal as literal


@pytest.fixture
def server():
    with Postgres("test", embedded(), "p@ss/word", 5433, {}) as postgres:
        yield postgres


def test_url_without_a_user_is_the_superusers(server: Postgres):
    assert server.dsn("demo") == "postgresql://postgres:p%40ss%2Fword@127.0.0.1:5433/demo"


def test_url_of_another_user_never_carries_the_superusers_password(server: Postgres):
    assert server.dsn("demo", "app") == "postgresql://app@127.0.0.1:5433/demo"
    assert server.dsn("demo", "app", "x") == "postgresql://app:x@127.0.0.1:5433/demo"


def test_url_by_unix_socket_fits_into_the_systems_limit(server: Postgres):
    assert server.dsn(unix=True).startswith("postgresql://postgres:p%40ss%2Fword@/postgres?host=%2F")
    assert len(str(server.socket_dir / f".s.PGSQL.{server.port}")) < 104


def test_password_is_not_in_the_representation(server: Postgres):
    assert "p@ss" not in repr(server)


def test_server_that_does_not_run_has_no_pid(server: Postgres):
    assert not server.running
    with pytest.raises(PostgresError, match="'test' is not running"):
        server.pid  # noqa: B018  # the property raises


def test_closed_server_leaves_no_folder(server: Postgres):
    server.close()
    server.close()
    assert not server.socket_dir.exists()


@pytest.mark.parametrize(
    ("value", "written"), [(True, "'on'"), (False, "'off'"), (7, "'7'"), ("it's", "'it''s'")]
)
def test_settings_are_quoted_as_postgresql_reads_them(value: str | int | bool, written: str):
    assert literal(value) == written


def test_free_port_passes_over_one_that_is_taken(monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        drawn = iter([taken.getsockname()[1], free_port()])
        monkeypatch.setattr("random.randrange", lambda *_: next(drawn))
        monkeypatch.setattr("dbproxy.demo.postgres._told", set())
        assert free_port() != taken.getsockname()[1]


def test_no_port_is_told_twice_in_a_row_of_many(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("dbproxy.demo.postgres._told", set())
    ports = [free_port() for _ in range(400)]
    assert len(set(ports)) == 400


def test_embedded_installation_comes_first_and_has_its_tools():
    first = installations()[0]
    assert (first.name, first.major) == ("embedded", 18)
    assert all(first.bin_path(tool).exists() for tool in ("psql", "pgbench", "pg_dump", "pg_restore"))
