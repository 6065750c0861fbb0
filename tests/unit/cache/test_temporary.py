"""What of a session's own temporary tables is of no interest to others."""

import pytest

from dbproxy.cache.fence import Fence
from dbproxy.cache.temporary import MOST, Temporary
from dbproxy.sql.identity import NO_SHAPE
from tests.unit.cache.test_schema import TABLES, function, read_schema, shape

WRITER = function(9, "writes", "fv-plpgsql", "BEGIN INSERT INTO a VALUES (1); RETURN 1; END")
HARMLESS = function(11, "harmless", "fv-plpgsql", "BEGIN RETURN 1; END")
OPAQUE = function(10, "opaque", "fv-plpython3u", "pass")


@pytest.fixture
def fence() -> Fence:
    made = Fence()
    made.learn(read_schema([*TABLES, WRITER, OPAQUE, HARMLESS]), 0)
    return made


def run(fence: Fence, *texts: str) -> list[bool]:
    """Of each statement of a session whether it counts."""
    session, counts = Temporary(), []
    for text in texts:
        found = shape(text)
        narrowed = session.narrow(found, fence)
        counts.append(narrowed is not NO_SHAPE)
        if narrowed is not NO_SHAPE and fence.find_written(found).tables[:1] == [fence.whole]:
            session.doubt(found, fence)
    return counts


@pytest.mark.parametrize(
    "create",
    [
        "CREATE TEMP TABLE t (x int)",
        "create temporary table T(x int) on commit drop",
        'CREATE LOCAL TEMP TABLE "t" AS SELECT 1 AS x',
        "CREATE TEMP TABLE t (LIKE a)",
    ],
)
@pytest.mark.parametrize(
    "write",
    [
        "INSERT INTO t VALUES (1)",
        "COPY t FROM STDIN",
        "TRUNCATE t",
        "UPDATE pg_temp.t SET x = 1",
        "DELETE FROM T",
    ],
)
def test_what_is_written_to_an_own_table_is_nobody_elses(fence: Fence, create: str, write: str):
    assert run(fence, create, write)[1:] == [False]


@pytest.mark.parametrize(
    "texts",
    [
        ["INSERT INTO t VALUES (1)"],  # a temporary view, perhaps
        ["CREATE TEMP TABLE IF NOT EXISTS t (x int)", "INSERT INTO t VALUES (1)"],
        ["CREATE TEMP TABLE t (x int DEFAULT writes())", "INSERT INTO t VALUES (1)"],
        ["CREATE TEMP TABLE t (LIKE a INCLUDING ALL)", "INSERT INTO t VALUES (1)"],
        ["CREATE TEMP TABLE t (x int) INHERITS (a)", "INSERT INTO t VALUES (1)"],
        ["CREATE TEMP TABLE t (x int)", "INSERT INTO t SELECT writes()"],
        ["CREATE TEMP TABLE t (x int)", "INSERT INTO other.t VALUES (1)"],
        ["CREATE TEMP TABLE t (x int)", "INSERT INTO a SELECT * FROM t"],
        ["CREATE TEMP TABLE t (x int)", "WITH n AS (DELETE FROM a RETURNING 1) INSERT INTO t SELECT * FROM n"],
        ["CREATE TEMP TABLE t (x int)", "CREATE TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION writes()",
         "INSERT INTO t VALUES (1)"],
        ["CREATE TEMP TABLE t (x int)", "CREATE RULE r AS ON INSERT TO t DO DELETE FROM a", "INSERT INTO t VALUES (1)"],
        ["CREATE TEMP TABLE t (x int)", "SELECT opaque()", "INSERT INTO t VALUES (1)"],
        ["DO 'x'", "CREATE TEMP TABLE t (x int)", "INSERT INTO t VALUES (1)"],
        ["CREATE TEMP VIEW t AS SELECT * FROM a", "CREATE TEMP TABLE t (x int)", "INSERT INTO t VALUES (1)"],
        ["CREATE TEMP TABLE a (x int)", "INSERT INTO a VALUES (1)"],  # or the other one, once it is dropped
        ["DROP TABLE a"],
        ["DROP TABLE IF EXISTS t, b"],
        ["DROP TABLE t CASCADE"],
        ["DROP VIEW t"],
        ["DROP TABLE t; DELETE FROM a"],
        ["CREATE INDEX ON a (x)"],
        ["CREATE INDEX ON t (writes())"],
        ["CREATE INDEX ON t (x); DELETE FROM a"],
        ["CREATE TEMP TABLE t (x int)", "DROP TABLE t", "INSERT INTO t VALUES (1)"],
        ["CREATE TEMP TABLE t (x int)", "ALTER TABLE t ADD COLUMN y int DEFAULT writes()", "INSERT INTO t VALUES (1)"],
        ["CREATE TEMP TABLE t (x int) ON COMMIT DROP", "CREATE TEMP TABLE t (x int DEFAULT writes())",
         "INSERT INTO t DEFAULT VALUES"],
        ["CREATE TEMP TABLE t (x int) ON COMMIT DROP", "CREATE TEMP TABLE t (LIKE a INCLUDING ALL)",
         "INSERT INTO t DEFAULT VALUES"],
        ["CREATE TEMP TABLE t (x int) ON COMMIT DROP", "CREATE TEMP TABLE IF NOT EXISTS t (LIKE a INCLUDING ALL)",
         "INSERT INTO t DEFAULT VALUES"],
        ["CREATE TEMP TABLE t (x int) ON COMMIT DROP", "CREATE TABLE pg_temp.t (LIKE a INCLUDING ALL)",
         "INSERT INTO t DEFAULT VALUES"],
        ["CREATE TEMP TABLE t (x int DEFAULT writes())", "CREATE TEMP TABLE t (x int)",  # which fails
         "INSERT INTO t DEFAULT VALUES"],
        ["CREATE TEMP TABLE t (x int DEFAULT writes())", "DROP TABLE t", "CREATE TEMP TABLE t (x int)",  # rolled back
         "INSERT INTO t DEFAULT VALUES"],
        ["CREATE TEMP TABLE t (x int DEFAULT harmless())", "INSERT INTO t VALUES (1)"],  # by now
    ],
)  # fmt: skip
def test_what_may_reach_others_counts(fence: Fence, texts: list[str]):
    assert run(fence, *texts)[-1]


@pytest.mark.parametrize(
    "text",
    [
        "DROP TABLE t",
        'DROP TABLE IF EXISTS pg_temp.t, "T x"',
        "CREATE UNIQUE INDEX i ON t USING btree (x, y)",
    ],
)
def test_what_drops_or_indexes_a_name_that_nobody_knows_changes_nothing_for_others(fence: Fence, text: str):
    assert run(fence, text) == [False]


def test_nothing_is_left_out_while_what_is_known_does_not_hold(fence: Fence):
    session = Temporary()
    session.narrow(shape("CREATE TEMP TABLE t (x int)"), fence)
    fence.forget()
    for text in ("INSERT INTO t VALUES (1)", "DROP TABLE t"):
        found = shape(text)
        assert session.narrow(found, fence) is found


def test_session_that_makes_a_table_after_the_other_is_remembered_no_further(fence: Fence):
    session = Temporary()
    for number in range(2 * MOST):
        session.narrow(shape(f"CREATE TEMP TABLE t{number} (x int) ON COMMIT DROP"), fence)
    assert len(session.names) <= MOST
