"""`dbproxy batch`, as an operator uses it: what it prints, and how it exits."""

import re
import signal
import socket
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.support.batches import COUNTS, ONCE, ask, command, create, execute, start, wait_until
from tests.support.postgres import Database, connect

ROWS = 2_000
MIB = 1 << 20
RUN = ("run", "--table", "t", "--key", "id")
SLOW = ("--set", "chunk_size=5", "--set", "adaptive=false")


@pytest.fixture(autouse=True)
def table(database: Database) -> None:
    create(database, ROWS)


def test_plan_is_shown_and_nothing_is_done(database: Database):
    ask(database, "CREATE TABLE parts (t int REFERENCES t); CREATE INDEX ON t (c)")
    ask(database, "CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    ask(database, "CREATE TRIGGER audit BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION noop()")
    code, out, err = command(database.dsn, *RUN, "UPDATE t SET c = lower(c) WHERE {chunk} AND c <> lower(c)")
    assert (code, err) == (0, "")
    for line in (
        "run public.t by (id): UPDATE t SET c = lower(c) WHERE {chunk} AND c <> lower(c)",
        "index t_pkey; keys from (1) to (2000)",
        "trigger audit fires for each row",
        "no HOT update, as t_c_idx holds what is changed: every index grows",
        "about 2000 rows; 2 chunks of 1000, then as many as take 500ms; workers: 1",
        "a chunk may take 900ms and wait 200ms for a row; deadlock_timeout is 1s",
        "Nothing was done: --execute does it.",
    ):
        assert line in out.splitlines()
    assert "Index Scan using t_pkey on t" in out
    assert ask(database, "SELECT to_regclass('dbproxy.batch_jobs'), (SELECT max(n) FROM t)") == [(None, 0)]


@pytest.mark.parametrize("source", ["proxy", "wal"])
def test_operator_is_told_of_kept_answers_that_do_not_hear_of_it(
    database: Database, tmp_path: Path, source: str
):
    file = tmp_path / "dbproxy.toml"
    file.write_text(f'[cache]\ninvalidation = "{source}"\n[databases.shop.cache]\nmode = "on"\n')
    _, out, err = command(database.dsn, *RUN, ONCE, "--config", str(file))
    assert "Nothing was done" in out
    assert ("dbproxy cache invalidate" in err) == (source == "proxy")


def test_plan_of_a_delete_tells_of_tables_that_refer_to_it(database: Database):
    ask(database, "CREATE TABLE parts (t int REFERENCES t)")
    _, out, _ = command(database.dsn, *RUN, "DELETE FROM t WHERE {chunk} AND id % 2 = 0")
    assert "parts refers to it, WITHOUT AN INDEX: it is read whole for each row" in out
    ask(database, "CREATE INDEX ON parts (t)")
    _, out, _ = command(database.dsn, *RUN, "DELETE FROM t WHERE {chunk} AND id % 2 = 0")
    assert "parts refers to it, by an index" in out


def test_plan_tells_who_blocks_it_and_which_promise_is_off(database: Database):
    with connect(database.server, database.name) as other, other.transaction():
        other.execute("LOCK TABLE t IN SHARE MODE")
        _, out, _ = command(database.dsn, *RUN, ONCE, "--set", "adaptive=false")
    assert re.search(r"BLOCKED by process \d+ \(no name\), which holds ShareLock", out)
    assert "WITHOUT adaptive sizes the application may lose a deadlock" in out


def test_batch_is_carried_out_and_shown(database: Database):
    code, out, _ = command(database.dsn, *RUN, "--id", "once", ONCE, "--execute")
    assert code == 0
    assert re.fullmatch(r"once  done  2000 rows, 2000 seen, \d+ chunks, 0 errors\n", out)
    assert ask(database, COUNTS) == [(1, ROWS)]
    assert command(database.dsn, "status", "once") == (0, out, "")
    assert command(database.dsn, "status") == (0, out, "")
    planned = command(database.dsn, *RUN, "--id", "once", ONCE)[1]
    assert "ANOTHER --id is needed, as there is batch once  done  2000 rows" in planned
    code, _, err = command(database.dsn, *RUN, "--id", "once", ONCE, "--execute")
    assert (code, "is done already" in err) == (2, True)
    code, out, _ = command(database.dsn, *RUN, ONCE, "--execute")
    assert (code, out.split()[0], ask(database, COUNTS)) == (0, "t-1", [(2, ROWS)])


def test_workers_are_as_many_as_it_is_told(database: Database):
    ask(database, "CREATE TABLE there (LIKE t)")
    for words in ((*RUN, ONCE), ("copy", "--table", "t", "--into", "there")):
        code, out, _ = command(database.dsn, *words, "--workers", "2")
        assert (code, "workers: 2" in out) == (0, True)
    code, _, err = command(database.dsn, *RUN, ONCE, "--workers", "2", "--set", "workers=3")
    assert (code, "says another number than" in err) == (2, True)
    assert command(database.dsn, *RUN, "--id", "two", ONCE, "--workers", "2", "--execute")[0] == 0
    assert ask(database, "SELECT count(*) FROM dbproxy.batch_progress") == [(2,)]


def test_batch_with_errors_exits_by_three_and_they_are_listed_and_tried_again(database: Database):
    ask(database, "ALTER TABLE t ADD CONSTRAINT odd CHECK (n = 0 OR id <> 7)")
    code, out, _ = command(database.dsn, *RUN, "--id", "bad", ONCE, "--execute")
    assert (code, "1999 rows" in out, "1 error\n" in out) == (3, True, True)
    code, out, _ = command(database.dsn, "errors", "bad")
    assert code == 0
    assert out.startswith('(7)  23514  new row for relation "t" violates check constraint "odd"')
    assert command(database.dsn, "errors", "bad", "--retry")[:2] == (
        3,
        "rows changed now: 0; still left out: 1\n",
    )
    ask(database, "ALTER TABLE t DROP CONSTRAINT odd")
    assert command(database.dsn, "errors", "bad", "--retry")[:2] == (
        0,
        "rows changed now: 1; still left out: 0\n",
    )
    assert command(database.dsn, "errors", "bad") == (0, "", "batch bad has left nothing out\n")
    assert ask(database, COUNTS) == [(1, ROWS)]


def test_batch_that_fails_exits_by_one_and_is_resumed(database: Database):
    ask(database, "ALTER TABLE t ADD CHECK (n = 0 OR id <> 700)")
    code, _, err = command(database.dsn, *RUN, "--id", "f", ONCE, "--execute", "--set", "error_handling=fail")
    assert (code, "the row with key (700) cannot be changed: 23514" in err) == (1, True)
    code, out, _ = command(database.dsn, "status", "f")
    assert "f  failed  699 rows" in out
    code, _, err = command(database.dsn, "resume", "f")
    assert (code, "key (700)" in err) == (1, True)
    code, _, _ = command(database.dsn, "resume", "f", "--set", "error_handling=accumulate")
    assert (code, ask(database, COUNTS)) == (3, [(0, 1), (1, ROWS - 1)])


def test_batch_is_paused_and_resumed_and_cancelled_from_elsewhere(database: Database):
    create(database, 50_000)
    process = start(database.dsn, *RUN, "--id", "told", ONCE, "--execute", *SLOW)
    try:
        wait_until(lambda: state(database) == "running")
        code, out, _ = command(database.dsn, "resume", "told")
        assert (code, out) == (
            0,
            f"batch told runs already (pid {process.pid}, host {socket.gethostname()})\n",
        )
        assert command(database.dsn, "pause", "told") == (0, "batch told: it waits after its chunk\n", "")
        wait_until(lambda: state(database) == "paused")
        rows = ask(database, "SELECT count(*) FROM t WHERE n = 1")
        assert "told  paused  " in command(database.dsn, "status", "told")[1]
        assert ask(database, "SELECT count(*) FROM t WHERE n = 1") == rows
        assert command(database.dsn, "resume", "told") == (0, "batch told goes on\n", "")
        wait_until(lambda: ask(database, "SELECT count(*) FROM t WHERE n = 1") > rows)
        code, _, err = command(database.dsn, "resume", "told", "--set", "workers=4")
        assert (code, "workers is settled when a batch begins" in err) == (2, True)
        assert command(database.dsn, "cancel", "told") == (0, "batch told: it ends after its chunk\n", "")
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, "batch told was cancelled" in err) == (1, True)
    assert state(database) == "cancelled"
    assert ask(database, "SELECT throttled ? 'paused' FROM dbproxy.batch_jobs") == [(True,)]


