"""What is classified as a read changes nothing on the primary, and a replica answers it as the primary does."""

from collections.abc import Iterator

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from dbproxy.sql.builtins import BUILTINS
from dbproxy.sql.parser import classify
from dbproxy.sql.relations import CATALOGS
from dbproxy.sql.volatility import VOLATILE
from tests.support.other_sql import OTHERS, WRITING
from tests.support.postgres import Database, connect, wait_for_replay
from tests.support.reads_sql import MOMENTARY, READS, SCHEMA, lines

READ_ONLY_SQL_TRANSACTION = "25006"
READING = [(group, text) for group, text in lines(READS) if group != "xml"]  # the embedded one lacks it
WRITES = [text for group, text in lines(OTHERS) if group in WRITING]
WRITES += [
    "SELECT nextval('counter')",
    "SELECT lo_create(0)",
    "SELECT pg_current_xact_id()",
    "CREATE TABLE t ()",
]


@pytest.fixture(scope="module")
def on_primary(module_database: Database) -> Iterator[psycopg.Connection]:
    with connect(module_database.server, module_database.name) as connection:
        connection.execute(SCHEMA.encode())
        connection.execute("ANALYZE")
        yield connection


@pytest.fixture(scope="module")
def on_replica(
    on_primary: psycopg.Connection, module_database: Database, replicas: list[Postgres]
) -> Iterator[psycopg.Connection]:
    wait_for_replay(module_database.server, replicas[0])
    with connect(replicas[0], module_database.name) as connection:
        yield connection


def run(connection: psycopg.Connection, text: str) -> list[bytes]:
    """The rows of all results, or what was copied, as bytes."""
    if text.lower().startswith("copy"):
        with connection.cursor().copy(text.encode()) as copy:
            return [bytes(data) for data in copy]
    found: list[bytes] = []
    cursor = connection.execute(text.encode())
    while cursor.pgresult is not None:
        result = cursor.pgresult
        found += [
            result.get_value(row, column) or b""
            for row in range(result.ntuples)
            for column in range(result.nfields)
        ]
        if not cursor.nextset():
            break
    return found


def writes(connection: psycopg.Connection, text: str) -> bool:
    """Whether the text makes its transaction one that writes."""
    with connection.transaction(force_rollback=True):
        run(connection, text)
        (xact_id,) = connection.execute("SELECT pg_current_xact_id_if_assigned()").fetchone() or (None,)
        return xact_id is not None


@pytest.mark.parametrize(("group", "text"), READING, ids=lambda it: it[:60])
def test_a_read_changes_nothing_on_the_primary(on_primary: psycopg.Connection, group: str, text: str) -> None:
    assert classify(text.encode()).reads
    assert not writes(on_primary, text)


@pytest.mark.parametrize(("group", "text"), READING, ids=lambda it: it[:60])
def test_a_replica_answers_a_read_as_the_primary_does(
    on_primary: psycopg.Connection, on_replica: psycopg.Connection, group: str, text: str
) -> None:
    answer = run(on_replica, text)
    assert group in MOMENTARY or answer == run(on_primary, text)


@pytest.mark.parametrize("text", WRITES, ids=lambda it: it[:60])
def test_a_write_would_be_noticed(
    on_primary: psycopg.Connection, on_replica: psycopg.Connection, text: str
) -> None:
    assert not classify(text.encode()).reads
    assert writes(on_primary, text)
    with pytest.raises(psycopg.Error) as refused:
        run(on_replica, text)
    assert refused.value.sqlstate == READ_ONLY_SQL_TRANSACTION


def test_volatile_functions_are_those_that_postgresql_calls_so(on_primary: psycopg.Connection) -> None:
    query = (
        "SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND provolatile = 'v'"
    )
    assert BUILTINS & {name for (name,) in on_primary.execute(query)} == VOLATILE


def test_catalogs_are_postgresqls_own(on_primary: psycopg.Connection) -> None:
    """All tables, and only views that none of the primary's functions is behind."""
    query = "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace"
    kinds = dict(on_primary.execute(query).fetchall())
    assert {name for name, kind in kinds.items() if kind == "r"} == {
        name for name in CATALOGS if kinds[name] == "r"
    }
    for name in CATALOGS:
        if kinds[name] == "v":
            (definition,) = on_primary.execute("SELECT pg_get_viewdef(%s::regclass)", [name]).fetchone() or (
                "",
            )
            assert classify(definition.encode()).reads, name


def test_views_of_the_information_schema_are_reads(on_primary: psycopg.Connection) -> None:
    query = "SELECT table_name, view_definition FROM information_schema.views WHERE table_schema = %s"
    found = dict(on_primary.execute(query, ["information_schema"]).fetchall())
    assert {name for name, text in found.items() if not classify(text.encode()).reads} == set()
