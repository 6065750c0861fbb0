"""Files are loaded line by line once, whatever is in them, and whatever comes in between."""

import asyncio
import csv
import gzip
import json
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbproxy.config.batch import BatchSettings
from dbproxy.config.url import parse_url
from dbproxy.demo.postgres import Postgres
from dbproxy.errors import JobFailed, JobRefused
from dbproxy.jobs.batch import Batch, Lines, Order, Primary, control, deposit, lock, session
from dbproxy.jobs.batch.formats import choose_format
from dbproxy.jobs.batch.ledger import Job
from tests.integration.test_batch_faults import Swallower
from tests.support.batches import ask, command, errors, start, until, wait_until
from tests.support.faults import Line
from tests.support.postgres import Database, create_database

TABLE = "CREATE TABLE t (id int PRIMARY KEY, name text, n int NOT NULL DEFAULT 7 CHECK (n < 100))"
OPEN = (
    "SELECT FROM pg_stat_activity WHERE application_name LIKE 'dbproxy batch t-%' AND xact_start IS NOT NULL"
)
FIXED = {"chunk_size": 100, "adaptive": False}


def make(
    database: Database,
    path: Path,
    form: str = "",
    settings: dict[str, Any] | None = None,
    dsn: str = "",
    **order: Any,
) -> Batch:
    given = {
        key: order.pop(key) for key in ("delimiter", "null", "quote", "escape", "encoding") if key in order
    }
    source = Lines(Order(order.pop("table", "t"), str(path), choose_format(path.name, form, given), **order))
    host = parse_url(dsn or database.dsn)
    assert host is not None
    return Batch(Primary([host]), source, BatchSettings(**(settings or {})))


async def load(
    database: Database, path: Path, form: str = "", settings: dict[str, Any] | None = None, **order: Any
) -> Job:
    async with make(database, path, form, settings, **order) as batch:
        return await batch.run()


def write(path: Path, rows: list[tuple[Any, ...]], header: str = "id,name,n") -> Path:
    with path.open("w", newline="") as file:
        file.write(f"{header}\n")
        csv.writer(file, lineterminator="\n").writerows(rows)
    return path


async def test_rows_are_as_they_were_written(database: Database, tmp_path: Path):
    ask(database, TABLE)
    values = ["a", "two\nlines", 'a "quote"', "comma, here", "", "é", "\\", "\\.", "'", "\r\n", '"', "\n"]
    rows = [(number, values[number % len(values)], number % 90) for number in range(3000)]
    job = await load(database, write(tmp_path / "t.csv", rows), settings=FIXED)
    assert (job.state, job.totals.rows, job.totals.seen, job.totals.chunks) == ("done", 3000, 3000, 30)
    expected = [(one, two or None, three) for one, two, three in rows]
    assert ask(database, "SELECT id, name, n FROM t ORDER BY id") == expected


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text('ab"\\n\\,.\r', max_size=7), max_size=8), st.integers(1, 3), st.sampled_from(['"', "\\"])
)
async def test_what_copy_takes_is_taken_the_same_in_chunks(
    database: Database, tmp_path: Path, pieces: list[str], rows: int, escape: str
):
    """The oracle is one COPY of the whole."""
    content = "".join(f"{number},{piece}\n" for number, piece in enumerate(pieces)).encode()
    ask(database, "DROP SCHEMA IF EXISTS dbproxy CASCADE; DROP TABLE IF EXISTS t, whole")
    ask(database, "CREATE TABLE t (id text, name text); CREATE TABLE whole (id text, name text)")
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        try:
            with connection.cursor().copy(
                f"COPY whole FROM STDIN (FORMAT csv, ESCAPE E'\\{escape}')"
            ) as copy:
                copy.write(content)
        except psycopg.Error:
            return
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    job = await load(database, path, settings={**FIXED, "chunk_size": rows}, header="none", escape=escape)
    assert job.state == "done"
    assert ask(database, "SELECT * FROM t ORDER BY ctid") == ask(
        database, "SELECT * FROM whole ORDER BY ctid"
    )


@pytest.mark.parametrize(
    ("content", "order"),
    [
        ("n,id,name\n5,1,a\n", {}),
        ("\ufeffid,name,n\n1,a,5\n", {}),
        ("id,name,n\r\n1,a,5\r\n", {}),
        ('"a\rb",name,n\r\n1,a,5\r\n', {"header": "skip"}),
        ("id,name,n\n1,a,5", {}),
        ("1,a,5\n", {"header": "none"}),
        ("1,5,a\n", {"header": "none", "columns": ("id", "n", "name")}),
        ("Id;N;Name\n1;5;a\n", {"header": "skip", "columns": ("id", "n", "name"), "delimiter": ";"}),
        ("id\tname\tn\n1\ta\t5\n", {"delimiter": "\t"}),
        ("id,name,n\n'1','a','5'\n", {"quote": "'"}),
        ('"id","name","n"\n"1","a","5"\n', {}),
    ],
)
async def test_fields_are_what_the_header_or_the_columns_say(
    database: Database, tmp_path: Path, content: str, order: dict[str, Any]
):
    ask(database, TABLE)
    path = tmp_path / "t.csv"
    path.write_bytes(content.encode())
    assert (await load(database, path, **order)).state == "done"
    assert ask(database, "SELECT id, name, n FROM t") == [(1, "a", 5)]


