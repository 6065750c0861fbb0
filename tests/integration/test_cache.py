"""Answers that are kept: given again while they are current, and not a moment longer, whoever writes and however."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from dbproxy.wire import build
from tests.support.blocking_client import BlockingClient, error_of
from tests.support.kept import SETTINGS, Kept
from tests.support.node import install, run_async
from tests.support.postgres import Database, connect
from tests.support.proxy import Proxy
from tests.support.serving import serving, wait_for_activity
from tests.support.speech import (
    COPY_DONE,
    FLUSH,
    SYNC,
    bind,
    close,
    copy_data,
    describe_portal,
    execute,
    parse,
)

SCHEMA = """
    CREATE SEQUENCE others_id START 200000;
    CREATE TABLE items (id serial PRIMARY KEY, n int DEFAULT 1);
    INSERT INTO items (n) SELECT n FROM generate_series(1, 20) AS n;
    CREATE TABLE others (id int, n int);
    CREATE VIEW shown AS SELECT id, n FROM items WHERE n > 0;
    CREATE MATERIALIZED VIEW summed AS SELECT sum(n) AS n FROM items;
    CREATE TABLE lines (id int PRIMARY KEY, item int REFERENCES items ON DELETE CASCADE);
    INSERT INTO lines SELECT n, n FROM generate_series(1, 20) AS n;
    CREATE TABLE parted (id int, n int) PARTITION BY LIST (id);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
    CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2);
    INSERT INTO parted VALUES (1, 1), (2, 2);
    CREATE TABLE causes (id int);
    CREATE TABLE effects (id int);
    CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO effects VALUES (NEW.id); RETURN NEW; END';
    CREATE TRIGGER follow AFTER INSERT ON causes FOR EACH ROW EXECUTE FUNCTION follow();
    CREATE FUNCTION add_plainly(int) RETURNS int LANGUAGE sql AS 'INSERT INTO items (n) VALUES ($1) RETURNING n';
    CREATE FUNCTION add_openly(int) RETURNS int LANGUAGE plpgsql AS
        'BEGIN INSERT INTO items (n) VALUES ($1); RETURN 1; END';
    CREATE FUNCTION add_secretly(text) RETURNS int LANGUAGE plpgsql AS
        'BEGIN EXECUTE format(''INSERT INTO %I (n) VALUES (1)'', $1); RETURN 1; END';
    CREATE PROCEDURE add_and_commit() LANGUAGE plpgsql AS
        'BEGIN INSERT INTO items (n) VALUES (1); COMMIT; INSERT INTO items (n) VALUES (2); COMMIT; END';
    CREATE VIEW adding AS SELECT add_openly(5) AS n;
"""
READ = "SELECT count(*), sum(n) FROM items"
EFFECTS = "SELECT count(*) AS effects FROM effects"

Client = psycopg.Connection


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    with connect(module_database.server, module_database.name) as owner:
        owner.execute("SET ROLE app")
        owner.execute(SCHEMA)
    with serving(module_database, {**SETTINGS, "auth.type": "trust"}) as running:
        yield running


@pytest.fixture
def kept(proxy: Proxy) -> Iterator[Kept]:
    with Kept(proxy) as found:
        yield found


@pytest.fixture
def reader(proxy: Proxy) -> Iterator[Client]:
    with enter(proxy) as client:
        yield client


@pytest.fixture
def writer(proxy: Proxy) -> Iterator[Client]:
    with enter(proxy) as client:
        yield client


@pytest.fixture(autouse=True)
def stock(writer: Client) -> None:
    """Whatever those before have left."""
    writer.execute(
        "INSERT INTO items (n) SELECT 7 FROM generate_series(1, 20) WHERE (SELECT count(*) < 20 FROM items)"
    )


@pytest.fixture
def raw(proxy: Proxy, module_database: Database) -> Iterator[BlockingClient]:
    with BlockingClient(proxy.host, proxy.port, user="app", database=module_database.name) as client:
        yield client


@pytest.fixture
def beside(module_database: Database) -> Iterator[Client]:
    """Past the proxy."""
    with psycopg.connect(module_database.dsn, autocommit=True) as client:
        yield client


def enter(proxy: Proxy, **how: object) -> Client:
    return psycopg.connect(proxy.dsn(), autocommit=True, prepare_threshold=None, **how)  # type: ignore[arg-type]


# --- hits ---


def test_answer_is_given_again(kept: Kept, reader: Client, writer: Client, beside: Client):
    before = kept.wait(reader, READ)
    beside.execute("INSERT INTO items (n) VALUES (9)")  # unseen
    assert reader.execute(READ).fetchall() == before
    assert writer.execute(READ).fetchall() == before
    writer.execute("INSERT INTO others VALUES (2)")
    assert kept.is_hit(reader, READ)
    writer.execute("INSERT INTO items (n) VALUES (9)")
    assert reader.execute(READ).fetchall() == beside.execute(READ).fetchall() != before


def test_simple_and_extended_queries_share_an_answer(proxy: Proxy, kept: Kept, reader: Client):
    expected = kept.wait(reader, READ, prepare=True)
    assert kept.is_hit(reader, READ)
    with enter(proxy, cursor_factory=psycopg.ClientCursor) as simple:
        simple.execute("SELECT 1").fetchall()
        assert kept.is_hit(simple, READ)
        assert simple.execute(READ).fetchall() == expected
    with enter(proxy) as named:
        named.execute(READ, prepare=True)
        assert kept.is_hit(named, READ, prepare=True)


def test_empty_answer_is_kept_and_dropped_like_others(kept: Kept, reader: Client, writer: Client):
    """Hyperdrive #11126: a row was inserted, and the answer that there is none was given for a minute."""
    sql = "SELECT n AS absent FROM others WHERE id = 77"
    assert kept.wait(reader, sql, "absent") == []
    writer.execute("INSERT INTO others VALUES (77, 1)")
    assert reader.execute(sql).fetchall() == [(1,)]


