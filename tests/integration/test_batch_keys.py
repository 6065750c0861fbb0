"""Batches go through any unique key, each row once, in chunks that are full."""

import asyncio
import math
import tracemalloc
from collections import Counter
from contextlib import suppress

import pytest

from dbproxy.demo.postgres import Postgres
from dbproxy.errors import JobFailed, JobInterrupted, JobRefused
from dbproxy.jobs.throttle import Unthrottled
from tests.support.batches import COUNTS, ask, command, create, make, run, until
from tests.support.postgres import Database, connect

ROWS = 3_000
FIXED = {"chunk_size": 250, "adaptive": False}
MOMENT = "'2024-01-01'::timestamptz + g * interval '1 us'"
UUID = "('00000000-0000-4000-8000-' || lpad(to_hex(g * 7919 % 100003), 12, '0'))::uuid"


@pytest.mark.parametrize(
    ("columns", "values", "key"),
    [
        ("id int PRIMARY KEY", "g", "id"),
        ("id bigint PRIMARY KEY", "5000000000 + g * 10", "id"),
        ("id int PRIMARY KEY", "g - 1500", "id"),
        ("id uuid PRIMARY KEY", UUID, "id"),
        ("id text PRIMARY KEY", "CASE g % 3 WHEN 0 THEN 'Ä' WHEN 1 THEN 'a' ELSE 'A' END || g", "id"),
        ('id text COLLATE "C" PRIMARY KEY', "CASE g % 2 WHEN 0 THEN 'a' ELSE 'B' END || g || '\"'", "id"),
        ("id varchar(20) PRIMARY KEY", "'it''s ' || g", "id"),
        ("id char(12) PRIMARY KEY", "'x' || g", "id"),
        ("id numeric PRIMARY KEY", "g + 0.1234567890123456789", "id"),
        ("id numeric(12,4) PRIMARY KEY", "g / 7.0", "id"),
        ("id float8 PRIMARY KEY", "g / 3.0::float8", "id"),
        ("id bytea PRIMARY KEY", "decode(lpad(to_hex(g), 8, '0'), 'hex')", "id"),
        ("id positive PRIMARY KEY", "g", "id"),
        ("id timestamptz PRIMARY KEY", MOMENT, "id"),
        ("id timestamp PRIMARY KEY", "'2024-01-01'::timestamp + g * interval '1 microsecond'", "id"),
        ("id date PRIMARY KEY", "'0044-03-15 BC'::date + g", "id"),
        ("id interval PRIMARY KEY", "g * interval '1 second'", "id"),
        ("id inet PRIMARY KEY", "'10.0.0.0'::inet + g", "id"),
        ("tenant uuid, k int, UNIQUE (tenant, k)", "md5((g % 5)::text)::uuid, g", "tenant,k"),
        ("\"Tenant Id\" int, k timestamptz, UNIQUE (\"Tenant Id\", k)", f"g % 7, {MOMENT}", "Tenant Id,k"),
        ("a int, b text, d int, UNIQUE (a, b, d)", "g % 3, 'x' || g % 11, g", "a,b,d"),
    ],
)  # fmt: skip
async def test_each_row_is_changed_once_by_any_key(database: Database, columns: str, values: str, key: str):
    ask(database, "CREATE DOMAIN positive AS int CHECK (VALUE > 0)")
    columns = columns.replace("int,", "int NOT NULL,").replace("uuid,", "uuid NOT NULL,")
    columns = columns.replace("text,", "text NOT NULL,").replace("timestamptz,", "timestamptz NOT NULL,")
    create(database, ROWS, columns, values)
    job = await run(database.dsn, key=key, **FIXED)
    assert ask(database, COUNTS) == [(1, ROWS)]
    assert (job.state, job.totals.rows, job.totals.seen, job.totals.chunks) == (
        "done",
        ROWS,
        ROWS,
        ROWS / 250,
    )


