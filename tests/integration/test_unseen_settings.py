"""Settings that change where no text shows it: their own client may lose them, but no other finds them."""

import psycopg

from tests.support.postgres import Database
from tests.support.serving import serving

SINGLE = {"pool.size": 1, "pool.reserve_size": 0}
TRIGGER = """
    CREATE TABLE t (a int);
    CREATE FUNCTION tune() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM set_config('work_mem', '7MB', false); RETURN new; END $$;
    CREATE TRIGGER tune BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tune();
"""


def test_what_a_trigger_sets_is_not_found_by_another_client(database: Database) -> None:
    with psycopg.connect(database.dsn, autocommit=True) as direct:
        direct.execute(TRIGGER)
        usual = direct.execute("SHOW work_mem").fetchone()
    with serving(database, SINGLE) as proxy:
        one, other = (psycopg.connect(proxy.dsn(), autocommit=True) for _ in range(2))
        with one, other:
            one.execute("INSERT INTO t VALUES (1)")
            assert other.execute("SHOW work_mem").fetchone() == usual


def test_a_custom_setting_in_a_text_too_long_to_be_read_is_not_found_by_another_client(
    database: Database,
) -> None:
    with serving(database, SINGLE) as proxy:
        one, other = (psycopg.connect(proxy.dsn(), autocommit=True) for _ in range(2))
        with one, other:
            one.execute("SELECT '" + "x" * 20_000 + "'; SET app.tenant = 'one'")
            found = other.execute("SELECT nullif(current_setting('app.tenant', true), '')").fetchone()
            assert found == (None,)


def test_a_tiny_statement_timeout_does_not_hit_the_next_client(database: Database) -> None:
    with serving(database, SINGLE) as proxy:
        for _ in range(30):
            one, other = (
                psycopg.connect(proxy.dsn(), autocommit=True, application_name=name)
                for name in ("one", "other")
            )
            with one, other:
                one.execute("SET statement_timeout = '2ms'")
                assert other.execute("SHOW statement_timeout").fetchone() == ("0",)