async def test_null_and_encoding_are_as_they_are_given(database: Database, tmp_path: Path):
    ask(database, TABLE)
    path = tmp_path / "t.csv"
    path.write_bytes('id,name\n1,"NA"\n2,NA\n3,\n4,"say \\"ß\\""\n'.encode("latin-1"))
    await load(database, path, null="NA", encoding="LATIN1", escape="\\")
    assert ask(database, "SELECT * FROM t ORDER BY id") == [
        (1, "NA", 7), (2, None, 7), (3, "", 7), (4, 'say "ß"', 7),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "order", "message"),
    [
        ("1,a,5\n", {}, "no header.*no column 1"),
        ("id,other\n1,a\n", {}, "no column other"),
        ("id,name\r1,a\r2,b\r", {}, "carriage returns"),
        ("id,name\r1,a\r2,b\n3,c\n", {"header": "skip"}, "carriage returns"),
        ("id,name\n1,a\n", {"columns": ("name", "id")}, "the header has id, name"),
        ("id,id\n1,1\n", {}, "twice"),
        ("id,twice\n1,1\n", {}, "generated"),
        ("id,name\n1,a\n", {"table": "none"}, "there is no table"),
        ("id,name\n1,a\n", {"upsert": ("name",)}, "no unique index"),
        ("name\na\n", {"upsert": ("id",)}, "not loaded"),
        ("id,name\n1,a\n", {"delimiter": '"'}, "delimiter.*quote must be different"),
        ("id,name\n1,a\n", {"encoding": "NOPE"}, "valid encoding"),
        ("id,name\n1,a\n", {"bad": "t.csv"}, "bad lines cannot go there"),
        ("id,name\n1,a\n", {"bad": "none/x.bad"}, "bad lines cannot go to none/x.bad: there is no folder"),
        ("id,name\n1,a\n", {"bad": "."}, "there is a folder of that name"),
    ],
)
async def test_what_cannot_be_loaded_is_refused_before(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: str,
    order: dict[str, Any],
    message: str,
):
    monkeypatch.chdir(tmp_path)
    ask(database, f"{TABLE}; ALTER TABLE t ADD twice int GENERATED ALWAYS AS (id * 2) STORED")
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(JobRefused, match=message):
        await load(database, path, **order)
    assert ask(database, "SELECT to_regclass('dbproxy.batch_jobs')") == [(None,)]


@pytest.mark.parametrize(
    ("name", "content", "header", "said"),
    [
        ("t.csv", "", "match", "a pipe, csv, empty, without even a header"),
        ("t.csv", "", "none", "a pipe, csv, no header"),
        ("t.csv", "id\n", "match", "3 bytes, csv, with header"),
        ("t.ndjson", "{}\n", "match", "3 bytes, ndjson"),
    ],
)
async def test_plan_tells_of_the_header(
    database: Database, tmp_path: Path, name: str, content: str, header: Any, said: str
):
    ask(database, TABLE)
    path = tmp_path / name
    path.write_text(content)
    async with make(database, path, header=header) as batch:
        assert f"{path}: {said}" in await batch.plan()


async def test_objects_are_read_however_their_lines_end(database: Database, tmp_path: Path):
    ask(database, TABLE)
    path = tmp_path / "t.ndjson"
    path.write_bytes(b'{"id": 1}\n  \n{"id": 2}\r\n\r\n{"id": 3} \n\t\n{"id": 4, "name": "a  "}  ')
    job = await load(database, path)
    assert (job.state, job.totals.errors) == ("done", 0)
    assert ask(database, "SELECT id, name FROM t ORDER BY id") == [
        (1, None),
        (2, None),
        (3, None),
        (4, "a  "),
    ]