@pytest.mark.parametrize("sweep", ["off", "on"])
@pytest.mark.parametrize(
    ("setting", "columns", "values"),
    [
        ("extra_float_digits = 0", "id float8 PRIMARY KEY", "g / 3.0::float8"),
        ("DateStyle = 'SQL, DMY'", "id date PRIMARY KEY", "'2024-02-03'::date + g"),
        ("array_nulls = off", "id text[] PRIMARY KEY", "ARRAY[NULL, 'NULL', g::text]"),
    ],
)
async def test_last_row_is_changed_however_the_database_writes_its_key(
    database: Database, setting: str, columns: str, values: str, sweep: str
):
    create(database, 7, columns, values)
    with connect(database.server) as owner:
        owner.execute(f"ALTER DATABASE {database.name} SET {setting}")
    statement = "UPDATE t SET n = n + 1 WHERE {chunk} AND n < 1"
    await run(database.dsn, statement, chunk_size=3, adaptive=False, sweep=sweep, workers=2)
    assert ask(database, COUNTS) == [(1, 7)]


async def test_key_that_is_not_ascii_is_known_again_in_a_database_without_an_encoding(primary: Postgres):
    with connect(primary) as owner:
        owner.execute("CREATE DATABASE plain OWNER app TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    database = Database(primary, "plain")
    try:
        create(database, 7, "id text PRIMARY KEY", "E'\\303\\251' || g")
        ask(database, "ALTER TABLE t ADD CHECK (n = 0 OR c <> 'Row 4')")
        job = await run(database.dsn, chunk_size=3, adaptive=False)
        assert (job.totals.rows, job.totals.errors) == (6, 1)
    finally:
        with connect(primary) as owner:
            owner.execute("DROP DATABASE plain WITH (FORCE)")


@pytest.mark.parametrize(
    "index",
    ["(a, b DESC)", "(a DESC, b)", "(a DESC, b DESC)", '(b COLLATE "C" DESC, a)', '(b COLLATE "C", a DESC)'],
)
async def test_order_of_the_index_is_followed(database: Database, index: str):
    create(
        database,
        ROWS,
        "a int NOT NULL, b text NOT NULL",
        "g % 13, CASE g % 2 WHEN 0 THEN 'a' ELSE 'B' END || g",
    )
    ask(database, f"CREATE UNIQUE INDEX t_ab ON t {index}; ANALYZE t")
    await run(database.dsn, key="a,b", **FIXED)
    assert ask(database, COUNTS) == [(1, ROWS)]


async def test_equal_times_are_told_apart_by_the_rest_of_the_key(database: Database):
    create(
        database, ROWS, "at timestamptz, id int, PRIMARY KEY (at, id)", "'2024-01-01 00:00:00.123456+00', g"
    )
    await run(database.dsn, **FIXED)
    assert ask(database, COUNTS) == [(1, ROWS)]


async def test_sparse_ids_make_no_empty_chunks(database: Database):
    """One id in 200 is in use, and there is a gap wider than many chunks."""
    create(database, ROWS, "id bigint PRIMARY KEY", "g * 200 + CASE WHEN g > 1000 THEN 1000000000 ELSE 0 END")
    job = await run(database.dsn, chunk_size=100, adaptive=False)
    assert job.totals.chunks <= math.ceil(ROWS / 100 * 1.05)
    assert ask(database, COUNTS) == [(1, ROWS)]


@pytest.mark.parametrize("key", ["id", "tenant,k"])
async def test_workers_have_parts_that_do_not_overlap(database: Database, key: str):
    columns = "id int PRIMARY KEY, tenant int NOT NULL, k int NOT NULL, UNIQUE (tenant, k)"
    create(database, ROWS, columns, "g, g % 500, g")
    async with make(database.dsn, key=key, workers=8, chunk_size=50, adaptive=False, name="eight") as batch:
        await batch.run()
    assert ask(database, COUNTS) == [(1, ROWS)]
    parts = ask(database, "SELECT rows FROM dbproxy.batch_progress WHERE batch = 'eight'")
    assert len(parts) == 8
    assert all(rows > ROWS / 16 for (rows,) in parts)


async def test_row_with_the_highest_key_is_included_and_what_comes_later_is_not(database: Database):
    create(database, 100)
    job = await run(database.dsn, "UPDATE t SET n = n + 1 WHERE {chunk}", chunk_size=30, adaptive=False)
    assert job.totals.rows == 100


async def test_table_that_is_empty_is_done(database: Database):
    create(database, 0)
    assert (await run(database.dsn)).state == "done"


async def test_partitioned_table_is_gone_through_by_a_key_of_all_its_partitions(database: Database):
    ask(
        database,
        "CREATE TABLE t (id int, n int NOT NULL DEFAULT 0, PRIMARY KEY (id)) PARTITION BY RANGE (id)",
    )
    for low in range(0, ROWS, 1000):
        ask(database, f"CREATE TABLE t{low} PARTITION OF t FOR VALUES FROM ({low}) TO ({low + 1000})")
    ask(database, f"INSERT INTO t SELECT g FROM generate_series(0, {ROWS - 1}) g")
    await run(database.dsn, **FIXED)
    assert ask(database, COUNTS) == [(1, ROWS)]


STATEMENTS = {
    "UPDATE t AS x SET n = x.n + u.by FROM u WHERE {chunk} AND u.id = x.id % 10": (ROWS, [(1, ROWS)]),
    "DELETE FROM t WHERE {chunk} AND id % 3 = 0": (1000, [(0, 2000)]),
    "DELETE FROM t USING u WHERE {chunk} AND u.id = t.id": (9, [(0, ROWS - 9)]),
    "INSERT INTO copied SELECT id FROM t WHERE {chunk}": (ROWS, [(0, ROWS)]),
    "WITH gone AS (DELETE FROM t WHERE {chunk} AND id > 2000 RETURNING id) INSERT INTO copied SELECT id FROM gone": (
        1000,
        [(0, 2000)],
    ),
    "SELECT note(id) FROM t WHERE {chunk} AND id <= 500": (500, [(0, ROWS)]),
}


@pytest.mark.parametrize("statement", STATEMENTS)
async def test_statements_of_every_kind_are_carried_out(database: Database, statement: str):
    rows, counts = STATEMENTS[statement]
    create(database, ROWS)
    ask(database, "CREATE TABLE u (id int, by int); INSERT INTO u SELECT g, 1 FROM generate_series(0, 9) g")
    ask(database, "CREATE TABLE copied (id int)")
    ask(database, "CREATE FUNCTION note(int) RETURNS void LANGUAGE sql AS 'INSERT INTO copied VALUES ($1)'")
    job = await run(database.dsn, statement, "id", **FIXED)
    assert (job.state, job.totals.rows) == ("done", rows)
    assert ask(database, COUNTS) == counts
    copied = Counter(row[0] for row in ask(database, "SELECT id FROM copied"))
    assert not copied or set(copied.values()) == {1}


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT repeat('x', 500000) FROM t WHERE {chunk}",
        "UPDATE t SET n = 1 WHERE {chunk} RETURNING repeat('x', 500000)",
        "WITH x AS (UPDATE t SET n = 1 WHERE {chunk} RETURNING id) SELECT repeat('x', 500000) FROM x",
    ],
)
async def test_rows_that_it_returns_are_not_kept(database: Database, statement: str):
    create(database, 100)
    async with make(database.dsn, statement) as batch:
        tracemalloc.start()
        try:
            job = await batch.run()
            assert tracemalloc.get_traced_memory()[1] < 10_000_000
        finally:
            tracemalloc.stop()
    assert job.totals.rows == 100


