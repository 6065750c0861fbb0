"""A table's rows are copied once, within a database and to another host."""

import random
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dbproxy.config.batch import BatchSettings
from dbproxy.config.url import parse_url
from dbproxy.errors import JobFailed, JobRefused
from dbproxy.jobs.batch import Batch, Primary, Transfer, Wish
from dbproxy.jobs.batch.ledger import Job
from tests.support.batches import ask, command, errors, start, wait_until
from tests.support.postgres import Database, create_database
from tests.support.proxy import Proxy

FIXED = {"chunk_size": 100, "adaptive": False}
COLUMNS = (
    "id int PRIMARY KEY, name text, at timestamptz, span interval, raw bytea, x float8, l text[],"
    " twice int GENERATED ALWAYS AS (id * 2) STORED"
)
VALUES = (
    "g, CASE g % 5 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN E'a\\tb\\n\\\\.\\nc' WHEN 3 THEN '\\N' ELSE 'é' END,"
    " '2024-01-01'::timestamptz + g * interval '1 us', g * interval '1 day 1 second',"
    " decode(lpad(to_hex(g), 8, '0'), 'hex'), g / 3.0, ARRAY['a', NULL, 'b,c']"
)


@pytest.fixture
def other(database: Database) -> Iterator[Database]:
    with create_database(database.server) as found:
        yield found


@pytest.fixture(params=["within", "across"])
def into(request: pytest.FixtureRequest, database: Database) -> Iterator[Database]:
    """The database that is written to: the same, or another."""
    if request.param == "within":
        yield database
    else:
        with create_database(database.server) as found:
            yield found


def fill(database: Database, rows: int = 1000) -> None:
    ask(database, f"CREATE TABLE s ({COLUMNS})")
    ask(
        database,
        f"INSERT INTO s (id, name, at, span, raw, x, l) SELECT {VALUES} FROM generate_series(1, {rows}) g",
    )
    ask(database, "ANALYZE s")


def find(database: Database) -> Primary:
    host = parse_url(database.dsn)
    assert host is not None
    return Primary([host])


async def copy(
    database: Database, into: Database, settings: dict[str, Any] | None = None, **wish: Any
) -> Job:
    origin = None if database is into else find(database)
    source = Transfer(Wish("s", "t", **wish), origin)
    async with Batch(find(into), source, BatchSettings(**(settings or FIXED))) as batch:
        return await batch.run()


@pytest.mark.parametrize("workers", [1, 3])
async def test_rows_are_the_same_there(database: Database, into: Database, workers: int):
    fill(database)
    ask(into, f"CREATE TABLE t (more int DEFAULT 5, {COLUMNS})")
    job = await copy(database, into, {**FIXED, "workers": workers})
    assert (job.kind, job.state, job.totals.rows, job.totals.seen) == ("copy", "done", 1000, 1000)
    assert ask(into, "SELECT id, name, at, span, raw, x, l, twice FROM t ORDER BY id") == ask(
        database, "SELECT id, name, at, span, raw, x, l, twice FROM s ORDER BY id"
    )
    assert ask(into, "SELECT DISTINCT more FROM t") == [(5,)]


async def test_condition_and_columns_choose(database: Database, into: Database):
    fill(database)
    ask(into, "CREATE TABLE t (id int PRIMARY KEY, name text DEFAULT 'none', x float8)")
    await copy(database, into, columns=("id", "x"), where="id % 10 = 3 OR name = '$1'")
    assert ask(into, "SELECT count(*), min(id), max(name), sum(x) > 0 FROM t") == [(100, 3, "none", True)]


async def test_upsert_replaces_rows_that_are_there(database: Database, into: Database):
    fill(database)
    ask(into, "CREATE TABLE t (id int, name text, kept text DEFAULT 'new', k int UNIQUE NOT NULL)")
    ask(database, "ALTER TABLE s ADD k int")
    ask(database, "UPDATE s SET k = 1001 - id")
    ask(into, "INSERT INTO t SELECT -1, 'old', 'old', g FROM generate_series(1, 500) g")
    job = await copy(database, into, columns=("id", "name", "k"), upsert=("k",))
    assert job.state == "done"
    assert ask(into, "SELECT kept, count(*), min(id), max(id) FROM t GROUP BY 1 ORDER BY 1") == [
        ("new", 500, 1, 500), ("old", 500, 501, 1000),
    ]  # fmt: skip


