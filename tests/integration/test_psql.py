"""psql through the proxy, as somebody at a terminal uses it."""

from pathlib import Path

import pytest

from tests.support.postgres import Database
from tests.support.programs import run
from tests.support.proxy import Proxy


@pytest.fixture
def psql(proxy: Proxy, module_database: Database):
    """Run a script; what both psql and the server said to it."""

    def run_script(script: str, *arguments: object, fails: bool = False) -> str:
        flags = ("-X", "-A", "-q", "-P", "tuples_only=on", *arguments)
        return run(module_database.server, "psql", *flags, dsn=proxy.dsn(), given=script, fails=fails).strip()

    return run_script


def test_statements_one_by_one_and_together(psql):
    assert psql("SELECT 1; SELECT 2;\nSELECT 3 \\; SELECT 4;").split() == ["1", "2", "3", "4"]
    assert psql("", "-c", "SELECT 1; SELECT 2").split() == ["1", "2"]


def test_describing_what_there_is(psql):
    psql("CREATE TABLE described (id int PRIMARY KEY, words text[] NOT NULL DEFAULT '{}')")
    shown = psql(
        "\\pset tuples_only off\n\\d described\n\\d+ described\n\\dt\n\\df\n\\l\n\\du\n\\dn+\n\\conninfo"
    )
    assert "described_pkey" in shown
    assert "'{}'::text[]" in shown
    psql("DROP TABLE described")


def test_copy_from_and_to_files(psql, tmp_path: Path):
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("".join(f"{number},word {number}\n" for number in range(5000)))
    psql(f"""CREATE TABLE copied (number int, word text);
        \\copy copied FROM '{source}' CSV
        \\copy (SELECT * FROM copied ORDER BY number) TO '{target}' CSV
        DROP TABLE copied;""")
    assert target.read_text() == source.read_text()


def test_copy_of_bad_data_says_the_line(psql, tmp_path: Path):
    source = tmp_path / "in.csv"
    source.write_text("1\n2\nx\n" + "4\n" * 100_000)
    script = f"CREATE TABLE half (number int);\n\\copy half FROM '{source}' CSV\nSELECT count(*) FROM half;"
    assert "line 3, column number" in psql(script, "-v", "ON_ERROR_STOP=1", fails=True)
    assert psql("SELECT count(*) FROM half; DROP TABLE half;") == "0"


def test_errors_point_at_the_place(psql):
    said = psql("SELECT 1 +\n  missing;", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", fails=True)
    assert '42703: column "missing" does not exist' in said
    assert "LINE 2:   missing;" in said


def test_work_goes_on_after_an_error(psql):
    assert psql("SELECT 1 / 0; SELECT 2; BEGIN; SELECT missing; SELECT 3; ROLLBACK; SELECT 4;").split() == [
        "2",
        "4",
    ]


def test_statements_of_one_message_are_one_transaction(psql):
    psql("CREATE TABLE together (id int)")
    psql("", "-c", "INSERT INTO together VALUES (1); INSERT INTO together VALUES (1 / 0)", fails=True)
    assert psql("SELECT count(*) FROM together; DROP TABLE together;") == "0"


def test_rows_in_portions(psql):
    assert psql("\\set FETCH_COUNT 7\nSELECT * FROM generate_series(1, 50);").split() == [
        str(number) for number in range(1, 51)
    ]


def test_gdesc_gexec_and_bind(psql):
    assert psql("SELECT 1 AS one, 'x' AS two \\gdesc") == "one|integer\ntwo|text"
    assert psql("SELECT 'SELECT ' || n FROM generate_series(1, 3) n \\gexec").split() == ["1", "2", "3"]
    assert psql("SELECT $1::int + $2::int \\bind 3 4 \\g") == "7"


def test_statements_prepared_by_name(psql):
    """The extended protocol, from a script (PostgreSQL 18)."""
    script = """SELECT $1::int \\parse mine
        \\bind_named mine 5 \\g
        SELECT 2;
        \\bind_named mine 6 \\g
        \\close_prepared mine"""
    assert psql(script).split() == ["5", "2", "6"]


def test_pipeline(psql):
    script = (
        "\\startpipeline\nSELECT $1 \\bind 1 \\sendpipeline\nSELECT $1 \\bind 2 \\sendpipeline\n\\endpipeline"
    )
    assert psql(script).split() == ["1", "2"]


def test_encoding_follows_the_client(psql, proxy: Proxy, module_database: Database):
    shown = run(
        module_database.server, "psql", "-XAtc", "SHOW client_encoding; SELECT 'ü'",
        dsn=proxy.dsn(), environment={"PGCLIENTENCODING": "SQL_ASCII"},
    )  # fmt: skip
    assert shown.split() == ["SQL_ASCII", "ü"]
    assert psql("SHOW client_encoding") == "UTF8"


@pytest.mark.parametrize("version", ["3.0", "3.2"])
def test_protocol_is_the_one_that_the_client_asks_for(proxy: Proxy, module_database: Database, version: str):
    shown = run(
        module_database.server, "psql", "-XAt", "-c", "SELECT 7", "-c", "\\conninfo",
        dsn=proxy.dsn(), environment={"PGMAXPROTOCOLVERSION": version},
    )  # fmt: skip
    assert shown.startswith("7\n")
    assert f"Protocol Version|{version}\n" in shown