async def test_text_that_looks_like_a_parameter_is_left_as_it_is(database: Database):
    """In the statement, in a name, and in a key."""
    create(database, 10, '"$1 ""id""" text PRIMARY KEY', "'$2 \\ '' ' || g")
    await run(database.dsn, "UPDATE t SET n = n + 1, c = '$1' WHERE {chunk}", chunk_size=3, adaptive=False)
    assert ask(database, "SELECT DISTINCT n, c FROM t") == [(1, "$1")]


async def test_rows_are_changed_once_though_the_plan_has_no_order(database: Database):
    """Then they are locked in the key's order first."""
    create(database, ROWS, "id uuid PRIMARY KEY", UUID)
    ask(database, "ALTER TABLE t ALTER n TYPE bigint")
    async with make(database.dsn, chunk_size=2000, adaptive=False) as batch:
        assert any("locked in order first" in line for line in await batch.plan())
        await batch.run()
    assert ask(database, COUNTS) == [(1, ROWS)]


async def test_sizes_change_in_the_middle_and_no_row_is_left_out(database: Database):
    create(database, ROWS)
    for size in (1, 7, 1000):
        async with make(database.dsn, name="sizes", chunk_size=size, adaptive=False) as batch:
            batch.throttle = StopAfter(batch, 10 if size < 1000 else 100)
            with suppress(JobInterrupted):
                await batch.run()
    assert ask(database, COUNTS) == [(1, ROWS)]


