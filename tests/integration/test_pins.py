"""What cannot come along keeps a server for its client: as long as it is there, and no longer."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving, wait_until
from tests.support.two_servers import (
    SETTINGS,
    assert_alike,
    kept_servers,
    look,
    open_client,
    pid,
    vanish,
    wait_for_kept,
)

FUNCTIONS = """
CREATE FUNCTION take(key int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_lock(key); END $$;
CREATE FUNCTION take_deep(key int) RETURNS void LANGUAGE sql AS 'SELECT take(key)';
CREATE FUNCTION make_temp() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'CREATE TE' || 'MP TABLE t ()'; END $$;
CREATE SEQUENCE numbers;
"""
PINS = [
    ("CREATE TEMP TABLE t (a int)", "DROP TABLE t"),
    ("CREATE TABLE pg_temp.t (a int)", "DROP TABLE pg_temp.t"),
    ("SELECT 1 AS a INTO TEMPORARY t", "DROP TABLE t"),
    ("CREATE TEMP VIEW v AS SELECT 1 AS a", "DROP VIEW v"),
    ("CREATE TEMP SEQUENCE s", "DROP SEQUENCE s"),
    ("CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION pg_temp.f()"),
    ("CREATE TYPE pg_temp.e AS ENUM ('a')", "DROP TYPE pg_temp.e"),
    ("SELECT make_temp()", "DROP TABLE t"),
    ("BEGIN; CREATE TEMP TABLE t () ON COMMIT DROP; CREATE TEMP TABLE u (); COMMIT", "DROP TABLE u"),
    ("SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock(1)"),
    ("SELECT pg_try_advisory_lock_shared(1, 2)", "SELECT pg_advisory_unlock_all()"),
    ("SELECT take(1)", "SELECT pg_advisory_unlock(1)"),
    ("SELECT take_deep(1)", "SELECT pg_advisory_unlock(1)"),
    ("DO $$ BEGIN PERFORM pg_advisory_lock(1); END $$", "SELECT pg_advisory_unlock(1)"),
    ("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT", "CLOSE c"),
    ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "CLOSE ALL"),
    ("CREATE TEMP TABLE t (a int)", "DISCARD TEMP"),
    ("SELECT pg_advisory_lock(1)", "DISCARD ALL"),
    ("SELECT nextval('numbers'), currval('numbers')", "DISCARD ALL"),
]
LEAVES_NOTHING = [
    "SELECT pg_advisory_xact_lock(1)",
    "BEGIN; SELECT pg_advisory_lock(1); SELECT pg_advisory_unlock(1); COMMIT",
    "BEGIN; CREATE TEMP TABLE t (); ROLLBACK",
    "CREATE TEMP TABLE t (); DROP TABLE t",
    "BEGIN; CREATE TEMP TABLE t () ON COMMIT DROP; COMMIT",
    "BEGIN; DECLARE c CURSOR FOR SELECT 1; COMMIT",
    "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; ROLLBACK",
    "BEGIN; SAVEPOINT a; CREATE TEMP TABLE t (); ROLLBACK TO a; COMMIT",
    "SELECT nextval('numbers')",
]


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    with open_client(module_database.dsn) as direct:
        direct.execute(FUNCTIONS)
    with serving(module_database, SETTINGS) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy) -> Iterator[psycopg.Connection]:
    with open_client(proxy.dsn()) as connection:
        yield connection
    wait_for_kept(proxy, 0)


@pytest.mark.parametrize(("statement", "release"), PINS)
def test_server_is_kept_until_it_is_released(
    proxy: Proxy, client: psycopg.Connection, statement: str, release: str
):
    client.execute(statement)
    own = pid(client)
    with open_client(proxy.dsn()) as other:
        for _ in range(3):
            assert pid(other) != own
            assert pid(client) == own
    assert kept_servers(proxy) == 1
    client.execute(release)
    wait_for_kept(proxy, 0)


@pytest.mark.parametrize("statement", LEAVES_NOTHING)
def test_server_is_not_kept_for_what_its_transaction_took_away(
    proxy: Proxy, client: psycopg.Connection, statement: str
):
    client.execute(statement)
    wait_for_kept(proxy, 0)


@pytest.mark.parametrize("leave", [psycopg.Connection.close, vanish])
@pytest.mark.parametrize("statement", dict.fromkeys(statement for statement, _ in PINS))
def test_client_that_goes_leaves_no_lock_no_cursor_and_nothing_temporary(
    module_database: Database, proxy: Proxy, statement: str, leave: Callable[[psycopg.Connection], None]
):
    client = open_client(proxy.dsn())
    client.execute(statement)
    leave(client)
    wait_for_kept(proxy, 0)
    held = (
        "EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database"
    )
    wait_until(module_database, f"NOT {held} WHERE datname = current_database()))")
    assert_fresh(proxy, module_database)


@pytest.mark.parametrize("leave", [psycopg.Connection.close, vanish])
def test_two_clients_that_left_all_they_could_are_followed_by_fresh_sessions(
    module_database: Database, proxy: Proxy, leave: Callable[[psycopg.Connection], None]
):
    clients = [open_client(proxy.dsn()) for _ in range(2)]
    for number, client in enumerate(clients):
        client.execute("SET work_mem = '9MB'; SET search_path = nowhere; SET TimeZone = 'Asia/Tokyo'")
        client.execute("SET custom.one = 'mine'")
        client.execute("SELECT set_config('custom.two', 'mine', false)")
        client.execute("PREPARE mine AS SELECT 1")
        client.execute("LISTEN mine")
        client.execute(f"SELECT pg_advisory_lock({number})")
        client.execute("CREATE TEMP TABLE mine ()")
        client.execute("BEGIN; DECLARE mine CURSOR WITH HOLD FOR SELECT 1; COMMIT")
        client.execute("BEGIN; SELECT 1")
    for client in clients:
        leave(client)
    wait_for_kept(proxy, 0)
    assert_fresh(proxy, module_database)


def assert_fresh(proxy: Proxy, database: Database) -> None:
    """Two new clients, each on a server of its own, see what is seen on new connections."""
    with open_client(database.dsn) as direct:
        expected = look(direct)
    with open_client(proxy.dsn()) as one, open_client(proxy.dsn()) as two:
        one.execute("BEGIN")
        two.execute("BEGIN")
        assert pid(one) != pid(two)
        assert_alike(look(one), expected)
        assert_alike(look(two), expected)


# --- what the server cannot be asked for --------------------------------------------------------------------


def test_currval_is_the_clients_own_while_others_use_the_sequence(proxy: Proxy, client: psycopg.Connection):
    with open_client(proxy.dsn()) as other:
        for _ in range(3):
            (mine,) = client.execute("SELECT nextval('numbers')").fetchone()
            other.execute("SELECT nextval('numbers')")
            assert client.execute("SELECT currval('numbers')").fetchone() == (mine,)
            assert client.execute("SELECT lastval()").fetchone() == (mine,)


def test_first_to_recall_on_a_pinned_server_recalls_its_own(module_database: Database, proxy: Proxy):
    with serving(module_database, SETTINGS) as fresh, open_client(fresh.dsn()) as other:
        other.execute("SELECT 1")
        with open_client(fresh.dsn()) as mine:
            mine.execute("CREATE TEMP TABLE pinning ()")
            (number,) = mine.execute("SELECT nextval('numbers')").fetchone()
            assert mine.execute("SELECT lastval()").fetchone() == (number,)


def test_currval_of_a_client_that_called_no_nextval_is_an_error(proxy: Proxy, client: psycopg.Connection):
    with open_client(proxy.dsn()) as other:
        for _ in range(4):
            other.execute("SELECT nextval('numbers')")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            client.execute("SELECT currval('numbers')")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            client.execute("SELECT lastval()")


def test_seeded_client_gets_its_own_random_numbers(
    module_database: Database, proxy: Proxy, client: psycopg.Connection
):
    with open_client(module_database.dsn) as direct:
        direct.execute("SELECT setseed(0.5)")
        expected = [direct.execute("SELECT random()").fetchone() for _ in range(4)]
    client.execute("SELECT setseed(0.5)")
    with open_client(proxy.dsn()) as other:
        for number in expected:
            other.execute("SELECT random()")
            assert client.execute("SELECT random()").fetchone() == number
    wait_for_kept(proxy, 1)


# --- refused ------------------------------------------------------------------------------------------------

REFUSED = [
    ("temp", "CREATE TEMP TABLE t ()"),
    ("lock", "SELECT pg_advisory_lock(1)"),
    ("lock", "SELECT take_deep(1)"),
    ("cursor", "DECLARE c CURSOR WITH HOLD FOR SELECT 1"),
    ("seed", "SELECT setseed(0.5)"),
    ("sequence", "SELECT lastval() FROM (VALUES (1)) AS one"),
]


@pytest.fixture(scope="module")
def strict(module_database: Database, proxy: Proxy) -> Iterator[Proxy]:
    """A proxy that refuses to pin."""
    rules = {**SETTINGS, "pool.refuse_pins": "temp,lock,cursor,seed,sequence"}
    with serving(module_database, rules) as running:
        yield running


@pytest.mark.parametrize("prepare", [False, True])
@pytest.mark.parametrize(("reason", "statement"), REFUSED)
def test_refused_statement_fails_with_the_reason_and_nothing_else_does(
    strict: Proxy, reason: str, statement: str, prepare: bool
):
    with open_client(strict.dsn()) as client:
        with pytest.raises(psycopg.errors.FeatureNotSupported) as told:
            client.execute(statement.encode(), prepare=prepare, binary=True)
        assert f'pin "{reason}"' in str(told.value.diag.message_detail)
        assert client.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.errors.FeatureNotSupported), client.transaction():
            client.execute("SELECT 1")
            client.execute(statement.encode())
        assert client.execute("SELECT 2").fetchone() == (2,)
        wait_for_kept(strict, 0)


def test_lock_waits_for_a_pinned_client_and_comes_to_the_next(proxy: Proxy, client: psycopg.Connection):
    client.execute("SELECT pg_advisory_lock(7)")
    with open_client(proxy.dsn()) as other, ThreadPoolExecutor(1) as pool:
        waits = pool.submit(other.execute, "SELECT pg_advisory_lock(7)")
        client.execute("SELECT pg_advisory_unlock(7)")
        assert waits.result(10) is not None
        with open_client(proxy.dsn()) as third:
            assert third.execute("SELECT pg_try_advisory_lock(7)").fetchone() == (False,)
