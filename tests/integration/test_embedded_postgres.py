"""The servers that the demo and all other integration tests stand on."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from dbproxy.demo import installation
from dbproxy.demo.postgres import Postgres, create_primary
from tests.support.postgres import PASSWORD, USERS, Database, connect, wait_for_replay

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")


def count(server: Postgres, table: str) -> int:
    with connect(server) as connection:
        (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
    return int(rows)


def test_replica_shows_what_the_primary_committed(primary: Postgres, replicas: list[Postgres]):
    primary.psql("CREATE TABLE replicated AS SELECT generate_series(1, 7) AS number")
    try:
        for replica in replicas:
            wait_for_replay(primary, replica)
            assert count(replica, "replicated") == 7
        assert primary.psql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "2"
    finally:
        primary.psql("DROP TABLE replicated")


def test_promoted_replica_takes_writes(own_primary: Postgres):
    with own_primary.create_replica("heir") as heir:
        own_primary.stop("immediate")
        heir.promote()
        assert heir.psql("CREATE TABLE t (a int); SELECT pg_is_in_recovery()") == "f"


def test_restarted_server_keeps_its_data_and_its_place(own_primary: Postgres):
    own_primary.psql("CREATE TABLE kept (a int)")
    before, dsn = own_primary.pid, own_primary.dsn()
    own_primary.restart()
    assert own_primary.pid != before
    assert own_primary.dsn() == dsn
    assert count(own_primary, "kept") == 0


def test_server_that_died_by_itself_starts_again(own_primary: Postgres):
    process = psutil.Process(own_primary.pid)
    backends = process.children()
    process.kill()
    psutil.wait_procs([process, *backends], timeout=10)
    assert not own_primary.running
    own_primary.start()
    assert own_primary.psql("SELECT 1") == "1"


def test_changed_setting_is_read_on_reload(own_primary: Postgres):
    own_primary.settings["log_min_duration_statement"] = 77
    own_primary.reload()
    with connect(own_primary) as connection:
        wait_until_shown(connection, "log_min_duration_statement", "77ms")


def wait_until_shown(connection: psycopg.Connection, setting: str, value: str) -> None:
    """A session reads new settings between two statements, once the postmaster has told it."""
    while connection.execute(f"SHOW {setting}").fetchone() != (value,):
        pass  # the test's own time limit ends this


@pytest.mark.parametrize("unix", [False, True])
@pytest.mark.parametrize("user", USERS)
def test_each_user_is_asked_for_the_password_in_its_own_way(database: Database, user: str, unix: bool):
    right = database.server.dsn(database.name, user, PASSWORD, unix=unix)
    wrong = database.server.dsn(database.name, user, "wrong", unix=unix)
    method = USERS[user]
    if method == "trust":
        psycopg.connect(wrong).close()
        return
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong, require_auth=method)
    psycopg.connect(right, require_auth=method).close()


def test_md5_cluster_keeps_md5_for_its_superuser():
    with create_primary(auth="md5") as server:
        psycopg.connect(server.dsn(), require_auth="md5").close()


def test_programs_are_told_the_connection_by_their_environment(primary: Postgres):
    dump = primary.installation.run("pg_dump", "--schema-only", environment=primary.environment())
    assert "PostgreSQL database dump complete" in dump


def test_server_that_cannot_start_says_why(own_primary: Postgres):
    own_primary.stop()
    own_primary.settings["shared_buffers"] = "a lot"
    with pytest.raises(installation.PostgresError) as failed:
        own_primary.start()
    assert "shared_buffers" in failed.value.detail
    assert not own_primary.running


def test_failed_program_is_quoted(primary: Postgres):
    with pytest.raises(installation.PostgresError, match="psql failed") as failed:
        primary.psql("SELECT no_such_column")
    assert "no_such_column" in failed.value.detail


def test_nothing_is_left_when_we_are_killed():
    script = (
        "import sys; from dbproxy.demo.postgres import create_primary\n"
        "server = create_primary(); replica = server.create_replica('r')\n"
        "print(server.pid, replica.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        servers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        processes = [process for server in servers for process in (server, *server.children(recursive=True))]
        parent.kill()
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert len(servers) == 2
    assert not alive


@root_only
def test_servers_of_root_do_not_run_as_root(primary: Postgres):
    assert psutil.Process(primary.pid).uids().effective != 0


@pytest.fixture
def closed_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The wheel where only root can read it, as in root's own home, and nothing copied yet."""
    with tempfile.TemporaryDirectory() as private, tempfile.TemporaryDirectory() as cache:
        package = installation.embedded().bin_dir.parents[1]
        for name in (package.name, f"{package.name}.libs"):
            if package.with_name(name).exists():
                shutil.copytree(package.with_name(name), Path(private) / name, symlinks=True)
        Path(cache).chmod(0o755)
        monkeypatch.syspath_prepend(private)
        monkeypatch.setattr(installation, "cache_dir", lambda: Path(cache))
        yield Path(private)


@root_only
def test_binaries_that_the_account_cannot_read_are_copied_once(closed_folder: Path):
    first = installation.embedded()
    assert not first.bin_dir.is_relative_to(closed_folder)
    made = first.bin_path("postgres").stat().st_ino
    assert installation.embedded().bin_path("postgres").stat().st_ino == made
    with create_primary(installation=first) as server:
        assert server.psql("SELECT 1") == "1"


def test_debians_postgres_serves_the_same_users(debian_postgres: Postgres):
    assert debian_postgres.installation.name.startswith("debian")
    for user in USERS:
        psycopg.connect(debian_postgres.dsn("postgres", user, PASSWORD)).close()


def test_clusters_made_at_the_same_time_share_one_template_and_no_data(monkeypatch: pytest.MonkeyPatch):
    with tempfile.TemporaryDirectory() as cache:
        Path(cache).chmod(0o755)
        monkeypatch.setattr("dbproxy.demo.postgres.cache_dir", lambda: Path(cache))
        with ThreadPoolExecutor() as threads:
            made = [threads.submit(create_primary, name=name) for name in ("one", "other")]
        with made[0].result() as one, made[1].result() as other:
            one.psql("CREATE TABLE only_here (a int)")
            assert other.psql("SELECT to_regclass('only_here') IS NULL") == "t"
        assert len([path for path in Path(cache).iterdir() if path.is_dir()]) == 1