class StopAfter(Unthrottled):
    """Stops a batch after so many chunks."""

    def __init__(self, batch: object, chunks: int) -> None:
        self.batch, self.left = batch, chunks

    async def wait(self, _tell: object) -> None:
        return

    def worked(self, _seconds: float, _rows: int) -> None:
        self.left -= 1
        if not self.left:
            self.batch.stop()

    def adjust(self, _settings: object) -> None:
        return


@pytest.mark.parametrize(
    ("columns", "key", "said"),
    [
        ("id int", "id", "no unique index over id"),
        ("id int UNIQUE", "id", "may be NULL"),
        ("id int PRIMARY KEY, u int NOT NULL", "u", "no unique index over u"),
        ("id int NOT NULL, EXCLUDE USING btree (id WITH =)", "id", "no unique index over id"),
    ],
)
async def test_key_that_does_not_serve_is_refused(database: Database, columns: str, key: str, said: str):
    create(database, 10, columns, "g, g" if "u int" in columns else "g")
    with pytest.raises(JobRefused, match=said):
        await run(database.dsn, key=key)


@pytest.mark.parametrize("name", ["", "same"])
async def test_batch_is_not_gone_on_with_by_another_key(database: Database, name: str):
    create(database, 100, "id int PRIMARY KEY, other int NOT NULL UNIQUE", "g, 101 - g")
    ask(database, "ALTER TABLE t ADD CHECK (id <> 70 OR n < 1)")
    with pytest.raises(JobFailed):
        await run(database.dsn, name=name, error_handling="fail", chunk_size=10, adaptive=False)
    ask(database, "ALTER TABLE t DROP CONSTRAINT t_check")
    with pytest.raises(JobRefused, match="goes by"):
        await run(database.dsn, key="other", name=name)
    await run(database.dsn, name=name)
    assert ask(database, COUNTS) == [(1, 100)]


async def test_key_that_is_not_null_in_new_rows_alone_is_refused(database: Database):
    create(database, 3, "id int UNIQUE", "nullif(g, 2)")
    if ask(database, "SELECT current_setting('server_version_num')::int < 180000") == [(True,)]:
        pytest.skip("NOT NULL is always of all rows")
    ask(database, "ALTER TABLE t ADD CONSTRAINT given NOT NULL id NOT VALID")
    with pytest.raises(JobRefused, match=r"id of public\.t may be NULL"):
        await run(database.dsn, key="id")


async def test_index_of_a_part_of_the_rows_or_in_another_order_is_refused(database: Database):
    create(database, 10, "id int NOT NULL, name text NOT NULL", "g, 'x' || g")
    ask(
        database,
        "CREATE UNIQUE INDEX ON t (id) WHERE id > 5; CREATE UNIQUE INDEX ON t (name text_pattern_ops)",
    )
    for key in ("id", "name"):
        with pytest.raises(JobRefused, match="does not serve"):
            await run(database.dsn, key=key)