async def test_row_that_cannot_be_there_is_left_out_and_tried_again(database: Database, into: Database):
    fill(database)
    ask(into, "CREATE TABLE t (id int PRIMARY KEY CHECK (id NOT IN (77, 500)), x float8)")
    ask(into, "INSERT INTO t VALUES (123)")
    job = await copy(database, into, columns=("id", "x"))
    found = [("77", "23514"), ("123", "23505"), ("500", "23514")]
    assert (job.state, job.totals.rows, errors(into, job.id)) == ("done with errors", 997, found)
    ask(into, "ALTER TABLE t DROP CONSTRAINT t_id_check")
    origin = None if database is into else find(database)
    async with Batch(find(into), Transfer(Wish("s", "t", ("id", "x")), origin), name=job.id) as batch:
        outcome = await batch.retry()
    assert (outcome.mended, outcome.left) == (2, 1)
    assert ask(into, "SELECT count(*), count(x) FROM t") == [(1000, 999)]


async def test_copy_is_not_resumed_once_the_key_that_it_reads_by_was_changed(
    database: Database, into: Database
):
    fill(database)
    ask(into, "CREATE TABLE t (id int PRIMARY KEY CHECK (id <> 500))")
    with pytest.raises(JobFailed):
        await copy(database, into, {**FIXED, "error_handling": "fail"}, columns=("id",))
    ask(into, "ALTER TABLE t DROP CONSTRAINT t_id_check")
    ask(database, "ALTER TABLE s DROP COLUMN twice; ALTER TABLE s ALTER id TYPE text")
    with pytest.raises(JobRefused, match=r"it was \(id integer\), and is \(id text"):
        await copy(database, into, columns=("id",))
    ask(database, "ALTER TABLE s ALTER id TYPE int USING id::int")
    await copy(database, into, columns=("id",))
    assert ask(into, "SELECT count(*) FROM t") == [(1000,)]


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"table": "none"}, "there is no table none"),
        ({"into": "none"}, "there is no table none"),
        ({"into": "s"}, "into itself"),
        ({"into": "less"}, "no column at"),
        ({"columns": ("id", "other")}, "no column other"),
        ({"columns": ("id", "twice")}, "generated"),
        ({"upsert": ("name",)}, "no unique index"),
        ({"key": ("name",)}, "no unique index"),
        ({"where": "id ="}, "syntax error"),
    ],
)
async def test_what_cannot_be_copied_is_refused_before(
    database: Database, wish: dict[str, Any], message: str
):
    fill(database, 1)
    ask(database, f"CREATE TABLE t ({COLUMNS}); CREATE TABLE less (id int, name text)")
    source = Transfer(Wish(**{"table": "s", "into": "t", **wish}))
    with pytest.raises(JobRefused, match=message):
        async with Batch(find(database), source):
            pass


def test_commands_copy_and_resume(database: Database, other: Database):
    fill(database)
    ask(other, f"CREATE TABLE s ({COLUMNS}, CHECK (id < 500))")
    words = ("copy", "--table", "s", "--to", other.dsn, "--set", "error_handling=fail", "--id", "one")
    code, out, _ = command(database.dsn, *words)
    assert (code, "copy public.s by (id)" in out, ask(other, "SELECT count(*) FROM s")) == (0, True, [(0,)])
    assert command(database.dsn, *words, "--execute")[0] == 1
    assert ask(other, "SELECT count(*) FROM s") == [(499,)]
    ask(other, "ALTER TABLE s DROP CONSTRAINT s_id_check")
    code, _, err = command(other.dsn, "resume", "one")
    assert (code, "--from says the URL" in err) == (2, True)
    assert command(other.dsn, "resume", "one", "--from", database.dsn)[0] == 0
    assert ask(other, "SELECT count(*) FROM s") == [(1000,)]
    assert "secret" not in str(ask(other, "SELECT * FROM dbproxy.batch_jobs"))