def test_batch_that_failed_is_given_up_and_not_gone_on_with(database: Database):
    words = (*RUN, "UPDATE t SET n = 1 / (id - 9) WHERE {chunk}", "--set", "error_handling=fail", "--execute")
    assert command(database.dsn, *words)[0] == 1
    assert "It goes on with batch t-1  failed  8 rows" in command(database.dsn, *words[:-1])[1]
    assert command(database.dsn, "pause", "t-1") == (1, "", "dbproxy: batch t-1 does not run: it is failed\n")
    assert command(database.dsn, "cancel", "t-1") == (0, "batch t-1 is given up\n", "")
    code, _, err = command(database.dsn, "cancel", "t-1")
    assert (code, err) == (1, "dbproxy: batch t-1 does not run: it is cancelled\n")
    assert command(database.dsn, *words)[0] == 1
    assert ask(database, "SELECT id, state FROM dbproxy.batch_jobs ORDER BY id") == [
        ("t-1", "cancelled"),
        ("t-2", "failed"),
    ]


def test_batch_that_was_killed_while_it_was_paused_is_given_up_or_resumed(database: Database):
    process = start(
        database.dsn, *RUN, "--id", "told", *SLOW, ONCE, "--execute", "--set", "throttle.nice_ratio=9"
    )
    try:
        wait_until(lambda: state(database) == "running")
        command(database.dsn, "pause", "told")
        wait_until(lambda: state(database) == "paused")
    finally:
        process.kill()
        process.communicate()
    wait_until(lambda: "interrupted" in command(database.dsn, "status", "told")[1])
    assert command(database.dsn, "cancel", "told")[1] == "batch told is given up\n"
    assert command(database.dsn, "status", "told")[1].startswith("told  cancelled  ")
    assert command(database.dsn, "resume", "told", "--set", "throttle.nice_ratio=0")[0] == 0
    assert ask(database, COUNTS) == [(1, ROWS)]


