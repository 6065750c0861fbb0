"""Servers logged in to as a database's own user, by passwords in settings, files and commands that change."""

import shlex
import sys
from pathlib import Path

import psycopg
import pytest

from tests.support.postgres import PASSWORD, Database, connect
from tests.support.serving import serving, wait_until


def who_am_i(dsn: str) -> tuple[str, str]:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT session_user, current_database()").fetchone()
    assert row is not None
    return str(row[0]), str(row[1])


def url(database: Database) -> str:
    return f"postgresql://{database.server.host}:{database.server.port}/{database.name}"


def test_all_clients_of_a_database_are_one_user_to_the_server(module_database: Database) -> None:
    name = module_database.name
    config = f"""
[users.alice]
password = "hers"
[users.bob]
password = "his"
[databases.shared]
dbname = "{name}"
user = "app"
password = "{PASSWORD}"
pool.size = 1
"""
    with serving(module_database, config=config, url=url(module_database)) as proxy:
        for user, password in (("alice", "hers"), ("bob", "his")):
            assert who_am_i(proxy.dsn("shared", user=user, password=password)) == ("app", name)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(proxy.dsn("shared", user="alice", password="his"))
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(
                proxy.dsn("shared", user="app", password=PASSWORD)
            )  # the server's, not a client's


def test_login_of_one_databases_url_opens_no_other_database(module_database: Database) -> None:
    name = module_database.name
    config = f"""
[databases.{name}]
user = "app"
password = "{PASSWORD}"
[databases.other.primary]
url = "postgresql://app:theirs@{module_database.server.host}:{module_database.server.port}/other"
"""
    with serving(module_database, config=config) as proxy:
        assert who_am_i(proxy.dsn()) == ("app", name)
        for dbname, password in (("", "theirs"), ("other", PASSWORD)):
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(proxy.dsn(dbname, password=password))


def test_databases_that_are_not_listed_have_the_keys_of_the_star(module_database: Database) -> None:
    name = module_database.name
    config = f"""
[auth]
type = "trust"
[databases.mine]
dbname = "{name}"
[databases."*"]
dbname = "{name}"
user = "app"
password = "{PASSWORD}"
"""
    with serving(module_database, config=config, url=url(module_database)) as proxy:
        for anything in ("one", "two"):
            assert who_am_i(proxy.dsn(anything, user="whoever")) == ("app", name)
        assert who_am_i(proxy.dsn("mine", user="app_trust")) == ("app_trust", name)


@pytest.mark.parametrize("way", ["file", "command"])
def test_password_that_was_changed_is_read_again(module_database: Database, tmp_path: Path, way: str) -> None:
    """A cloud's login token: the old one is refused once, and nobody but the log hears of it."""
    kept = tmp_path / "token"
    kept.write_text("first\n")
    kept.chmod(0o600)
    command = shlex.join([sys.executable, "-c", f"print(open({str(kept)!r}).read())"])
    given = f"password_file = '{kept}'" if way == "file" else f"password_command = '''{command}'''"
    config = f'[auth]\ntype = "trust"\n[users.rotating]\n{given}\n'
    with connect(module_database.server) as connection:
        connection.execute("CREATE USER rotating PASSWORD 'first'")
        try:
            with serving(module_database, config=config, url=url(module_database)) as proxy:
                assert who_am_i(proxy.dsn(user="rotating"))[0] == "rotating"
                connection.execute("ALTER USER rotating PASSWORD 'second'")
                kept.write_text("second\n")
                ours = "FROM pg_stat_activity WHERE usename = 'rotating'"
                connection.execute(f"SELECT pg_terminate_backend(pid) {ours}")
                wait_until(module_database, f"NOT EXISTS (SELECT {ours})")
                assert who_am_i(proxy.dsn(user="rotating"))[0] == "rotating"
                assert "second" not in proxy.log()
        finally:
            connection.execute("DROP USER rotating")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("false", "password_command: false failed (1)"),
        ("/no/such/program", "password_command: /no/such/program cannot be run"),
        ("true", "password_command: true has printed no"),
    ],
)
def test_command_that_gives_none_is_told(module_database: Database, command: str, told: str) -> None:
    config = f'[auth]\ntype = "trust"\n[users.app]\npassword_command = "{command}"\n'
    with serving(module_database, config=config, url=url(module_database)) as proxy:
        with pytest.raises(psycopg.OperationalError) as refused:
            who_am_i(proxy.dsn(user="app"))
        assert told in str(refused.value)
        failures = [line for line in proxy.log_lines() if line["event"] == "server login failed"]
        assert told in failures[0]["error"]


def test_scram_keys_that_do_not_fit_are_told(module_database: Database, tmp_path: Path) -> None:
    """The proxy's file has another verifier of the same password than the server."""
    with connect(module_database.server) as connection:
        row = connection.execute(
            "SELECT rolpassword FROM pg_authid WHERE rolname = 'app_password'"
        ).fetchone()
    assert row is not None
    file = tmp_path / "userlist.txt"
    file.write_text(f'"app" "{row[0]}"\n')
    with (
        serving(module_database, {"auth.file": file}, url=url(module_database)) as proxy,
        pytest.raises(psycopg.OperationalError, match="stores another SCRAM verifier for user"),
    ):
        who_am_i(proxy.dsn(user="app", password=PASSWORD))
