"""Rows that cannot be changed, locks that others have, chunks that take too long, tables that change meanwhile."""

import asyncio
import random

import psycopg
import pytest

from benchmarks.targets import PGBOUNCER, pgbouncer
from dbproxy.errors import JobFailed, JobRefused
from dbproxy.jobs.batch import omissions
from dbproxy.jobs.batch.ledger import Job
from dbproxy.jobs.batch.source import Chunk, Fault
from dbproxy.jobs.batch.worker import Worker
from dbproxy.jobs.throttle import Unthrottled
from tests.support.batches import COUNTS, ask, create, errors, make, run, until
from tests.support.postgres import PASSWORD, Database, connect
from tests.support.proxy import Proxy

ROWS = 5_000


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for each transaction of a chunk."""
    counted: list[int] = []
    for name in ("commit", "leave_out"):
        original = getattr(Worker, name)

        async def counting(self: Worker, *words: object, original=original, **named: object) -> None:
            counted.append(1)
            await original(self, *words, **named)

        monkeypatch.setattr(Worker, name, counting)
    return counted


async def test_just_the_bad_rows_are_left_out(database: Database, transactions: list[int]):
    """One in a hundred, each found by a dozen transactions at most."""
    create(database, ROWS)
    bad = sorted(random.Random(1).sample(range(1, ROWS + 1), 50))
    ask(
        database, f"ALTER TABLE t ADD CONSTRAINT good CHECK (n = 0 OR id NOT IN ({', '.join(map(str, bad))}))"
    )
    job = await run(database.dsn, name="bad", chunk_size=1000, max_errors=0)
    assert (job.state, job.totals.errors, job.totals.rows) == ("done with errors", 50, ROWS - 50)
    assert errors(database, "bad") == [(str(key), "23514") for key in bad]
    assert ask(database, COUNTS) == [(0, 50), (1, ROWS - 50)]
    assert len(transactions) <= 12 * 50
    ((constraint, message),) = ask(
        database, 'SELECT DISTINCT "constraint", message FROM dbproxy.batch_errors'
    )
    assert (constraint, message) == ("good", 'new row for relation "t" violates check constraint "good"')


@pytest.mark.parametrize("bad", [[1], [ROWS], [1000, 1001], list(range(1, 21)), [999, 1000, 1001, 2000]])
async def test_bad_rows_at_the_ends_of_chunks_are_found(database: Database, bad: list[int]):
    create(database, ROWS)
    ask(database, f"ALTER TABLE t ADD CHECK (n = 0 OR id NOT IN ({', '.join(map(str, bad))}))")
    await run(database.dsn, name="bad", chunk_size=1000, adaptive=False)
    assert errors(database, "bad") == [(str(key), "23514") for key in bad]
    assert ask(database, COUNTS) == [(0, len(bad)), (1, ROWS - len(bad))]


async def test_first_bad_row_stops_it_where_that_is_wanted(database: Database):
    create(database, ROWS)
    ask(database, "ALTER TABLE t ADD CHECK (n = 0 OR id NOT IN (2345, 2400))")
    with pytest.raises(JobFailed, match=r"key \(2345\).*23514"):
        await run(database.dsn, name="stop", chunk_size=1000, adaptive=False, error_handling="fail")
    assert ask(database, "SELECT max(id), count(*) FROM t WHERE n = 1") == [(2344, 2344)]
    assert ask(database, "SELECT state FROM dbproxy.batch_jobs") == [("failed",)]
    ask(database, "ALTER TABLE t DROP CONSTRAINT t_check")
    await run(database.dsn, name="stop", error_handling="fail")
    assert ask(database, COUNTS) == [(1, ROWS)]


async def test_too_many_bad_rows_stop_it(database: Database):
    create(database, ROWS)
    ask(database, "ALTER TABLE t ADD CHECK (n = 0)")
    with pytest.raises(JobFailed, match="max_errors"):
        await run(database.dsn, name="all", max_errors=10)
    assert len(errors(database, "all")) == 11


async def test_rows_that_were_left_out_are_tried_again(database: Database):
    create(database, ROWS)
    ask(database, "ALTER TABLE t ADD CHECK (n = 0 OR id NOT IN (7, 8, 9))")
    await run(database.dsn, name="again")
    ask(database, "ALTER TABLE t DROP CONSTRAINT t_check; ALTER TABLE t ADD CHECK (n = 0 OR id <> 8)")
    async with make(database.dsn, name="again") as batch:
        outcome = await batch.retry()
    assert (outcome.mended, outcome.left) == (2, 1)
    assert errors(database, "again") == [("8", "23514")]
    assert ask(database, COUNTS) == [(0, 1), (1, ROWS - 1)]
    assert ask(database, "SELECT rows, errors FROM dbproxy.batch_progress") == [(ROWS - 1, 1)]
    ask(database, "ALTER TABLE t DROP CONSTRAINT t_check")
    async with make(database.dsn, name="again") as batch:
        await batch.retry()
    assert ask(database, "SELECT state FROM dbproxy.batch_jobs") == [("done",)]
    assert ask(database, COUNTS) == [(1, ROWS)]


@pytest.mark.parametrize(
    ("blocker", "sqlstate"),
    [
        ("CREATE TABLE u (id int UNIQUE); INSERT INTO u VALUES (77)", "23505"),
        ("CREATE TABLE u (id int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO u VALUES (77)", "23505"),
        ("CREATE TABLE u (id int CHECK (10 / (id - 77) > -100))", "22012"),
    ],
)
async def test_errors_of_every_kind_are_a_rows(database: Database, blocker: str, sqlstate: str):
    """Of a constraint that is looked at when the transaction is committed, too."""
    create(database, 500)
    ask(database, blocker)
    job = await run(database.dsn, "INSERT INTO u SELECT id FROM t WHERE {chunk}", name="kinds", table="t")
    assert errors(database, "kinds") == [("77", sqlstate)]
    assert job.totals.rows == 499


async def test_error_of_a_trigger_is_a_rows(database: Database):
    create(database, 500)
    ask(
        database,
        "CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN IF NEW.id = 77 THEN RAISE EXCEPTION ''not this one''; END IF; RETURN NEW; END'",
    )
    ask(database, "CREATE TRIGGER judge BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION judge()")
    await run(database.dsn, name="trigger")
    assert errors(database, "trigger") == [("77", "P0001")]
    assert ask(database, "SELECT message FROM dbproxy.batch_errors") == [("not this one",)]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("IF NEW.id = 77 THEN RAISE SQLSTATE 'U0001'; END IF;", "U0001"),
        ("CASE WHEN NEW.id <> 77 THEN NULL; END CASE;", "20000"),
    ],
)
async def test_error_of_a_class_of_its_own_is_a_rows(database: Database, body: str, code: str):
    create(database, 500)
    ask(
        database,
        f"CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body} RETURN NEW; END$$",
    )
    ask(database, "CREATE TRIGGER judge BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION judge()")
    job = await run(database.dsn, name="trigger")
    assert (job.totals.rows, errors(database, "trigger")) == (499, [("77", code)])


async def test_chunk_that_takes_too_long_is_halved(database: Database):
    create(database, 200)
    with connect(database.server) as owner:
        owner.execute(f"ALTER DATABASE {database.name} SET deadlock_timeout = '300ms'")
    ask(
        database,
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_sleep(0.004); RETURN NEW; END'",
    )
    ask(database, "CREATE TRIGGER slow BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION slow()")
    job = await run(database.dsn, chunk_size=200, chunk_time="150ms")
    assert ask(database, COUNTS) == [(1, 200)]
    assert job.retries["57014"] >= 2


async def test_row_that_alone_takes_too_long_ends_it_and_says_what_to_do(database: Database):
    create(database, 20)
    with connect(database.server) as owner:
        owner.execute(f"ALTER DATABASE {database.name} SET deadlock_timeout = '300ms'")
    statement = "UPDATE t SET n = n + 1 WHERE {chunk} AND (id <> 3 OR pg_sleep(30) IS NOT NULL)"
    with pytest.raises(JobFailed, match="57014") as failed:
        await run(database.dsn, statement, retries=1)
    assert "One row takes longer" in failed.value.hint
    assert ask(database, "SELECT count(*) FROM t WHERE n = 1 AND id < 3") == [(2,)]


async def test_plan_of_a_table_that_is_locked_is_no_mistake(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("dbproxy.jobs.batch.job.PATIENCE", "50ms")
    create(database, 10)
    with connect(database.server, database.name) as other, other.transaction():
        other.execute("LOCK TABLE t")
        with pytest.raises(JobFailed, match="55P03"):
            async with make(database.dsn) as batch:
                await batch.plan()


async def test_row_that_somebody_has_is_waited_for_and_he_is_not_disturbed(database: Database):
    create(database, 1_000)
    with psycopg.connect(database.dsn) as other:
        other.execute("UPDATE t SET c = 'mine' WHERE id = 500")
        running = asyncio.create_task(run(database.dsn, name="locked", chunk_size=100, adaptive=False))
        await until(lambda: retries(database).get("55P03", 0) >= 2)
        assert ask(database, "SELECT count(*) FROM t WHERE n = 1") == [(400,)]
        other.commit()
        job = await running
    assert ask(database, COUNTS) == [(1, 1_000)]
    assert job.state == "done"


def retries(database: Database) -> dict[str, int]:
    if ask(database, "SELECT to_regclass('dbproxy.batch_jobs') IS NULL") == [(True,)]:
        return {}
    found = ask(database, "SELECT retries FROM dbproxy.batch_jobs")
    return dict(found[0][0]) if found else {}


async def test_row_that_stays_locked_ends_it_once_it_was_tried_often_enough(database: Database):
    create(database, 10)
    with psycopg.connect(database.dsn) as other:
        other.execute("UPDATE t SET c = 'mine' WHERE id = 5")
        with pytest.raises(JobFailed, match="55P03") as failed:
            await run(database.dsn, retries=2, lock_timeout="10ms")
    assert "Resume once it is free" in failed.value.hint


async def test_application_beside_it_loses_no_deadlock(database: Database):
    """Clients take pairs of the same rows, in any order that does not deadlock them with each other."""
    create(database, 2_000)
    stop = asyncio.Event()

    async def live(number: int) -> int:
        chance, done = random.Random(number), 0
        async with await psycopg.AsyncConnection.connect(database.dsn) as client:
            while not stop.is_set():
                low, high = sorted(chance.sample(range(1, 2_001), 2), reverse=True)
                await client.execute("UPDATE t SET c = 'mine' WHERE id = %s", (low,))
                await client.execute("UPDATE t SET c = 'mine' WHERE id = %s", (high,))
                await client.commit()
                done += 1
        return done

    clients = [asyncio.create_task(live(number)) for number in range(8)]
    try:
        for _ in range(3):
            await run(database.dsn, chunk_size=500, workers=2)
    finally:
        stop.set()
    assert all(await asyncio.gather(*clients))
    assert ask(database, COUNTS) == [(3, 2_000)]


async def test_statement_that_somebody_cancels_pauses_it(database: Database):
    create(database, 1_000)
    with psycopg.connect(database.dsn) as other:
        other.execute("UPDATE t SET c = 'mine' WHERE id = 500")
        running = asyncio.create_task(run(database.dsn, name="cancelled", lock_timeout="500ms"))
        await until(lambda: cancel_waiting(database))
        await until(lambda: states(database) == ["paused"])
        other.commit()
    ask(database, "UPDATE dbproxy.batch_jobs SET wanted = ''; NOTIFY dbproxy_batch, 'cancelled'")
    job = await running
    assert (job.state, ask(database, COUNTS)) == ("done", [(1, 1_000)])


def cancel_waiting(database: Database) -> bool:
    found = ask(
        database,
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'dbproxy batch cancelled' AND wait_event_type = 'Lock'",
    )
    return (True,) in found


def states(database: Database) -> list[str]:
    return [row[0] for row in ask(database, "SELECT state FROM dbproxy.batch_jobs")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE t RENAME TO old", "is not there any more"),
        (
            "ALTER TABLE t RENAME TO old; CREATE TABLE t (LIKE old INCLUDING ALL)",
            "is another one of that name",
        ),
        ("ALTER TABLE t DROP CONSTRAINT t_pkey", "key of public.t was changed"),
        ("ALTER TABLE t ALTER id TYPE text USING id::text", "key of public.t was changed"),
        ("ALTER TABLE t DROP COLUMN n", "42703"),
    ],
)
async def test_table_that_is_changed_in_the_middle_ends_it(database: Database, change: str, said: str):
    create(database, ROWS)
    async with make(database.dsn, name="changed", chunk_size=5, adaptive=False) as batch:
        running = asyncio.create_task(batch.run())
        await until(lambda: ask(database, "SELECT EXISTS (SELECT FROM t WHERE n = 1)") == [(True,)])
        await asyncio.to_thread(ask, database, change)
        with pytest.raises(JobFailed) as raised:
            await running
    assert said in raised.value.message
    assert states(database) == ["failed"]


async def test_each_chunk_is_seen_by_others_before_the_next_begins(database: Database):
    create(database, 300)
    seen: list[tuple[int, int]] = []

    class Looking(Unthrottled):
        async def wait(self, _tell: object) -> None:
            ((rows, changed),) = ask(
                database,
                "SELECT coalesce((SELECT sum(seen) FROM dbproxy.batch_progress), 0)::int,"
                " (SELECT count(*)::int FROM t WHERE n = 1)",
            )
            seen.append((rows, changed))

        def worked(self, _seconds: float, _rows: int) -> None:
            return

        adjust = worked

    async with make(database.dsn, chunk_size=100, adaptive=False, throttle=Looking()) as batch:
        await batch.run()
    assert seen[:4] == [(0, 0), (100, 100), (200, 200), (300, 300)]


async def test_rows_that_come_all_the_time_do_not_prolong_it_for_ever(database: Database):
    create(database, 1_000)
    stop = asyncio.Event()

    async def insert() -> int:
        number = 1_000
        async with await psycopg.AsyncConnection.connect(database.dsn, autocommit=True) as client:
            while not stop.is_set():
                await client.execute("INSERT INTO t SELECT %s + g FROM generate_series(1, 50) g", (number,))
                number += 50
        return number

    inserting = asyncio.create_task(insert())
    job = await run(database.dsn, "UPDATE t SET n = n + 1 WHERE {chunk}", chunk_size=100, adaptive=False)
    stop.set()
    assert await inserting > 1_000
    assert job.totals.rows < ask(database, "SELECT count(*) FROM t")[0][0]
    assert ask(database, "SELECT max(n) FROM t") == [(1,)]


@pytest.mark.parametrize(("sweep", "left"), [("auto", 0), ("off", 10)])
async def test_rows_that_come_behind_it_are_gone_for_in_the_end(database: Database, sweep: str, left: int):
    """Of a key in no order, with a condition that tells what is done."""
    create(database, 1_000, "id uuid PRIMARY KEY", "gen_random_uuid()")

    class Inserting(Unthrottled):
        def __init__(self) -> None:
            self.chunks = 0

        async def wait(self, _tell: object) -> None:
            return

        def worked(self, _seconds: float, _rows: int) -> None:
            self.chunks += 1
            if self.chunks == 8:
                ask(
                    database,
                    "INSERT INTO t SELECT ('00000000-0000-0000-0000-' || lpad(g::text, 12, '0'))::uuid, 0"
                    " FROM generate_series(1, 10) g",
                )

        def adjust(self, _settings: object) -> None:
            return

    statement = "UPDATE t SET n = 1 WHERE {chunk} AND n = 0"
    async with make(
        database.dsn, statement, sweep=sweep, chunk_size=100, adaptive=False, throttle=Inserting()
    ) as batch:
        job: Job = await batch.run()
        assert await batch.source.verify(batch.connection) == left
    assert job.totals.rows == 1_010 - left


async def test_rows_that_were_left_out_are_listed_in_the_order_of_their_keys(database: Database):
    """Numbers as numbers."""
    create(database, 10)
    async with make(database.dsn, name="bad") as batch:
        await batch.begin()
        keys: list[tuple[str, ...]] = [
            ("-20", "b"),
            ("-3", "b"),
            ("9", "a"),
            ("9", "b"),
            ("10.5", "a"),
            ("10.50", "a"),
            ("100", "9"),
            ("100", "10"),
        ]
        keys += [("a", "1"), ("b10", "1"), ("b9", "1"), ("9" * 2000, "1")]
        for key in reversed(keys):
            await omissions.record(batch.connection, "bad", omissions.BadRow(key, "23514", ""))
        listed = [bad.key for bad in await omissions.list_errors(batch.connection, "bad")]
    assert listed == [keys[11], *keys[8:11], *keys[:8]]


SHOWN = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')"


async def test_its_timeouts_are_seen_by_no_client_of_a_pool(proxy: Proxy, module_database: Database):
    """It needs a connection of its own, and begins nothing by another."""
    create(module_database, 1_000)
    before = ask(proxy.dsn(), SHOWN)
    with pytest.raises(JobRefused, match="there is a pooler between us and PostgreSQL"):
        await run(proxy.dsn())
    assert [ask(proxy.dsn(), SHOWN) for _ in range(4)] == [before] * 4


@pytest.mark.skipif(not PGBOUNCER, reason="PgBouncer is not installed (apt-get install pgbouncer)")
async def test_its_timeouts_are_seen_by_no_client_of_pgbouncer(database: Database):
    create(database, 1_000)
    with pgbouncer(database.server, 1, f"user=app password={PASSWORD}") as pooler:
        dsn = f"postgresql://app@127.0.0.1:{pooler.port}/{database.name}"
        with pytest.raises(JobRefused, match="there is a pooler between us and PostgreSQL"):
            await run(dsn)
        assert ask(dsn, SHOWN) == [("0", "0")]


async def test_batch_of_a_newer_version_is_resumed(database: Database):
    """Columns may have come to the ledger, and settings that this one does not know."""
    create(database, 1_000)
    async with make(database.dsn, name="newer", chunk_size=100, adaptive=False) as batch:
        await batch.begin()
    ask(database, "ALTER TABLE dbproxy.batch_jobs ADD newer int NOT NULL DEFAULT 1")
    ask(database, "ALTER TABLE dbproxy.batch_progress ADD newer int NOT NULL DEFAULT 1")
    ask(
        database,
        """UPDATE dbproxy.batch_jobs SET settings = '{"newer": 1}', options = options || '{"newer": 1}'""",
    )
    job = await run(database.dsn, name="newer")
    assert (job.state, ask(database, COUNTS)) == ("done", [(1, 1_000)])


async def test_bad_row_whose_key_a_child_has_twice_does_not_hold_it_up(database: Database):
    """An index of the parent is none of its children: both rows are left out, which docs/batches.md says."""
    create(database, 20)
    ask(database, "CREATE TABLE child () INHERITS (t); INSERT INTO child SELECT id FROM t WHERE id IN (3, 7)")
    ask(database, "ALTER TABLE ONLY child ADD CHECK (n = 0 OR id <> 7)")
    job = await run(database.dsn, name="twice", chunk_size=5, adaptive=False)
    assert (job.state, errors(database, "twice")) == ("done with errors", [("7", "23514")])
    assert ask(database, COUNTS) == [(0, 2), (1, 20)]


@pytest.mark.parametrize(("chosen", "found"), [("off", "off"), ("", "on")])
async def test_what_a_commit_waits_for_is_as_it_is_set(database: Database, chosen: str, found: str):
    create(database, 10)
    await run(
        database.dsn,
        "UPDATE t SET c = current_setting('synchronous_commit') WHERE {chunk}",
        synchronous_commit=chosen,
    )
    assert ask(database, "SELECT DISTINCT c FROM t") == [(found,)]


async def test_bad_row_is_counted_once_though_it_is_met_again_in_the_sweep(database: Database):
    """And one that has become good is none any more."""
    create(database, 100, "id uuid PRIMARY KEY", "md5(g::text)::uuid")
    bad = "c IN ('Row 2', 'Row 70')"
    ask(database, f"ALTER TABLE t ADD CHECK (n = 0 OR NOT {bad})")
    function = (
        """BEGIN IF (SELECT count(*) FROM t WHERE n = 0) > 3 THEN RAISE 'not yet'; END IF; RETURN NEW; END"""
    )
    ask(database, f"CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ {function} $$")
    ask(
        database,
        "CREATE TRIGGER late BEFORE UPDATE ON t FOR EACH ROW WHEN (OLD.c = 'Row 1') EXECUTE FUNCTION late()",
    )
    statement = "UPDATE t SET n = n + 1 WHERE {chunk} AND n < 1"
    job = await run(database.dsn, statement, name="s", workers=2, chunk_size=20, max_errors=3)
    assert (job.state, job.totals.errors, job.totals.rows) == ("done with errors", 2, 98)
    assert ask(database, "SELECT sqlstate FROM dbproxy.batch_errors") == [("23514",), ("23514",)]
    assert ask(database, f"SELECT n FROM t WHERE {bad}") == [(0,), (0,)]


async def test_good_row_is_not_left_out_for_a_bad_one_that_has_gone(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    create(database, 8)
    ask(database, "ALTER TABLE t ADD CHECK (n = 0 OR id <> 3)")
    original = Worker.isolate

    async def removing(self: Worker, chunk: Chunk, fault: Fault) -> None:
        ask(database, "DELETE FROM t WHERE id = 3")
        await original(self, chunk, fault)

    monkeypatch.setattr(Worker, "isolate", removing)
    job = await run(database.dsn)
    assert (job.state, job.totals.rows, ask(database, COUNTS)) == ("done", 7, [(1, 7)])