def test_what_is_in_rows_does_not_steer_the_terminal(database: Database):
    key = r"E'\033[2Jall\nis done'"
    ask(
        database,
        f"DROP TABLE t; CREATE TABLE t (id text PRIMARY KEY, n int CHECK (n < 1)); INSERT INTO t VALUES ({key}, 0)",
    )
    code, out, err = command(database.dsn, *RUN, ONCE)
    assert (code, err) == (0, "")
    assert r"keys from (\x1b[2Jall\nis done) to (\x1b[2Jall\nis done)" in out
    ways = (("--set", "error_handling=fail"), 1), (("--id", "all"), 3)
    for words, exits in ways:
        code, _, err = command(database.dsn, *RUN, ONCE, "--execute", *words)
        assert (code, "\x1b" in err) == (exits, False)
    for words in (("status", "t-1"), ("errors", "all")):
        code, out, err = command(database.dsn, *words)
        assert (code, err, out.count("\n")) == (0, "", 1)
        assert r"\x1b[2Jall\nis done" in out


def test_help_names_the_sections_of_settings(database: Database):
    code, out, _ = command(database.dsn, "run", "--help")
    assert (code, "A setting of [batch]" in out, "[http]" in out) == (0, True, True)


def state(database: Database) -> str:
    if ask(database, "SELECT to_regclass('dbproxy.batch_jobs') IS NULL") == [(True,)]:
        return ""
    found = ask(database, "SELECT state FROM dbproxy.batch_jobs WHERE started IS NOT NULL")
    return str(found[0][0]) if found else ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_after_its_chunk_and_it_is_resumed(database: Database, number: signal.Signals):
    create(database, 20_000)
    process = start(database.dsn, *RUN, "--id", "sig", ONCE, "--execute", *SLOW)
    wait_until(lambda: state(database) == "running")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert "batch sig was interrupted: dbproxy batch resume goes on with it" in err
    assert state(database) == "interrupted"
    code, _, _ = command(database.dsn, "resume", "sig", "--set", "adaptive=true")
    assert (code, ask(database, COUNTS)) == (0, [(1, 20_000)])


def test_size_of_a_batch_is_set_while_it_runs(database: Database):
    create(database, 50_000)
    process = start(database.dsn, *RUN, "--id", "size", ONCE, "--execute", *SLOW)
    wait_until(lambda: state(database) == "running")
    ask(database, """UPDATE dbproxy.batch_jobs SET settings = settings || '{"chunk_size": "5000"}'""")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert ask(database, COUNTS) == [(1, 50_000)]
    assert ask(database, "SELECT chunks < 9000 FROM dbproxy.batch_progress") == [(True,)]