def test_statement_is_kept_by_its_values(kept: Kept, reader: Client):
    for number in (1, 2):
        assert reader.execute("SELECT id FROM items WHERE id = %s", [number]).fetchall() == [(number,)]
    for text in ("/* a */", "/* b */", "--c"):
        assert reader.execute(f"SELECT '{text}', count(*) FROM items WHERE id = 1").fetchall() == [(text, 1)]


# --- whatever is written is seen ---


def simply(*statements: str) -> Callable[[Client, BlockingClient], object]:
    """One Query each."""
    return lambda _, raw: [raw.ask(build.query(sql)) for sql in statements]


def extended(sql: str) -> Callable[[Client, BlockingClient], object]:
    return lambda client, _: client.execute(sql)


def send(*rounds: tuple[bytes, ...]) -> Callable[[Client, BlockingClient], object]:
    """Each round is sent at once, and its last message asks for an answer."""

    def run(_: Client, client: BlockingClient) -> None:
        for messages in rounds:
            if messages[-1] == FLUSH:
                client.send(*messages)
                while client.read()[0] not in "CsE":
                    pass
            else:
                answers = messages.count(SYNC) + sum(message[:1] == b"Q" for message in messages)
                client.send(*messages)
                for _ in range(answers):
                    assert not error_of(client.read_until_ready())

    return run


def copy_in(client: Client, _: BlockingClient) -> None:
    with client.cursor().copy("COPY items (n) FROM STDIN") as copy:
        copy.write_row([7])


def execute_many(client: Client, _: BlockingClient) -> None:
    client.cursor().executemany("INSERT INTO items (n) VALUES (%s)", [[1], [2], [3]])


def pipeline(client: Client, _: BlockingClient) -> None:
    with client.pipeline() as queue:
        client.execute("SELECT 1")
        queue.sync()
        client.execute("INSERT INTO items (n) VALUES (3)")
        client.execute("SELECT 2")


def transact(client: Client, _: BlockingClient) -> None:
    with client.transaction():
        client.execute("INSERT INTO items (n) VALUES (3)")
        with pytest.raises(ZeroDivisionError), client.transaction():
            client.execute("INSERT INTO items (n) VALUES (4)")
            raise ZeroDivisionError


def prepare_by_sql(client: Client, _: BlockingClient) -> None:
    client.execute("PREPARE add AS INSERT INTO items (n) VALUES (1)")
    client.execute("EXECUTE add")
    client.execute("DEALLOCATE add")


def fail_behind_a_write(_: Client, raw: BlockingClient) -> None:
    raw.ask(build.query("INSERT INTO items (n) VALUES (4); COMMIT; SELECT 1 / 0"))


