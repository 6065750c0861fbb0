"""`dbproxy admin` and `dbproxy top` as an operator types them: output, exit codes, keys."""

import csv
import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from benchmarks.targets import PGBOUNCER, pgbouncer
from dbproxy.demo.postgres import create_primary
from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving

SETTINGS = {"pool.size": 1, "pool.reserve_size": 0, "auth.admin_users": "app"}
DBPROXY = (sys.executable, "-m", "dbproxy")


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    """Its users log in by SCRAM; the command knows the password by the proxy's own settings."""
    with serving(module_database, SETTINGS) as running:
        yield running


def run(proxy: Proxy, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    environment = {**proxy.environment, **environ}
    return subprocess.run(
        [*DBPROXY, *words], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@contextmanager
def holding(proxy: Proxy) -> Iterator[psycopg.Connection]:
    """The only server, with a literal that nobody is to see."""
    with psycopg.connect(proxy.dsn(), application_name="holder") as client:
        client.execute("SELECT 'hunter2'")
        yield client


def test_table_json_and_csv_tell_the_same(proxy: Proxy):
    with holding(proxy):
        table, lines, rows = (
            run(proxy, "admin", "SHOW HOLDERS", "--format", f) for f in ("table", "json", "csv")
        )
    assert [done.returncode for done in (table, lines, rows)] == [0, 0, 0]
    (record,) = json.loads(lines.stdout)
    (row,) = csv.DictReader(io.StringIO(rows.stdout))
    assert (record["application_name"], record["state"], record["statement"]) == (
        "holder",
        "idle in transaction",
        "SELECT $?",
    )
    assert row["server_pid"] == str(record["server_pid"])
    assert str(record["server_pid"]) in table.stdout
    assert "hunter2" not in table.stdout + lines.stdout + rows.stdout


def test_actions_are_done_and_confirmed(proxy: Proxy):
    done = run(proxy, "admin", "PAUSE", "SHOW STATE", "RESUME")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "PAUSE"
    assert " paused    | yes" in done.stdout
    assert done.stdout.splitlines()[-1] == "RESUME"


@pytest.mark.parametrize(
    ("words", "environ", "code", "told"),
    [
        (["admin", "NONSENSE"], {}, 1, "invalid command 'NONSENSE', use SHOW HELP;"),
        (["admin", "SET nonsense = 1"], {}, 1, "What can be SET: cache."),
        (["admin", "SHOW STATE"], {"PGPASSWORD": "wrong"}, 1, "password authentication failed"),
        (["admin", "SHOW STATE", "--port", "1"], {}, 1, "cannot connect to the console at 127.0.0.1:1"),
        (["top", "--once", "--port", "1"], {}, 1, "cannot connect to the console at 127.0.0.1:1"),
        (["admin", "SHOW STATE", "--user", "stranger"], {}, 2, "Set PGPASSWORD"),
        (["admin", "SHOW STATE"], {"DBPROXY_POOL__SIZE": "none"}, 2, "the configuration is wrong"),
        (["admin"], {}, 2, "COMMAND"),
        (["admin", "SHOW STATE", "--format", "xml"], {}, 2, "'xml'"),
        (["top"], {}, 2, "terminal"),
    ],
)
def test_exit_code_says_whose_fault_it_is(
    proxy: Proxy, words: list[str], environ: dict[str, str], code: int, told: str
):
    done = run(proxy, *words, **environ)
    assert (done.returncode, told in done.stderr) == (code, True), done.stderr
    assert done.stdout == ""


def test_top_shows_all_of_it_once(proxy: Proxy):
    with holding(proxy):
        done = run(proxy, "top", "--once", COLUMNS="150")
    assert done.returncode == 0
    titles = [line.split()[0] for line in done.stdout.splitlines() if line[:1].isupper()]
    assert titles == ["HOSTS", "POOLS", "TRAFFIC", "HOLDERS", "WAITS", "QUERIES"]
    assert "idle in transaction" in done.stdout
    assert "hunter2" not in done.stdout
    assert "\x1b" not in done.stdout


def test_top_follows_until_q(proxy: Proxy):
    leader, follower = pty.openpty()
    environment = {**proxy.environment, "TERM": "xterm-256color", "COLUMNS": "150", "LINES": "50"}
    process = subprocess.Popen(
        [*DBPROXY, "top", "--interval", "0.1"],
        env=environment,
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    try:
        read_until(leader, b"HOLDERS  none")
        with holding(proxy):
            read_until(leader, b"idle in transaction")
        read_until(leader, b"HOLDERS  none")
        os.write(leader, b"q")
        read_until(leader, b"\x1b[?1049l")  # the screen that was there before is back
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait(10)
        os.close(leader)


def read_until(terminal: int, wanted: bytes) -> None:
    seen = b""
    deadline = time.monotonic() + 20
    while wanted not in seen:
        ready, _, _ = select.select([terminal], [], [], deadline - time.monotonic())
        assert ready, f"never: {wanted!r} in {seen[-2000:]!r}"
        seen += os.read(terminal, 65536)


@pytest.mark.skipif(not PGBOUNCER, reason="PgBouncer is not installed")
def test_pgbouncers_console_is_asked_in_the_same_way(proxy: Proxy):
    with create_primary(auth="trust") as primary, pgbouncer(primary, 2) as target:
        where = ("--port", str(target.port), "--user", primary.superuser)
        pools = run(proxy, "admin", "SHOW POOLS", "--format", "json", *where)
        top = run(proxy, "top", "--once", *where)
        refused = run(proxy, "admin", "SHOW WAITS", *where)
    assert pools.returncode == 0, pools.stderr
    assert {"pgbouncer", "postgres"} <= {row["database"] for row in json.loads(pools.stdout)}
    assert top.returncode == 0, top.stderr
    titles = [line.split()[0] for line in top.stdout.splitlines() if line[:1].isupper()]
    assert titles == ["PgBouncer", "POOLS", "TRAFFIC"]
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "invalid command 'SHOW WAITS', use SHOW HELP;" in refused.stderr


def test_wait_that_timed_out_names_the_holder_to_the_application_and_in_the_log(module_database: Database):
    with (
        serving(module_database, {**SETTINGS, "pool.query_wait_timeout": "300ms"}) as proxy,
        psycopg.connect(proxy.dsn(), autocommit=True, application_name="pinner") as pinner,
        psycopg.connect(proxy.dsn(), autocommit=True) as waiting,
    ):
        pinner.execute("CREATE TEMP TABLE mine (word text DEFAULT 'hunter2')")
        with pytest.raises(psycopg.errors.TooManyConnections, match="query_wait_timeout") as raised:
            waiting.execute("SELECT 'hunter2'")
        detail = str(raised.value.diag.message_detail)
        assert '"pinner"' in detail
        assert ", pinned (temp), last: CREATE TEMP TABLE mine (word text DEFAULT $?)" in detail
        (line,) = [line for line in proxy.log_lines() if line.get("limit") == "query_wait_timeout"]
        assert (line["level"], line["refused"], len(line["holders"])) == ("warning", 1, 1)
        assert "CREATE TEMP TABLE mine" in line["holders"][0]
        assert "hunter2" not in f"{raised.value}{detail}{proxy.log()}"