def test_what_is_left_is_counted(database: Database):
    statement = "UPDATE t SET n = 1 WHERE {chunk} AND n = 0"
    assert command(database.dsn, *RUN, "--id", "v", statement, "--execute")[0] == 0
    assert command(database.dsn, "verify", "v") == (0, "rows left for batch v to change: 0\n", "")
    ask(database, "INSERT INTO t VALUES (-1, 0), (-2, 0)")
    assert command(database.dsn, "verify", "v") == (1, "rows left for batch v to change: 2\n", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "--table", "t", "UPDATE t SET n = 1"), "it needs {chunk} once in its WHERE"),
        (("run", "--table", "t", "UPDATE u SET n = 1 WHERE {chunk}"), "the statement has t nowhere"),
        (("run", "--table", "t", "UPDATE t SET nn = 1 WHERE {chunk}"), 'column "nn"'),
        (("run", "--table", "x", ONCE), "there is no table x"),
        (("run", "--table", "T t", ONCE), "in double quotes"),
        (("run", "--table", "t", ONCE, "--set", "chunk_size"), "such as chunk_size=500"),
        (("load", "-", "--format", "csv", "--table", "t", "--set", "workers=x"), "batch.workers"),
        (("run", "--table", "t", ONCE, "--proxy", "http://me:hidden@proxy:9127"), "must be without a user"),
        (("run", "--table", "t", ONCE, "--set", "chunk_size=0"), "must be at least 1"),
        (("run", "--table", "t", ONCE, "--set", "chunk_size=-5"), "must be a whole number"),
        (("run", "--table", "t", ONCE, "--set", "chunksize=5"), "chunksize"),
        (("run", "--table", "t", ONCE, "--set", "workers=9"), "must be at most 8"),
        (("run", "--table", "t", ONCE, "--url", "mysql://x"), "--url"),
        (("run", "--table", "t", ONCE, "--id", "a b;"), "'a b;' cannot be a batch's id"),
        (
            ("run", "--table", "t", ONCE, "--no-throttle", "--set", "throttle.enabled=true"),
            "--no-throttle: says the opposite",
        ),
        (
            ("run", "--table", "t", ONCE, "--proxy", "off", "--set", "throttle.proxy=http://a:1"),
            "--proxy: says another one",
        ),
        (("resume", "nothing"), "there is no batch nothing"),
        (("pause", "nothing"), "there is no batch nothing"),
        (("errors", "nothing"), "there is no batch nothing"),
        (("status", "nothing"), "there is no batch nothing"),
    ],
)
def test_mistake_exits_by_two_and_says_what_is_wrong(database: Database, words: tuple[str, ...], said: str):
    code, out, err = command(database.dsn, *words)
    assert (code, out) == (2, "")
    assert said in err
    assert ask(database, "SELECT to_regclass('dbproxy.batch_jobs')") == [(None,)]