@pytest.mark.parametrize("table", ["nowhere", "v", "nowhere.t"])
async def test_what_is_no_table_is_refused(database: Database, table: str):
    create(database, 10)
    ask(database, "CREATE VIEW v AS SELECT * FROM t")
    with pytest.raises(JobRefused):
        await run(database.dsn, table=table)


async def test_other_table_of_the_same_name_is_not_taken_for_it(database: Database):
    create(database, 10)
    ask(
        database,
        "CREATE SCHEMA other; CREATE TABLE other.t (LIKE t INCLUDING ALL); INSERT INTO other.t SELECT * FROM t",
    )
    with pytest.raises(JobRefused, match="what the statement calls"):
        await run(database.dsn, table="other.t")
    await run(database.dsn, "UPDATE other.t SET n = n + 1 WHERE {chunk}", table="other.t")
    assert ask(database, "SELECT max(t.n), min(o.n), max(o.n) FROM t, other.t o") == [(0, 1, 1)]


async def test_user_who_may_not_make_the_ledger_is_told_what_to_do(database: Database):
    create(database, 10)
    with connect(database.server, database.name) as owner:
        owner.execute(
            f"REVOKE ALL ON DATABASE {database.name} FROM PUBLIC; ALTER DATABASE {database.name} OWNER TO postgres"
        )
        owner.execute(f"GRANT CONNECT ON DATABASE {database.name} TO app")
    with pytest.raises(JobRefused) as raised:
        await run(database.dsn)
    assert "GRANT CREATE ON DATABASE" in raised.value.hint


async def test_many_first_batches_at_once_share_one_ledger(database: Database):
    create(database, 100)
    statements = [f"UPDATE t SET n = n + {2**number} WHERE {{chunk}}" for number in range(5)]
    jobs = await asyncio.gather(*(run(database.dsn, statement) for statement in statements))
    assert sorted(job.id for job in jobs) == [f"t-{number}" for number in range(1, 6)]
    assert ask(database, COUNTS) == [(31, 100)]


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_isolation_of_the_database_is_not_that_of_a_batch(database: Database, isolation: str):
    create(database, 1_000)
    ask(
        database,
        f"ALTER ROLE app IN DATABASE {database.name} SET default_transaction_isolation = '{isolation}'",
    )
    await run(database.dsn, chunk_size=100, workers=2)
    assert ask(database, COUNTS) == [(1, 1_000)]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE t SET nothing = 1 WHERE {chunk}", '"nothing".*does not exist'),
        ("UPDATE t SET n = 'one' WHERE {chunk}", "invalid input syntax for type integer"),
        ("DELETE FROM t USING pg_authid WHERE {chunk} AND t.c = rolname", "permission denied"),
    ],
)
async def test_mistake_in_the_statement_begins_nothing(database: Database, statement: str, message: str):
    create(database, 10)
    with pytest.raises(JobRefused, match=message):
        await run(database.dsn, statement)
    assert ask(database, "SELECT count(*) FROM dbproxy.batch_jobs") == [(0,)]


async def test_mistake_that_comes_with_a_row_stops_it_at_once(database: Database):
    create(database, 10)
    ask(
        database,
        "CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN NEW.nothing := 1; RETURN NEW; END'",
    )
    ask(database, "CREATE TRIGGER judge BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION judge()")
    with pytest.raises(JobFailed, match="42703"):
        await run(database.dsn)
    assert ask(database, "SELECT state, retries FROM dbproxy.batch_jobs") == [("failed", {})]