async def test_objects_become_rows_as_postgresql_has_them(database: Database, tmp_path: Path):
    ask(database, "CREATE TYPE pair AS (x int, y text)")
    ask(
        database,
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, \"a 'b\" text DEFAULT 'none', l int[], j jsonb, p pair,"
        " d numeric, at timestamptz, double numeric GENERATED ALWAYS AS (d * 2) STORED, u bool DEFAULT true)",
    )
    path = tmp_path / "t.ndjson"
    lines = [
        {"a 'b": 'x "\\ \n é \u2028', "l": [1, 2], "j": {"k": [1, None]}, "p": {"x": 1, "y": "z"}, "d": 1.10},
        {},
        {"a 'b": None, "id": 77, "at": "2024-01-02T03:04:05Z", "u": None},
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    job = await load(database, path)
    assert (job.state, job.totals.rows, job.totals.seen) == ("done", 3, 4)
    assert ask(
        database,
        'SELECT id, "a \'b", l, j::text, (p).y, double::text, at::timestamp::text, u FROM t ORDER BY id',
    ) == [
        (1, 'x "\\ \n é \u2028', [1, 2], '{"k": [1, null]}', "z", "2.2", None, True),
        (2, "none", None, None, None, None, None, True),
        (77, None, None, None, None, None, "2024-01-02 03:04:05", None),
    ]


@pytest.mark.parametrize("more", [{}, {"l": [1]}])
async def test_key_that_a_line_has_not_is_the_default_of_its_domain(
    database: Database, tmp_path: Path, more: dict[str, Any]
):
    ask(database, "CREATE DOMAIN word AS text DEFAULT 'it''s'; CREATE DOMAIN day AS date DEFAULT 'epoch'")
    ask(database, "CREATE TABLE t (id int, w word, d day, l int[], n word DEFAULT NULL)")
    path = tmp_path / "t.ndjson"
    path.write_text(
        "".join(
            json.dumps(one) + "\n" for one in ({"id": 1, "w": "x", "d": None, "n": "y"}, {"id": 2, **more})
        )
    )
    assert (await load(database, path)).totals.errors == 0
    assert ask(database, "SELECT w, d::text, n FROM t ORDER BY id") == [
        ("x", None, "y"),
        ("it's", "1970-01-01", None),
    ]


async def test_line_that_is_no_row_is_left_out(database: Database, tmp_path: Path):
    ask(database, TABLE)
    bad = ['{"id": 3', "[1]", '{"id": 5, "other": 1}', '{"id": "x"}', '{"id": 1}', "\x01", '"\\u0000"', "7"]
    good = [json.dumps({"id": number}) for number in (1, 20, 21)]
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join([*good[:2], *bad, good[2]]) + "\n")
    job = await load(database, path)
    assert (job.state, job.totals.errors, job.totals.rows) == ("done with errors", 8, 3)
    assert ask(database, "SELECT array_agg(id ORDER BY id) FROM t") == [([1, 20, 21],)]
    assert [line for line, _ in errors(database, job.id)] == [str(line) for line in range(3, 11)]
    assert (tmp_path / "t.jsonl.bad").read_text() == "\n".join(bad) + "\n"