def test_what_is_left_is_counted_however_long_a_roles_statements_may_take(database: Database):
    condition = "n = 0 AND (id > 100 OR pg_sleep(0.005) IS NOT NULL)"
    statement = f"UPDATE t SET n = 1 WHERE {{chunk}} AND {condition}"
    assert command(database.dsn, *RUN, "--id", "long", statement, *SLOW, "--execute")[0] == 0
    ask(database, "UPDATE t SET n = 0")
    with connect(database.server) as owner:
        owner.execute(f"ALTER ROLE app IN DATABASE {database.name} SET statement_timeout = '400ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        ask(database, f"SELECT count(*) FROM t WHERE {condition}")
    code, out, err = command(database.dsn, "verify", "long")
    assert (code, out, err) == (1, f"rows left for batch long to change: {ROWS}\n", "")


def test_status_of_a_database_without_batches_says_so(database: Database):
    assert command(database.dsn, "status") == (0, "", "there are no batches in this database\n")


def test_a_schema_of_that_name_that_is_closed_and_has_no_ledger_is_no_failure(database: Database):
    with connect(database.server, database.name) as owner:
        owner.execute("CREATE SCHEMA dbproxy")
    assert command(database.dsn, "status") == (0, "", "there are no batches in this database\n")


def test_user_who_may_not_see_the_ledger_is_told_so(database: Database):
    command(database.dsn, *RUN, ONCE, "--execute")
    with connect(database.server, database.name) as owner:
        owner.execute("REVOKE ALL ON SCHEMA dbproxy FROM app; ALTER SCHEMA dbproxy OWNER TO postgres")
    for words in (("status",), ("pause", "t-1")):
        code, out, err = command(database.dsn, *words)
        assert (code, out, err) == (
            1,
            "",
            "dbproxy: the database says 42501: permission denied for schema dbproxy\n",
        )
    assert "Nothing was done" in command(database.dsn, *RUN, ONCE)[1]
    code, _, err = command(database.dsn, *RUN, ONCE, "--execute")
    assert code == 2
    assert "GRANT USAGE ON SCHEMA dbproxy" in err


def test_what_is_left_cannot_be_counted_where_a_column_is_gone(database: Database):
    command(
        database.dsn, *RUN, "--id", "left", "UPDATE t SET c = 'x' WHERE {chunk} AND c <> 'x'", "--execute"
    )
    ask(database, "ALTER TABLE t DROP COLUMN c")
    code, _, err = command(database.dsn, "verify", "left")
    assert (code, err.splitlines()[0]) == (1, 'dbproxy: the database says 42703: column "c" does not exist')


def test_server_that_is_not_there_exits_by_one():
    code, _, err = command("postgresql://app:secret@127.0.0.1:1/x", *RUN, ONCE)
    assert (code, "127.0.0.1:1: " in err, "secret" in err) == (1, True, False)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [("app", "nobody", "the password"), ("/", "/no_", "the name of the database")],
)
def test_url_that_does_not_let_in_exits_by_two(database: Database, before: str, after: str, said: str):
    head, _, rest = database.dsn.partition("//")
    dsn = f"{head}//{rest.replace(before, after, 1)}"
    for words in ((*RUN, ONCE), (*RUN, ONCE, "--execute"), ("status",)):
        code, out, err = command(dsn, *words)
        assert (code, out, said in err) == (2, "", True), err


def test_primary_is_that_of_the_settings(database: Database, tmp_path: Path):
    path = tmp_path / "dbproxy.toml"
    path.write_text(f'[primary]\nurl = "{database.dsn}"\n[batch]\nchunk_size = 100\nadaptive = false\n')
    code, out, _ = command("", *RUN, ONCE, "--config", str(path))
    assert (code, "20 chunks of 100; workers" in out) == (0, True)


def test_progress_is_written_where_there_is_no_terminal(database: Database):
    create(database, 5_000)
    with psycopg.connect(database.dsn) as other:
        other.execute("UPDATE t SET c = '' WHERE id = 5000")  # it is not done before this is
        process = start(database.dsn, *RUN, "--id", "line", ONCE, "--execute")
        assert process.stderr is not None
        assert any(re.match(r"line: \d+%, \d+ of about \d+", line) for line in process.stderr)
    out, _ = process.communicate(timeout=60)
    assert "line  done" in out


@pytest.mark.parametrize(("kind", "limit"), [("run", 50), ("copy", 50), ("load", 55)])
def test_memory_stays_within_its_limit_however_many_rows(
    database: Database, tmp_path: Path, kind: str, limit: int
):
    """All that is resident, in MiB: most of it is Python's modules and libraries."""
    lines, many = tmp_path / "t.ndjson", 150_000
    lines.write_text("".join(f'{{"id": {number}, "c": "some words"}}\n' for number in range(many)))
    create(database, many)
    ask(database, "CREATE TABLE u (LIKE t INCLUDING ALL)")
    words = {
        "run": (*RUN, ONCE),
        "copy": ("copy", "--table", "t", "--to", database.dsn, "--into", "u"),
        "load": ("load", str(lines), "--table", "u"),
    }[kind]
    execute(database.dsn, *words).communicate()  # the plan: who compiles modules first has 12 MiB more
    process = execute(database.dsn, *words, "--execute")
    most = 0
    while process.poll() is None:
        most = max(most, read_peak(process))
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
    out, err = process.communicate()
    assert (process.returncode, "errors" in out) == (0, True), err
    assert 30 * MIB < most <= limit * MIB


def read_peak(process: subprocess.Popen[str]) -> int:
    """Bytes, those of libraries that processes share, too. 0 once it has ended."""
    try:
        found = re.search(
            r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE
        )
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