def fail_in_a_pipeline(_: Client, raw: BlockingClient) -> None:
    raw.send(*insert(), SYNC, parse("", "SELECT missing"), bind(), execute(), SYNC)
    raw.read_until_ready()
    assert error_of(raw.read_until_ready())


def insert(name: str = "") -> tuple[bytes, ...]:
    return parse(name, "INSERT INTO items (n) VALUES (1)"), bind(name), execute()


RETURNING = "UPDATE items SET n = n + 1 WHERE id < 4 RETURNING id"
LOOP = "BEGIN FOR i IN 1 .. 2 LOOP INSERT INTO items (n) VALUES (i); END LOOP; END"
MERGE = """
    MERGE INTO items AS i USING (VALUES (1), (100000)) AS v (id) ON i.id = v.id
    WHEN MATCHED THEN UPDATE SET n = i.n + 1 WHEN NOT MATCHED THEN INSERT (id, n) VALUES (v.id, 1)
"""

DEEDS: dict[str, Callable[[Client, BlockingClient], object]] = {
    "insert": simply("INSERT INTO items (n) VALUES (1)"),
    "insert extended": extended("INSERT INTO items (n) VALUES (1)"),
    "update": simply("UPDATE items SET n = n + 1"),
    "update of a view": extended("UPDATE shown SET n = n + 1 WHERE id = 2"),
    "delete": extended("DELETE FROM items WHERE id = (SELECT max(id) FROM items)"),
    "upsert": extended("INSERT INTO items VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET n = items.n + 1"),
    "merge": extended(MERGE),
    "writing WITH": extended("WITH new AS (INSERT INTO items (n) VALUES (2) RETURNING n) SELECT * FROM new"),
    "copy": copy_in,
    "copy by messages": lambda _, raw: (
        raw.send(build.query("COPY items (n) FROM STDIN"), copy_data(b"5\n"), COPY_DONE),
        raw.read_until_ready(),
    ),
    "executemany": execute_many,
    "pipeline": pipeline,
    "nested transactions": transact,
    "BEGIN, INSERT, COMMIT in one Query": simply("BEGIN; INSERT INTO items (n) VALUES (1); COMMIT"),
    "two statements in one Query": simply("SELECT 1; INSERT INTO items (n) VALUES (1)"),
    "three Queries": simply("BEGIN", "INSERT INTO items (n) VALUES (1)", "COMMIT"),
    "COMMIT AND CHAIN": simply("BEGIN", "INSERT INTO items (n) VALUES (1)", "COMMIT AND CHAIN", "COMMIT"),
    "END in another case": simply("begin", "insert into ITEMS (n) values (1)", "eNd"),
    "schema and quotes": simply('INSERT INTO "public"."items" ("n") VALUES (1)'),
    "savepoint": simply(
        "BEGIN", "SAVEPOINT a", "INSERT INTO items (n) VALUES (1)", "RELEASE a", "SELECT 1", "COMMIT"
    ),
    "behind an error": simply(
        "BEGIN; INSERT INTO items (n) VALUES (1); COMMIT; BEGIN; SELECT 1/0", "ROLLBACK"
    ),
    "an error behind it": fail_behind_a_write,
    "an error in a pipeline": fail_in_a_pipeline,
    "EXECUTE": prepare_by_sql,
    "PREPARE and Bind": send(
        (build.query("PREPARE p1 AS INSERT INTO items (n) VALUES (1)"),), (bind("p1"), execute(), SYNC)
    ),
    "PREPARE and Bind at once": send(
        (build.query("PREPARE p2 AS INSERT INTO items (n) VALUES (1)"), bind("p2"), execute(), SYNC)
    ),
    "a function in SQL": extended("SELECT add_plainly(3)"),
    "a function in PL/pgSQL": simply("SELECT add_openly(3)"),
    "a function that runs a text": extended("SELECT add_secretly('items')"),
    "a procedure": simply("CALL add_and_commit()"),
    "a view that writes": simply("SELECT * FROM adding"),
    "DO": simply(f"DO $$ {LOOP} $$"),
    "EXPLAIN ANALYZE": simply("EXPLAIN ANALYZE INSERT INTO items (n) VALUES (1)"),
    "EXPLAIN (ANALYZE)": extended("EXPLAIN (ANALYZE true, COSTS off) UPDATE items SET n = n + 1"),
    "several Syncs": send((*insert(), SYNC, parse("", "SELECT 1"), bind(), execute(), SYNC, *insert(), SYNC)),
    "without a Sync between": send((*insert(), *insert(), SYNC)),
    "Flush and Sync": send((*insert(), FLUSH), (SYNC,)),
    "Execute, Flush, Sync at once": send((*insert(), FLUSH, SYNC)),
    "Describe": send((parse("", RETURNING), bind(), describe_portal(), execute(), SYNC)),
    # Pgpool 3f36fe3a3
    "Execute with max_rows": send((parse("", RETURNING), bind(), execute("", 1), SYNC)),
    "Execute with max_rows, and the rest": send(
        (parse("", RETURNING), bind(), execute("", 1), FLUSH), (execute("", 0), SYNC)
    ),
    "a portal that is executed later": send(
        (build.query("BEGIN"),),
        (parse("", RETURNING), bind(portal="later"), SYNC),
        (build.query("SELECT 1"),),
        (execute("later"), SYNC),
        (build.query("COMMIT"),),
    ),
    # Pgpool 35a5a79d6
    "a name bound long after its Parse, and COMMIT": send(
        (parse("s2", "INSERT INTO items (n) VALUES (1)"), SYNC),
        (build.query("SELECT 1"),),
        (build.query("BEGIN"),),
        (bind("s2"), execute(), SYNC),
        (build.query("COMMIT"),),
    ),
    "a name bound in another transaction": send(
        (*insert("s1"), SYNC), (build.query("SELECT 1"),), (bind("s1"), execute(), SYNC)
    ),
    "extended transaction": send(
        (parse("", "BEGIN"), bind(), execute(), SYNC),
        (*insert(), SYNC),
        (parse("", "COMMIT"), bind(), execute(), SYNC),
    ),
    "behind a COMMIT without a Sync": send(
        (build.query("BEGIN"),), (parse("", "COMMIT"), bind(), execute(), FLUSH), (*insert(), FLUSH), (SYNC,)
    ),
    "a cursor": simply(
        "BEGIN", "DECLARE c CURSOR FOR SELECT add_openly(6)", "FETCH ALL FROM c", "CLOSE c", "COMMIT"
    ),
    "SELECT INTO and rename": simply(
        "BEGIN; SELECT * INTO items_2 FROM items LIMIT 3; DROP TABLE items CASCADE;"
        " ALTER TABLE items_2 RENAME TO items; COMMIT",
        "ALTER TABLE items ADD PRIMARY KEY (id)",
        "ALTER TABLE items ALTER id SET DEFAULT nextval('others_id')",
        "CREATE VIEW shown AS SELECT id, n FROM items WHERE n > 0",
    ),
    "ALTER TABLE": simply(
        "DROP VIEW IF EXISTS shown; DROP MATERIALIZED VIEW IF EXISTS summed",
        "ALTER TABLE items ALTER n TYPE int USING n + 1",
    ),
    "TRUNCATE": simply("TRUNCATE items CASCADE"),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_whatever_was_written_is_seen(
    deed: str, kept: Kept, reader: Client, writer: Client, raw: BlockingClient, beside: Client
):
    before = kept.wait(reader, READ)
    DEEDS[deed](writer, raw)
    after = beside.execute(READ).fetchall()
    assert after != before, "the deed has written nothing"
    assert reader.execute(READ).fetchall() == after
    assert reader.execute(READ).fetchall() == after


ELSEWHERE = {  # a read, and what changes its answer
    "a foreign key that cascades": ("SELECT count(*) FROM lines", "DELETE FROM items WHERE id = 300001"),
    "a partition": ("SELECT sum(n) FROM parted", "UPDATE parted_2 SET n = n + 1"),
    "its parent": ("SELECT sum(n) FROM parted_1", "UPDATE parted SET n = n + 1"),
    "a row that moves to another partition": ("SELECT sum(n) FROM parted_1", "UPDATE parted SET id = 3 - id"),
    "a trigger": (EFFECTS, "INSERT INTO causes VALUES (1)"),
    "a view": ("SELECT sum(n) FROM shown", "INSERT INTO items (n) VALUES (3)"),
    "a materialized view": ("SELECT n FROM summed", "REFRESH MATERIALIZED VIEW summed"),
    "another view": ("SELECT count(*) FROM doubtful", "CREATE OR REPLACE VIEW doubtful AS VALUES (1), (2)"),
    "another function": ("SELECT told()", "CREATE OR REPLACE FUNCTION told() RETURNS int STABLE RETURN 2"),
    "a column more": ("SELECT * FROM wide", "ALTER TABLE wide ADD b int DEFAULT 3"),
    "another type": ("SELECT a FROM wide", "ALTER TABLE wide ALTER a TYPE text USING a || 'x'"),
    "another name": ("SELECT label FROM named", "ALTER TYPE color RENAME VALUE 'red' TO 'blue'"),
}  # fmt: skip


@pytest.fixture
def elsewhere(writer: Client) -> None:
    writer.execute("""
        DROP MATERIALIZED VIEW IF EXISTS summed;
        DROP TABLE IF EXISTS lines, wide, named;
        DROP VIEW IF EXISTS doubtful;
        DROP TYPE IF EXISTS color;
        INSERT INTO items (id) VALUES (300001), (300002) ON CONFLICT DO NOTHING;
        CREATE TABLE lines (id int PRIMARY KEY, item int REFERENCES items ON DELETE CASCADE);
        INSERT INTO lines VALUES (1, 300001), (2, 300002);
        CREATE MATERIALIZED VIEW summed AS SELECT sum(n) AS n FROM items;
        INSERT INTO items (id, n) VALUES (nextval('others_id'), 5);
        CREATE OR REPLACE VIEW shown AS SELECT id, n FROM items WHERE n > 0;
        CREATE VIEW doubtful AS VALUES (1);
        CREATE OR REPLACE FUNCTION told() RETURNS int STABLE RETURN 1;
        CREATE TABLE wide (a int); INSERT INTO wide VALUES (1);
        CREATE TYPE color AS ENUM ('red');
        CREATE TABLE named (label color); INSERT INTO named VALUES ('red');
    """)


@pytest.mark.parametrize("way", ELSEWHERE)
def test_write_is_seen_where_it_reaches(
    way: str, elsewhere: None, kept: Kept, reader: Client, writer: Client, beside: Client
):
    sql, write = ELSEWHERE[way]
    before = kept.wait(reader, sql)
    writer.execute(write)
    after = beside.execute(sql).fetchall()
    assert after != before, "the write has changed nothing"
    assert reader.execute(sql).fetchall() == after
    assert kept.wait(reader, sql) == after


def test_trigger_made_a_moment_ago_is_reckoned_with(kept: Kept, reader: Client, writer: Client):
    before = kept.wait(reader, EFFECTS)
    writer.execute("CREATE TRIGGER too AFTER INSERT ON others FOR EACH ROW EXECUTE FUNCTION follow()")
    writer.execute("INSERT INTO others VALUES (5)")
    assert reader.execute(EFFECTS).fetchall() == [(before[0][0] + 1,)]
    after = kept.wait(reader, EFFECTS)
    writer.execute("INSERT INTO others VALUES (5)")
    assert reader.execute(EFFECTS).fetchall() == [(after[0][0] + 1,)]
    writer.execute("DROP TRIGGER too ON others")


def test_function_that_defines_a_trigger_is_reckoned_with(kept: Kept, reader: Client, writer: Client):
    """By its call nobody can tell that it is DDL."""
    writer.execute("""
        CREATE OR REPLACE FUNCTION spread() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
            EXECUTE 'CREATE TRIGGER too AFTER INSERT ON others FOR EACH ROW EXECUTE FUNCTION follow()';
            RETURN 1;
        END $$
    """)
    kept.wait(reader, EFFECTS)
    writer.execute("SELECT spread()")
    before = reader.execute(EFFECTS).fetchall()
    reader.execute(EFFECTS)
    writer.execute("INSERT INTO others VALUES (5)")
    assert reader.execute(EFFECTS).fetchall() == [(before[0][0] + 1,)]
    writer.execute("DROP TRIGGER too ON others")


# --- in transactions ---


def test_nothing_of_an_open_transaction_is_seen_by_others(kept: Kept, proxy: Proxy, writer: Client):
    """Pgpool 7398ae009: a SELECT between what is written and its COMMIT."""
    with enter(proxy) as reader:
        before = kept.wait(reader, READ)
        writer.execute("BEGIN")
        writer.execute("INSERT INTO items (id) VALUES (nextval('others_id'))")
        inside = writer.execute(READ).fetchall()
        assert inside != before
        assert kept.is_hit(reader, READ)
        assert writer.execute(READ).fetchall() == inside
        writer.execute("COMMIT")
        assert reader.execute(READ).fetchall() == inside


def test_transaction_that_is_rolled_back_changes_no_answer(kept: Kept, reader: Client, writer: Client):
    before = kept.wait(reader, READ)
    writer.execute("BEGIN")
    writer.execute("DELETE FROM items")
    assert writer.execute(READ).fetchall() != before
    writer.execute("ROLLBACK")
    assert reader.execute(READ).fetchall() == before
    assert writer.execute(READ).fetchall() == before


def test_answer_read_inside_a_transaction_is_not_kept(kept: Kept, reader: Client, writer: Client):
    sql = "SELECT count(*) AS inside FROM others"
    ((before,),) = kept.wait(reader, sql, "inside")
    for ending in ("ROLLBACK", "COMMIT"):
        writer.execute("BEGIN")
        writer.execute("INSERT INTO others VALUES (9)")
        assert writer.execute(sql).fetchall() == [(before + 1,)]
        writer.execute(ending)
        assert reader.execute(sql).fetchall() == [(before + (ending == "COMMIT"),)]


def test_older_snapshot_is_not_kept_for_others(kept: Kept, reader: Client, writer: Client, proxy: Proxy):
    with enter(proxy) as old:
        old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        before = old.execute(READ).fetchall()
        writer.execute("INSERT INTO items (id) VALUES (nextval('others_id'))")
        after = kept.wait(reader, READ)
        assert old.execute(READ).fetchall() == before != after
        old.execute("COMMIT")
        assert reader.execute(READ).fetchall() == after
        assert old.execute(READ).fetchall() == after


def test_serializable_session_reads_for_itself(kept: Kept, reader: Client, proxy: Proxy):
    kept.wait(reader, READ)
    with enter(proxy, options="-c default_transaction_isolation=serializable") as other:
        other.execute(READ)
        assert not kept.is_hit(other, READ)


def test_write_during_a_fill(kept: Kept, reader: Client, writer: Client, module_database: Database):
    """As in cacheops #302: what was asked for before the write must not be kept after it."""
    sql = "SELECT count(*) AS during FROM others"
    kept.wait(reader, READ)
    with connect(module_database.server, module_database.name) as owner, ThreadPoolExecutor() as threads:
        owner.execute("BEGIN; LOCK TABLE others")
        asked = threads.submit(lambda: reader.execute(sql).fetchall())
        wait_for_activity(module_database, sql)
        written = threads.submit(lambda: writer.execute("INSERT INTO others VALUES (6)"))
        wait_for_activity(module_database, "INSERT INTO others VALUES (6)")
        owner.execute("COMMIT")
        asked.result()
        written.result()
    assert not kept.is_hit(reader, sql, "during")


# --- ends that nobody has heard of ---


def test_client_that_vanishes_in_its_commit_leaves_nothing_stale(
    proxy: Proxy, module_database: Database, kept: Kept, reader: Client, beside: Client
):
    """Its table is not answered for until PostgreSQL has no such process any more."""
    sql = "SELECT count(*) AS doubtful FROM others"
    with BlockingClient(proxy.host, proxy.port, user="app", database=module_database.name) as client:
        client.ask(build.query("BEGIN"))
        client.ask(build.query("INSERT INTO others VALUES (8)"))
        before = kept.wait(reader, sql, "doubtful")
        client.send(build.query("COMMIT"))
        client.vanish()
    for _ in range(10):
        shown = beside.execute(sql).fetchall()
        assert reader.execute(sql).fetchall() >= shown >= before
    assert kept.wait(reader, sql, "doubtful") == beside.execute(sql).fetchall()


def test_canceled_write_is_seen_as_it_was_left(
    proxy: Proxy, module_database: Database, kept: Kept, reader: Client, writer: Client, beside: Client
):
    before = kept.wait(reader, READ)
    with BlockingClient(proxy.host, proxy.port, user="app", database=module_database.name) as client:
        slow = "UPDATE items SET n = n + 1 WHERE pg_sleep(100) IS NOT NULL"
        client.send(build.query(slow))
        wait_for_activity(module_database, slow)
        assert not kept.is_hit(reader, READ)
        client.cancel()
        assert error_of(client.read_until_ready())["C"] == "57014"
    assert reader.execute(READ).fetchall() == beside.execute(READ).fetchall() == before


def test_failed_and_half_read_answers_are_not_kept(kept: Kept, reader: Client, raw: BlockingClient):
    """prisma/orm #30132. Also Pgpool 39eb7efa3: never a truncated answer."""
    sql = "SELECT id AS half FROM items ORDER BY id LIMIT 3"
    raw.ask(parse("", sql), bind(), execute("", 1), SYNC)
    assert len(reader.execute(sql).fetchall()) == 3
    with pytest.raises(errors.DivisionByZero):
        reader.execute("SELECT 1 / (count(*) - count(*)) AS failing FROM items")
    with pytest.raises(errors.DivisionByZero):
        reader.execute("SELECT 1 / (count(*) - count(*)) AS failing FROM items")


def test_node_postgres_is_answered_and_sees_its_writes(proxy: Proxy, tmp_path: Path):
    """Pgpool 57752e4ab: it sends Execute, Flush, Sync."""
    folder = install(tmp_path, "pg@8")
    body = """
        const pool = new Pool({ connectionString: dsn, max: 4 });
        const text = "SELECT count(*)::int AS n FROM others WHERE id = $1";
        const read = name => pool.query({ name, text, values: [55] });
        const found = [];
        for (let number = 0; number < 50; number++) {
            if (number % 10 === 0) await pool.query("INSERT INTO others VALUES ($1)", [55]);
            found.push((await read(number % 2 ? "count" : undefined)).rows[0].n);
        }
        await pool.end();
        return found;
        """
    found = run_async(folder, 'const { Pool } = require("pg");', body, proxy.dsn())
    assert found == [number // 10 + 1 for number in range(50)]


# --- what is answered by a server all the same ---

BYPASSED = {
    "random": "SELECT random() AS bypassed, count(*) FROM items",
    "the time": "SELECT now() AS bypassed, count(*) FROM items",
    "the date": "SELECT CURRENT_DATE AS bypassed, count(*) FROM items",
    "a moment": "SELECT 'now'::timestamptz AS bypassed, count(*) FROM items",
    "a catalog": "SELECT count(*) AS bypassed FROM pg_class",
    "a lock": "SELECT id AS bypassed FROM items FOR UPDATE",
    "a sequence": "SELECT last_value AS bypassed FROM others_id",
    "a next value": "SELECT nextval('others_id') AS bypassed",
    "a process": "SELECT pg_backend_pid() AS bypassed FROM items",
    "a setting": "SHOW search_path /* bypassed */",
    "a version of a row": "SELECT xmin AS bypassed FROM items",
    "a sample": "SELECT count(*) AS bypassed FROM items TABLESAMPLE SYSTEM (50)",
    "an advisory lock": "SELECT pg_try_advisory_xact_lock(1) AS bypassed FROM items",
}


@pytest.mark.parametrize("what", BYPASSED)
def test_what_differs_by_itself_is_not_kept(what: str, kept: Kept, reader: Client):
    kept.wait(reader, READ)
    reader.execute(BYPASSED[what])
    part = "bypassed" if "AS bypassed" in BYPASSED[what] else "show search_path"
    assert not kept.is_hit(reader, BYPASSED[what], part)


def test_session_with_a_temporary_table_reads_its_own(kept: Kept, reader: Client, writer: Client):
    writer.execute("INSERT INTO others VALUES (5), (6)")
    before = kept.wait(reader, "SELECT count(*) FROM others")
    writer.execute("CREATE TEMP TABLE others (id int)")
    assert writer.execute("SELECT count(*) FROM others").fetchall() == [(0,)] != before
    writer.execute("INSERT INTO others VALUES (1)")
    assert writer.execute("SELECT count(*) FROM others").fetchall() == [(1,)]
    assert reader.execute("SELECT count(*) FROM others").fetchall() == before
    writer.execute("DROP TABLE others")
    assert writer.execute("SELECT count(*) FROM others").fetchall() == before


def test_what_is_written_to_temporary_tables_ends_no_answer(kept: Kept, reader: Client, writer: Client):
    kept.wait(reader, READ)
    create = "CREATE TEMP TABLE scratch (id int)"
    for before, after in (
        (["BEGIN", f"{create} ON COMMIT DROP"], ["COMMIT"]),
        (["DROP TABLE IF EXISTS scratch", create], ["DROP TABLE scratch"]),
        (["BEGIN", "CREATE TEMPORARY TABLE scratch AS SELECT id FROM items"], ["ROLLBACK"]),
    ):
        for sql in before:
            writer.execute(sql)
        writer.execute("CREATE INDEX ON scratch (id)")
        with writer.cursor().copy("COPY scratch (id) FROM STDIN") as copy:
            copy.write_row([7])
        writer.execute("INSERT INTO scratch SELECT id FROM items", prepare=True)
        writer.execute("UPDATE scratch SET id = id + 1")
        for sql in ["TRUNCATE scratch", *after]:
            writer.execute(sql)
        assert kept.is_hit(reader, READ), before


@pytest.mark.parametrize(
    "make",
    [
        ["CREATE TEMP VIEW passing AS SELECT * FROM items"],
        ["DO $$ BEGIN CREATE TEMP VIEW passing AS SELECT * FROM items; END $$"],
        ["CREATE TEMP TABLE passing (n int)",
         "CREATE RULE pass AS ON INSERT TO passing DO ALSO INSERT INTO items (n) VALUES (NEW.n)"],
    ],
)  # fmt: skip
def test_what_a_temporary_view_or_rule_passes_on_is_seen(
    make: list[str], kept: Kept, reader: Client, writer: Client, beside: Client
):
    for sql in make:
        writer.execute(sql)
    writer.execute("SELECT 1")
    before = kept.wait(reader, READ)
    writer.execute("INSERT INTO passing (n) VALUES (5)")
    assert reader.execute(READ).fetchall() == beside.execute(READ).fetchall() != before


def test_second_execute_of_a_portal_has_no_rows(kept: Kept, reader: Client, raw: BlockingClient):
    """Pgpool 39eb7efa3."""
    sql = "SELECT id AS twice FROM items ORDER BY id LIMIT 3"
    kept.wait(reader, sql, "twice")
    answer = raw.ask(parse("", sql), bind(), execute("", 2), execute("", 0), execute("", 0), SYNC)
    assert [kind for kind, _ in answer] == [*"12DDsDCC"]


def test_two_statements_bound_before_one_sync(kept: Kept, reader: Client, raw: BlockingClient):
    """Pgpool 4dd7371c2."""
    one, other = "SELECT 1 AS first FROM items LIMIT 1", "SELECT 2 AS second FROM items LIMIT 2"
    kept.wait(reader, one, "first")
    kept.wait(reader, other, "second")
    both = [parse("", one), bind(), describe_portal(), execute()]
    both += [parse("", other), bind(), describe_portal(), execute()]
    assert [kind for kind, _ in raw.ask(*both, SYNC)] == [*"12TDC12TDDC"]


@pytest.mark.parametrize("end", [(FLUSH, SYNC), (SYNC,), (SYNC, SYNC)])
def test_execute_with_flush_and_sync_is_answered_and_nothing_hangs(
    end: tuple[bytes, ...], kept: Kept, reader: Client, raw: BlockingClient
):
    """Pgpool 57752e4ab, c947114af: node-postgres sends Execute, Flush, Sync."""
    sql = "SELECT 1 AS flushed FROM items LIMIT 1"
    kept.wait(reader, sql, "flushed")
    for _ in range(3):
        raw.send(parse("", sql), bind(), describe_portal(), execute(), *end)
        assert [kind for kind, _ in raw.read_until_ready()] == [*"12TDC"]
        for _ in end[1:] if end[0] == SYNC else ():
            assert raw.read_until_ready() == []


def test_named_statement_lives_on_behind_an_answer_without_a_server(
    kept: Kept, reader: Client, raw: BlockingClient
):
    sql = "SELECT count(*) AS lives FROM items"
    kept.wait(reader, sql, "lives")
    assert [kind for kind, _ in raw.ask(parse("s9", sql), bind("s9"), execute(), SYNC)] == [*"12DC"]
    assert [kind for kind, _ in raw.ask(bind("s9"), describe_portal(), execute(), SYNC)] == [*"2TDC"]
    raw.ask(build.query("BEGIN"))
    assert [kind for kind, _ in raw.ask(bind("s9"), execute(), SYNC)] == [*"2DC"]
    raw.ask(build.query("COMMIT"))
    assert error_of(raw.ask(parse("s9", sql), SYNC))["C"] == "42P05"
    assert [kind for kind, _ in raw.ask(close("s9"), SYNC)] == ["3"]
    assert error_of(raw.ask(bind("s9"), execute(), SYNC))["C"] == "26000"