def test_rows_that_a_copy_to_another_database_left_out_are_tried_again(database: Database, other: Database):
    fill(database)
    ask(other, f"CREATE TABLE s ({COLUMNS}, CHECK (id <> 500))")
    words = ("copy", "--table", "s", "--to", other.dsn, "--id", "one", "--execute")
    assert command(database.dsn, *words)[0] == 3
    ask(other, "ALTER TABLE s DROP CONSTRAINT s_id_check")
    for given in ((database.dsn, *words), (other.dsn, "resume", "one")):
        code, _, err = command(*given)
        assert (code, "dbproxy batch errors one --retry tries again" in err) == (2, True), err
    code, _, err = command(other.dsn, "errors", "one", "--retry")
    assert (code, "batch one copies from" in err, "--from" in err) == (2, True, True)
    mended = (0, "rows changed now: 1; still left out: 0\n")
    assert command(other.dsn, "errors", "one", "--retry", "--from", database.dsn)[:2] == mended
    assert ask(other, "SELECT count(*) FROM s") == [(1000,)]
    ask(
        other,
        "INSERT INTO dbproxy.batch_errors VALUES ('one', '[\"501\"]', 0, '23514', ''); DELETE FROM s WHERE id = 501",
    )
    assert command(database.dsn, "errors", "one", "--retry", "--url", other.dsn)[:2] == mended


def test_batch_that_is_done_is_not_resumed_and_told_of_no_option_that_there_is_not(database: Database):
    fill(database, 1)
    ask(database, f"CREATE TABLE t ({COLUMNS})")
    assert command(database.dsn, "copy", "--table", "s", "--into", "t", "--id", "one", "--execute")[0] == 0
    assert command(database.dsn, "resume", "one")[::2] == (2, "dbproxy: batch one is done already\n")


def test_hint_of_postgresql_is_told_once(database: Database):
    fill(database, 1)
    ask(database, f"CREATE TABLE t ({COLUMNS})")
    code, _, err = command(database.dsn, "copy", "--table", "s", "--into", "t", "--where", "idd < 5")
    assert (code, err.count("Perhaps you meant"), err.count("HINT")) == (2, 1, 0)


def test_mistake_in_where_it_goes_is_told_of_that_option(database: Database, other: Database, proxy: Proxy):
    fill(database, 1)
    words = ("copy", "--table", "s", "--to")
    code, _, err = command(database.dsn, *words, proxy.dsn())
    assert (code, "A batch needs a connection to PostgreSQL itself: --to." in err) == (2, True)
    code, _, err = command(database.dsn, *words, "mysql://x")
    assert (code, "--to" in err, "--url" in err) == (2, True, False)


@pytest.mark.parametrize("moments", [4, pytest.param(30, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
def test_killed_at_any_moment_no_row_comes_twice_or_never(database: Database, other: Database, moments: int):
    """Rows have no key there, so that one which comes twice is there twice."""
    fill(database, 100_000)
    ask(other, "CREATE TABLE t (id int, name text)")
    chance = random.Random(moments)
    words = ("copy", "--table", "s", "--into", "t", "--columns", "id,name", "--to", other.dsn, "--execute",
             "--set", "max_chunk=1000", "--id", "one")  # fmt: skip
    killed = 0
    for _ in range(moments):
        before = ask(other, "SELECT count(*) FROM t")
        process = start(database.dsn, *words)
        wait_until(
            lambda process=process, before=before: (
                process.poll() is not None or ask(other, "SELECT count(*) FROM t") > before
            )
        )
        time.sleep(chance.random() * 0.05)  # a random moment is what is tried
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed == moments
    code, out, err = command(database.dsn, *words)
    assert code == 0 or "done already" in err, (code, out, err)
    assert ask(other, "SELECT count(*), count(DISTINCT id), sum(id) FROM t") == [
        (100_000, 100_000, 5000050000)
    ]