async def test_lock_on_the_table_delays_a_batch_that_begins(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("dbproxy.jobs.batch.job.PATIENCE", "100ms")
    create(database, 10)
    with connect(database.server, database.name) as other:
        with other.transaction():
            other.execute("LOCK TABLE t IN SHARE MODE")
            running = asyncio.create_task(run(database.dsn))
            await until(lambda: find_retries(database))
        assert (await running).totals.rows == 10


def find_retries(database: Database) -> bool:
    """Whether a chunk has met a lock."""
    if ask(database, "SELECT to_regclass('dbproxy.batch_jobs')") == [(None,)]:
        return False
    return ask(database, "SELECT retries ? '55P03' FROM dbproxy.batch_jobs") == [(True,)]


async def stop_in_the_middle(database: Database, key: str) -> None:
    async with make(database.dsn, key=key, name="stopped", chunk_size=10, adaptive=False) as batch:
        batch.throttle = StopAfter(batch, 3)
        with suppress(JobInterrupted):
            await batch.run()


CHANGES = {
    "ALTER TABLE t ALTER a TYPE bigint": ("a bigint", "a,b"),
    'ALTER TABLE t ALTER b TYPE text COLLATE "C"': ('b text COLLATE "C"', "a,b"),
    'DROP INDEX t_ab; CREATE UNIQUE INDEX ON t (a, b COLLATE "C")': ('b text COLLATE "C"', "a,b"),
    "DROP INDEX t_ab; CREATE UNIQUE INDEX ON t (a, b DESC)": ("DESC", "a,b"),
    "DROP INDEX t_ab; CREATE UNIQUE INDEX ON t (b, a)": (", a integer) now", "a,b"),
    "ALTER TABLE t ALTER b DROP NOT NULL": ("b of public.t may be NULL", "a,b"),
    "DROP INDEX t_ab": (r"no unique index over a, b", "a,b"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_batch_whose_key_was_changed_while_it_was_stopped_is_not_resumed(
    database: Database, change: str
):
    said, key = CHANGES[change]
    create(
        database,
        100,
        "a int NOT NULL, b text NOT NULL",
        "g % 13, CASE g % 2 WHEN 0 THEN 'a' ELSE 'B' END || g",
    )
    ask(database, "CREATE UNIQUE INDEX t_ab ON t (a, b)")
    await stop_in_the_middle(database, key)
    ask(database, change)
    with pytest.raises(JobRefused) as raised:
        await run(database.dsn, key=key, name="stopped")
    assert said in str(raised.value)
    assert ask(database, COUNTS) == [(0, 70), (1, 30)]


async def test_batch_whose_key_is_as_it_was_again_is_resumed(database: Database):
    create(database, 100, "a int NOT NULL, b text NOT NULL", "g % 13, 'x' || g")
    ask(database, "CREATE UNIQUE INDEX t_ab ON t (a, b)")
    await stop_in_the_middle(database, "a,b")
    ask(database, "ALTER TABLE t ALTER a TYPE bigint")
    code, _, err = command(database.dsn, "resume", "stopped")
    assert code == 2
    assert "the key of public.t was changed while batch stopped was stopped" in err
    assert "it was (a integer, b text" in err
    with pytest.raises(JobRefused, match="was changed while batch stopped was stopped"):
        async with make(database.dsn, key="a,b", name="stopped") as batch:
            await batch.plan()
    ask(database, "ALTER TABLE t ALTER a TYPE int; DROP INDEX t_ab; CREATE UNIQUE INDEX another ON t (a, b)")
    await run(database.dsn, key="a,b", name="stopped")
    assert ask(database, COUNTS) == [(1, 100)]


async def test_batch_of_a_ledger_without_its_keys_order_is_resumed(database: Database):
    create(database, 100)
    await stop_in_the_middle(database, "id")
    ask(database, "UPDATE dbproxy.batch_jobs SET options = options - 'order'")
    await run(database.dsn, name="stopped")
    assert ask(database, COUNTS) == [(1, 100)]


async def test_chunk_behind_a_change_of_the_key_is_not_committed(database: Database):
    """Also where that was a moment ago, and the key has not been looked at since."""
    create(database, 100, "b text PRIMARY KEY", "CASE g % 2 WHEN 0 THEN 'a' ELSE 'B' END || g")

    class Changing(Unthrottled):
        def worked(self, _seconds: float, _rows: int) -> None:
            ask(database, 'ALTER TABLE t ALTER b TYPE text COLLATE "C"')

    with pytest.raises(JobFailed, match="was changed"):
        await run(database.dsn, chunk_size=10, adaptive=False, throttle=Changing())
    assert ask(database, COUNTS) == [(0, 90), (1, 10)]