async def test_objects_that_copy_takes_are_what_postgresql_reads(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The oracle is jsonb_populate_record, by which all of them go the second time."""
    columns = (
        "id int, b bool, d numeric, x float8, v varchar(4), c text DEFAULT 'none', l int[], j jsonb, at date"
    )
    ask(
        database, f"CREATE TABLE t ({columns}, k int PRIMARY KEY); CREATE DOMAIN few AS int CHECK (VALUE < 9)"
    )
    ask(database, "ALTER TABLE t ADD f few")
    chance = random.Random(1)
    values = [
        1,
        -1,
        1.5,
        True,
        None,
        "a",
        "",
        "1.10",
        "2024-02-29",
        "\\N",
        "x\ty\\",
        "é\n",
        12345,
        "2024-02-30",
    ]
    odd = [[1, 2], {"k": 1.10}, 1e30, "\0", "\x1f", 10**30]
    lines = []
    for number in range(800):
        names = chance.sample(["b", "d", "x", "v", "c", "at", "f", "id"], chance.randint(0, 2))
        line = {"k": number, **{name: chance.choice(values) for name in names if chance.random() < 0.4}}
        if chance.random() < 0.02:
            line[chance.choice(["l", "j", "c", "other", "k"])] = chance.choice(odd + values)
        lines.append(
            json.dumps(line, ensure_ascii=chance.random() < 0.5)[: None if chance.random() < 0.99 else -1]
        )
    path = tmp_path / "t.ndjson"
    path.write_text("\n".join(lines) + "\n")
    given = {"chunk_size": 40, "adaptive": False, "max_errors": 0}
    puts = {deposit.Copied: 0, deposit.Staged: 0}
    for kind in puts:
        monkeypatch.setattr(kind, "put", count_calls(kind.put, puts, kind))
    first = await load(database, path, settings=given)
    rows = ask(database, "TABLE t ORDER BY k")
    assert min(puts.values()) > 9
    ask(database, "TRUNCATE t")
    monkeypatch.setattr(deposit, "convert", lambda *_, **__: iter(()))
    second = await load(database, path, settings=given)
    assert rows == ask(database, "TABLE t ORDER BY k")
    assert errors(database, first.id) == errors(database, second.id)
    assert 0 < first.totals.errors == second.totals.errors < 1000


async def test_objects_go_by_the_rules_of_a_table_which_copy_does_not_know(
    database: Database, tmp_path: Path
):
    ask(database, f"{TABLE}; CREATE TABLE also (id int)")
    ask(database, "CREATE RULE also AS ON INSERT TO t DO ALSO INSERT INTO also VALUES (NEW.id)")
    path = tmp_path / "t.ndjson"
    path.write_text('{"id": 1}\n{"id": 2}\n')
    assert (await load(database, path)).totals.errors == 0
    assert ask(database, "SELECT count(*) FROM also") == [(2,)]


def count_calls(put: Any, puts: dict[Any, int], kind: Any) -> Any:
    async def counting(self: Any, connection: Any, content: Any) -> int:
        puts[kind] += 1
        return int(await put(self, connection, content))

    return counting


async def test_bad_lines_are_in_a_file_as_they_came_and_can_be_loaded_when_mended(
    database: Database, tmp_path: Path
):
    ask(database, TABLE)
    rows: list[tuple[Any, ...]] = [(number, f"line\n{number}", number % 100) for number in range(2000)]
    rows[10] = (10, "too much", 100)
    rows[777] = ("x", "no number", 1)
    rows[1500] = (3, "there already", 1)
    rows[1999] = (1999, "short")
    path = write(tmp_path / "t.csv", rows)
    packed = tmp_path / "t.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()[:-1]))
    job = await load(database, packed)
    found = [(str(1 + sum(1 + str(row[1]).count("\n") for row in rows[:at]) + 1), state) for at, state in (
        (10, "23514"), (777, "22P02"), (1500, "23505"), (1999, "22P04"))]  # fmt: skip
    assert errors(database, job.id) == found
    assert (tmp_path / "t.csv.bad").read_text() == (
        "id,name,n\n10,too much,100\nx,no number,1\n3,there already,1\n1999,short\n"
    )
    reasons = [json.loads(line) for line in (tmp_path / "t.csv.bad.reasons").read_text().splitlines()]
    assert [(str(reason["line"]), reason["sqlstate"]) for reason in reasons] == found
    assert reasons[2]["constraint"] == "t_pkey"
    (tmp_path / "t.csv.bad").write_text(
        "id,name,n\n10,less,9\n777,a number,1\n1500,not there,1\n1999,long,1\n"
    )
    assert (await load(database, tmp_path / "t.csv.bad")).state == "done"
    assert ask(database, "SELECT count(*), sum(id) FROM t") == [(2000, 1999 * 1000)]


async def test_file_of_bad_lines_is_that_of_the_load_that_was_begun_last(database: Database, tmp_path: Path):
    """One that is resumed goes on with it; one that has none does not leave that of another there."""
    ask(database, TABLE)
    bad, reasons, old = (tmp_path / f"t.csv.bad{end}" for end in ("", ".reasons", ".old"))
    rows: list[tuple[Any, ...]] = [(number, "", 100 if number % 100 == 50 else 1) for number in range(300)]
    path = write(tmp_path / "t.csv", rows)
    with pytest.raises(JobFailed, match="2 lines could not be loaded, which is more than max_errors"):
        await load(database, path, settings={**FIXED, "max_errors": 1})
    assert bad.read_text() == "id,name,n\n50,,100\n150,,100\n"
    assert (await load(database, path, settings={**FIXED, "max_errors": 0})).totals.errors == 3
    first = "id,name,n\n50,,100\n150,,100\n250,,100\n"
    assert (bad.read_text(), old.exists()) == (first, False)
    ask(database, "TRUNCATE t")
    write(path, [(1, "", 100), (2, "", 1)])
    assert (await load(database, path)).totals.errors == 1
    assert (bad.read_text(), old.read_text()) == ("id,name,n\n1,,100\n", first)
    write(path, [(1, "", 1)])
    assert (await load(database, path)).totals.errors == 0
    assert (bad.exists(), reasons.exists(), old.read_text()) == (
        False,
        False,
        "id,name,n\n1,,100\n",
    )
    bad.write_text("nothing of a load\n")
    await load(database, write(path, [(3, "", 1)]))
    assert bad.read_text() == "nothing of a load\n"


async def test_file_that_no_load_has_made_is_not_written_over(database: Database, tmp_path: Path):
    ask(database, TABLE)
    path, bad = write(tmp_path / "t.csv", [("x", "a", 1)]), tmp_path / "t.csv.bad"
    bad.write_text("somebody's own")
    assert (await load(database, path)).totals.errors == 1
    assert bad.read_text() == "id,name,n\nx,a,1\n"
    assert (tmp_path / "t.csv.bad.old").read_text() == "somebody's own"


@pytest.mark.parametrize("upsert", [(), ("id",)], ids=["copy", "upsert"])
async def test_bad_line_costs_few_transactions(database: Database, tmp_path: Path, upsert: tuple[str, ...]):
    """COPY says at which line it was; where it does not, the chunk is halved."""
    ask(database, TABLE)
    rows = [(number, "two\nlines", 100 if number % 1000 == 999 else 1) for number in range(20_000)]
    path = write(tmp_path / "t.csv", rows)
    async with make(
        database, path, settings={"chunk_size": 10_000, "adaptive": False}, upsert=upsert
    ) as batch:
        tries, carry_out = [], batch.source.carry_out

        async def count(connection: Any, chunk: Any) -> int:
            tries.append(chunk.rows)
            return await carry_out(connection, chunk)

        batch.source.carry_out = count  # type: ignore[method-assign]
        job = await batch.run()
    assert [int(line) for line, _ in errors(database, job.id)] == [
        2 * n + 2 for n in range(999, 20_000, 1000)
    ]
    assert (job.totals.errors, job.totals.rows) == (20, 19_980)
    assert len(tries) <= 20 * (16 if upsert else 3) + 3


async def test_fail_stops_at_the_first_bad_line(database: Database, tmp_path: Path):
    ask(database, TABLE)
    rows = [(number, "", 100 if number in (250, 300) else 1) for number in range(500)]
    path = write(tmp_path / "t.csv", rows)
    with pytest.raises(JobFailed, match="252"):
        await load(database, path, settings={**FIXED, "error_handling": "fail"})
    assert ask(database, "SELECT count(*), max(id) FROM t") == [(250, 249)]
    ask(database, "ALTER TABLE t DROP CONSTRAINT t_n_check")
    assert (await load(database, path, settings=FIXED)).totals.rows == 500
    assert ask(database, "SELECT count(*) FROM t") == [(500,)]


@pytest.mark.parametrize("form", ["csv", "ndjson"])
async def test_upsert_replaces_rows_and_the_last_line_counts(database: Database, tmp_path: Path, form: str):
    ask(
        database,
        "CREATE TABLE t (a int, b text, n int DEFAULT 7, kept text DEFAULT 'new', PRIMARY KEY (a, b))",
    )
    ask(database, "INSERT INTO t SELECT 0, g::text, -1, 'old' FROM generate_series(0, 9) g")
    rows = [(number % 3, str(number % 10), number) for number in range(1000)]
    path = tmp_path / f"t.{form}"
    if form == "csv":
        write(path, rows, "a,b,n")
    else:
        path.write_text("".join(json.dumps({"a": a, "b": b, "n": n}) + "\n" for a, b, n in rows))
    job = await load(database, path, settings=FIXED, upsert=("a", "b"))
    last = {(a, b): n for a, b, n in rows}
    assert (job.state, job.totals.seen) == ("done", 1000)
    assert ask(database, "SELECT a, b, n, kept FROM t ORDER BY a, b::int") == sorted(
        ((a, b, n, "new" if a else "old") for (a, b), n in last.items()),
        key=lambda row: (row[0], int(row[1])),
    )


async def test_upsert_resets_nothing_that_a_line_says_nothing_of(database: Database, tmp_path: Path):
    ask(database, TABLE)
    ask(database, "INSERT INTO t VALUES (1, 'old', 50), (2, 'old', 50)")
    path = tmp_path / "t.ndjson"
    path.write_text('{"id": 1, "name": "new"}\n{"id": 2}\n{"id": 3, "name": null}\n')
    job = await load(database, path, upsert=("id",))
    assert errors(database, job.id) == [("2", "22023")]
    assert ask(database, "SELECT * FROM t ORDER BY id") == [(1, "new", 50), (2, "old", 50), (3, None, 7)]


async def test_another_file_is_not_gone_on_with(database: Database, tmp_path: Path):
    ask(database, TABLE)
    rows = [(number, "", 100 if number == 250 else 1) for number in range(500)]
    path = write(tmp_path / "t.csv", rows)
    with pytest.raises(JobFailed, match=r"^line \(252\) cannot be loaded: 23514"):
        await load(database, path, settings={**FIXED, "error_handling": "fail"})
    write(path, [(number + 1000, "", 1) for number in range(500)])
    with pytest.raises(JobFailed, match="not what was loaded"):
        await load(database, path, settings=FIXED)
    assert ask(database, "SELECT count(*), max(id) FROM t") == [(250, 249)]


async def stop(database: Database, path: Path, **order: Any) -> None:
    """A load that has loaded ten lines and cannot load the eleventh."""
    with pytest.raises(JobFailed, match="cannot be"):
        await load(database, path, settings={**FIXED, "chunk_size": 10, "error_handling": "fail"}, **order)


def write_twins(path: Path, header: str = "b,a") -> Path:
    """Lines of two numbers each, of which the eleventh is none."""
    lines = [f"{number},-{number if number != 11 else 'x'}\n" for number in range(1, 21)]
    path.write_text(f"{header}\n{''.join(lines)}")
    return path


TWINS = "CREATE TABLE t (a int, b int)"
NO_TWIN = "SELECT count(*) FROM t WHERE a > 0"


@pytest.mark.parametrize("header", ["skip", "none"])
async def test_load_with_another_header_is_another_batch(database: Database, tmp_path: Path, header: Any):
    """Values of the rest of the lines went to other columns than those before."""
    ask(database, TWINS)
    path = write_twins(tmp_path / "t.csv")
    await stop(database, path)
    async with make(database, path, header=header) as batch:
        assert "It goes on" not in "\n".join(await batch.plan())
        await batch.begin()
    assert batch.name == "t-2"
    with pytest.raises(JobRefused, match=r"t-1 is another one: load public.t: COPY t \(b, a\).*HEADER MATCH"):
        async with make(database, path, header=header) as batch:
            batch.name = "t-1"
            await batch.plan()
    assert (await load(database, path)).totals.errors == 1
    assert ask(database, f"SELECT ({NO_TWIN}), (SELECT count(*) FROM t)") == [(0, 19)]


async def test_load_is_not_gone_on_with_once_the_table_has_other_columns(database: Database, tmp_path: Path):
    ask(database, TWINS)
    path = write_twins(tmp_path / "t.csv")
    await stop(database, path, header="skip")
    ask(database, "ALTER TABLE t DROP a; ALTER TABLE t ADD a int")
    for _ in range(2):
        with pytest.raises(JobRefused, match=r"t-1 went to \(a, b\), and would go to \(b, a\) now"):
            await load(database, path, header="skip")
    with pytest.raises(JobRefused, match=r"would go to \(b, a\)"):
        async with make(database, path, header="skip") as batch:
            await batch.plan()


async def test_load_is_not_gone_on_with_once_its_header_has_changed(database: Database, tmp_path: Path):
    ask(database, TWINS)
    path = write_twins(tmp_path / "t.csv")
    await stop(database, path)
    write_twins(path, "a,b")
    with pytest.raises(JobRefused, match=r"went to \(b, a\), and would go to \(a, b\) now"):
        await load(database, path)


@pytest.mark.parametrize(
    ("order", "said"),
    [({}, ""), ({"header": "skip", "columns": ("b", "a")}, ""), ({"header": "skip"}, "an older version's")],
)
async def test_load_of_an_older_ledger_goes_on_where_it_says_its_columns(
    database: Database, tmp_path: Path, order: dict[str, Any], said: str
):
    ask(database, TWINS)
    path = write_twins(tmp_path / "t.csv")
    await stop(database, path, **order)
    columns = " (b, a)" if "columns" in order else ""
    ask(
        database,
        f"UPDATE dbproxy.batch_jobs SET options = options - 'fields', statement ="
        f" 'COPY t{columns} FROM ''{path}'' (FORMAT csv)'",
    )
    with pytest.raises(JobRefused, match="is another one"):
        async with make(database, path, header="none") as batch:
            batch.name = "t-1"
            await batch.begin()
    if said:
        with pytest.raises(JobRefused, match=said):
            await load(database, path, **order)
        return
    job = await load(database, path, **order)
    assert (job.id, job.totals.errors) == ("t-1", 1)
    assert ask(database, f"SELECT ({NO_TWIN}), (SELECT count(*) FROM t)") == [(0, 19)]


async def test_objects_are_gone_on_with_whatever_columns_come(database: Database, tmp_path: Path):
    """Their values go by names."""
    ask(database, "CREATE TABLE t (a int, b int)")
    path = tmp_path / "t.ndjson"
    path.write_text("".join(json.dumps({"a": n if n != 11 else "x", "b": -n}) + "\n" for n in range(1, 21)))
    await stop(database, path)
    ask(database, "ALTER TABLE t ADD c int")
    job = await load(database, path)
    assert (job.id, job.totals.errors, job.totals.rows) == ("t-1", 1, 19)


async def test_million_lines_in_a_table_of_another_name_stop_it(database: Database, tmp_path: Path):
    ask(database, TABLE)
    async with make(database, write(tmp_path / "t.csv", [(1, "", 1)])) as batch:
        ask(database, "ALTER TABLE t RENAME TO old")
        ask(database, TABLE)
        with pytest.raises(JobFailed, match="another one of that name"):
            await batch.run()


@pytest.mark.parametrize("lost", ["answer", "request"])
async def test_commit_in_doubt_loads_no_line_twice_or_never(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
):
    """The line is cut behind COMMIT, or behind the answer to it; a table without a key would show it."""
    monkeypatch.setattr(session, "UNHURRIED", 0.3)
    monkeypatch.setattr(session, "ANSWER", 0.2)
    monkeypatch.setattr(control, "TIMEOUT", 0.5)
    monkeypatch.setattr(lock, "TIMEOUT", 0.5)
    ask(database, "CREATE TABLE t (id int, name text, n int)")
    path = write(tmp_path / "t.csv", [(number, "two\nlines", 1) for number in range(2_000)])
    async with Line(database.server.port) as line:
        swallower = Swallower(line, lost, 7)
        through = replace_port(database.dsn, database.server.port, line.port)
        async with make(database, path, settings=FIXED, dsn=through) as batch:
            running = asyncio.create_task(batch.run())
            for _ in range(3):
                hears = asyncio.create_task(swallower.swallowed.wait())
                await asyncio.wait({hears, running}, return_when=asyncio.FIRST_COMPLETED)
                assert hears.done(), running.result()
                await until(lambda: lost == "request" or not ask(database, OPEN))
                line.cut()
                swallower.mend()
            job = await running
    assert (job.state, job.totals.rows, job.totals.chunks) == ("done", 2_000, 20)
    assert ask(database, "SELECT count(*), count(DISTINCT id), sum(id) FROM t") == [(2000, 2000, 1999 * 1000)]


def replace_port(dsn: str, port: int, by: int) -> str:
    return dsn.replace(f":{port}/", f":{by}/")


# --- by the command line ---


def test_plan_says_what_will_be_met_and_does_nothing(database: Database, tmp_path: Path):
    ask(database, TABLE)
    ask(database, "CREATE TABLE of (id int PRIMARY KEY); ALTER TABLE t ADD FOREIGN KEY (n) REFERENCES of")
    path = write(tmp_path / "t.csv", [(number, "x" * 10, 1) for number in range(50_000)])
    code, out, _ = command(database.dsn, "load", str(path), "--table", "t")
    assert code == 0
    for word in (
        f"COPY t (id, name, n) FROM '{path}' (FORMAT csv, HEADER MATCH)",
        "with header",
        "id integer, name text, n integer",
        "t_pkey (id)",
        "foreign key t_n_fkey (of)",
        "1000, then",
    ):
        assert word in out
    assert ask(database, "SELECT count(*) FROM t") == [(0,)]


def test_header_is_of_csv_alone(database: Database, tmp_path: Path):
    ask(database, TABLE)
    path = tmp_path / "t.ndjson"
    path.write_text('{"id": 1}\n')
    code, _, err = command(database.dsn, "load", str(path), "--table", "t", "--header", "none")
    assert (code, f"--header is of CSV, and {path} is NDJSON" in err) == (2, True)


def test_load_is_resumed_by_its_id(database: Database, tmp_path: Path):
    ask(database, TABLE)
    path = write(tmp_path / "t.csv", [(number, "", 100 if number == 250 else 1) for number in range(500)])
    words = ("load", str(path), "--table", "t", "--id", "one", "--set", "error_handling=fail", "--execute")
    assert command(database.dsn, *words)[0] == 1
    assert command(database.dsn, "resume", "one", "--set", "error_handling=accumulate")[0] == 3
    assert ask(database, "SELECT count(*) FROM t") == [(499,)]
    assert (tmp_path / "t.csv.bad").read_text() == "id,name,n\n250,,100\n"
    assert "(252)" in command(database.dsn, "errors", "one")[1]


def test_lines_that_were_left_out_are_loaded_by_the_command_that_is_told(database: Database, tmp_path: Path):
    ask(database, TABLE)
    path = tmp_path / "t.tsv"
    path.write_text("1\t''\t5\n2\t'two\nlines'\t100\n")
    given = ("--table", "t", "--id", "one", "--header", "none", "--quote", "'", "--execute")
    assert command(database.dsn, "load", str(path), *given)[0] == 3
    path.unlink()
    code, out, _ = command(database.dsn, "verify", "one")
    assert (code, "lines read: 2, left out: 1 (" in out, "ledger's account" in out) == (
        1,
        True,
        True,
    )
    code, _, err = command(database.dsn, "errors", "one", "--retry")
    assert (code, f"{path}.bad" in err) == (2, True)
    ask(database, "ALTER TABLE t DROP CONSTRAINT t_n_check")
    code, _, err = command(database.dsn, *shlex.split(err[err.index("load ") :]))
    assert code == 0, err
    assert ask(database, "SELECT id, name, n FROM t ORDER BY 1") == [(1, "", 5), (2, "two\nlines", 100)]


async def test_line_that_would_end_the_data_is_left_out_before_postgresql_18(
    debian_postgres: Postgres, tmp_path: Path
):
    with create_database(debian_postgres) as database:
        ask(database, "CREATE TABLE t (name text)")
        path = tmp_path / "t.csv"
        path.write_text('name\na\n\\.\nb\n"\\."\nc\n')
        job = await load(database, path)
        expected = 5 if debian_postgres.installation.major >= 18 else 4
        assert (job.totals.rows, job.totals.rows + job.totals.errors) == (expected, 5)
        assert ask(database, "SELECT count(*) FROM t WHERE name IN ('a', 'b', 'c')") == [(3,)]


def test_workers_are_refused_and_those_of_the_settings_not_heeded(database: Database, tmp_path: Path):
    ask(database, TABLE)
    path = write(tmp_path / "t.csv", [(1, "", 1)])
    words = ("load", str(path), "--table", "t")
    code, _, err = command(database.dsn, *words, "--set", "workers=2")
    assert (code, "one worker" in err, "split the file" in err) == (2, True, True)
    (tmp_path / "dbproxy.toml").write_text("[batch]\nworkers = 4\n")
    code, out, err = command(database.dsn, *words, "--config", str(tmp_path / "dbproxy.toml"))
    assert (code, "workers: 1" in out) == (0, True), err


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_pipe_is_loaded(database: Database, tmp_path: Path, pack: Callable[[bytes], bytes]):
    ask(database, TABLE)
    content = b"id,name\n" + b"".join(b"%d,a\n" % number for number in range(10_000))
    run = subprocess.run(
        [sys.executable, "-m", "dbproxy", "batch", "load", "-", "--format", "csv", "--table", "t", "--execute",
             "--no-throttle", "--url", database.dsn],
        input=pack(content), capture_output=True, timeout=60, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert (run.returncode, b"dbproxy" in run.stderr) == (0, False)  # how far it is, after a second
    assert ask(database, "SELECT count(*), count(DISTINCT id) FROM t") == [(10_000, 10_000)]


def test_silent_pipe_can_be_stopped_and_resumed(database: Database, tmp_path: Path):
    ask(database, TABLE)
    words = [
        sys.executable,
        "-m",
        "dbproxy",
        "batch",
        "load",
        "-",
        "--format",
        "csv",
        "--table",
        "t",
        "--execute",
    ]
    options: dict[str, Any] = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([*words, "--url", database.dsn], cwd=tmp_path, **options)
    assert process.stdin is not None
    process.stdin.write(b"id,name\n1,a\n2,b\n")
    process.stdin.flush()
    wait_until(lambda: ask(database, "SELECT count(*) FROM t") == [(2,)])
    wait_until(lambda: ask(database, "SELECT waits_for FROM dbproxy.batch_jobs") == [("input",)])
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    process.communicate()
    assert ask(database, "SELECT count(*) FROM t") == [(2,)]
    again = subprocess.run(
        [*words, "--url", database.dsn], input=b"id,name\n1,a\n2,b\n3,c\n", check=False, cwd=tmp_path,
        capture_output=True,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert ask(database, "SELECT array_agg(id ORDER BY id) FROM t") == [([1, 2, 3],)]


@pytest.mark.parametrize(
    ("name", "moments"),
    [
        ("t.csv", 5),
        ("t.csv.gz", 3),
        pytest.param("t.csv", 30, marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
    ],
)
def test_killed_at_any_moment_no_line_comes_twice_or_never(
    database: Database, tmp_path: Path, name: str, moments: int
):
    """Lines have no key here, so that one which comes twice is there twice."""
    ask(database, "CREATE TABLE t (id int, name text, n int CHECK (n >= 0))")
    chance = random.Random(moments)
    rows = 200_000
    bad = set(chance.sample(range(rows), 20))
    content = b"id,name,n\n" + b"".join(
        b'%d,"a\nline",%d\n' % (number, -1 if number in bad else 1) for number in range(rows)
    )
    path = tmp_path / name
    path.write_bytes(gzip.compress(content, 1) if name.endswith("gz") else content)
    words = ("load", str(path), "--table", "t", "--execute", "--set", "max_chunk=2000", "--id", "one")
    killed = 0
    for _ in range(moments):
        process = start(database.dsn, *words)
        before = position(database)
        wait_until(
            lambda process=process, before=before: process.poll() is not None or position(database) > before
        )
        time.sleep(chance.random() * 0.05)  # a random moment is what is tried
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed == moments
    code, out, err = command(database.dsn, *words)
    assert code == 3 or "done with errors already" in err, (code, out, err)
    assert ask(database, "SELECT count(*), count(DISTINCT id), sum(id) FROM t") == [
        (rows - len(bad), rows - len(bad), rows * (rows - 1) // 2 - sum(bad))
    ]
    assert [int(line) for line, _ in errors(database, "one")] == [2 * number + 2 for number in sorted(bad)]
    assert (tmp_path / "t.csv.bad").read_bytes().count(b"\n") == 1 + 2 * len(bad)


def position(database: Database) -> int:
    if ask(database, "SELECT to_regclass('dbproxy.batch_progress')") == [(None,)]:
        return 0
    found = ask(database, "SELECT coalesce(max((cursor ->> 0)::int8), 0) FROM dbproxy.batch_progress")
    return int(found[0][0])
