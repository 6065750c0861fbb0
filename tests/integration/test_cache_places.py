"""Writes that come another way: by another entry, user or pool mode, over a reload, a restart of PostgreSQL."""

from collections.abc import Iterator

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from dbproxy.wire import build
from tests.support.blocking_client import BlockingClient
from tests.support.kept import SETTINGS, Kept
from tests.support.postgres import PASSWORD, Database, connect, create_database, wait_for_replay
from tests.support.serving import serving

READ = "SELECT count(*) FROM items"
INSERT = "INSERT INTO items VALUES (1)"


@pytest.fixture
def database(primary: Postgres) -> Iterator[Database]:
    with create_database(primary) as fresh:
        prepare(fresh)
        yield fresh


def prepare(database: Database) -> None:
    with connect(database.server, database.name) as owner:
        owner.execute("SET ROLE app; CREATE TABLE items (id int)")


def enter(dsn: str, **how: object) -> psycopg.Connection:
    return psycopg.connect(dsn, autocommit=True, prepare_threshold=None, **how)  # type: ignore[arg-type]


def count(client: psycopg.Connection) -> int:
    ((found,),) = client.execute(READ).fetchall()
    return found


def entries(database: Database) -> str:
    return f"""
        [databases.off]
        dbname = "{database.name}"
        cache.mode = "off"
        [databases.whole_sessions]
        dbname = "{database.name}"
        pool.mode = "session"
        [databases.single_statements]
        dbname = "{database.name}"
        pool.mode = "statement"
        [databases.other]
        dbname = "{database.name}"
        [users.app_md5]
        password = "{PASSWORD}"
        cache.mode = "off"
        [users.app_trust]
        password = "{PASSWORD}"
    """


@pytest.mark.parametrize(
    ("entry", "user"),
    [
        ("off", ""),
        ("off", "app_md5"),
        ("whole_sessions", ""),
        ("single_statements", "app_trust"),
        ("other", "app_md5"),
        ("", "app_md5"),
        ("", "app_trust"),
    ],
)
def test_write_by_another_entry_or_user_is_seen(entry: str, user: str, database: Database):
    with (
        serving(database, SETTINGS, config=entries(database)) as proxy,
        Kept(proxy) as kept,
        enter(proxy.dsn()) as reader,
        enter(proxy.dsn(entry, user, PASSWORD if user else None)) as writer,
    ):
        for number, prepared in enumerate((False, True, True), start=1):
            kept.wait(reader, READ)
            writer.execute(INSERT, prepare=prepared)
            assert count(reader) == number
        for factory in (psycopg.Cursor, psycopg.ClientCursor):
            kept.wait(reader, READ)
            factory(writer).execute("TRUNCATE items")
            assert count(reader) == 0
            writer.execute(INSERT)


def test_hosts_that_are_called_otherwise_are_one_database(database: Database):
    url = database.dsn.replace("127.0.0.1", "localhost")
    other = f'[databases.other.primary]\nurl = "{url}"\n'
    with (
        serving(database, SETTINGS, config=other) as proxy,
        Kept(proxy) as kept,
        enter(proxy.dsn()) as one,
        enter(proxy.dsn("other")) as two,
    ):
        kept.wait(one, READ)
        kept.wait(two, READ)  # both are known by now
        for number in range(3):
            for reader, writer in ((one, two), (two, one)):
                before = kept.wait(reader, READ)
                writer.execute(INSERT)
                assert count(reader) == before[0][0] + 1
            assert number <= count(one) == count(two)


def test_what_was_written_by_another_name_before_that_was_known_is_seen_then(database: Database):
    url = database.dsn.replace("127.0.0.1", "localhost")
    other = f'[databases.other.primary]\nurl = "{url}"\n'
    with (
        serving(database, SETTINGS, config=other) as proxy,
        Kept(proxy) as kept,
        enter(proxy.dsn()) as one,
    ):
        kept.wait(one, READ)
        with enter(proxy.dsn("other")) as two:
            two.execute(INSERT)
            kept.until(lambda: count(one) == 1)


def test_what_was_under_way_when_answers_began_to_be_kept_is_seen(database: Database):
    """Of a transaction that was open then nobody knows what it has written."""
    off = {**SETTINGS, "auth.type": "trust"}
    del off["cache.mode"]
    with (
        serving(database, off) as proxy,
        Kept(proxy) as kept,
        BlockingClient(proxy.host, proxy.port, user="app", database=database.name) as old,
        enter(proxy.dsn()) as idle,
        enter(proxy.dsn()) as reader,
    ):
        assert count(idle) == count(reader) == 0
        old.ask(build.query("BEGIN"))
        old.ask(build.query(INSERT))
        kept.console.execute("SET cache.mode = 'on'")
        for _ in range(3):
            assert count(reader) == 0
        old.ask(build.query("COMMIT"))
        assert count(reader) == 1
        kept.wait(reader, READ)
        idle.execute(INSERT)
        assert count(reader) == 2
        kept.console.execute("SET cache.mode = 'off'")
        assert count(reader) == 2
        idle.execute(INSERT)
        kept.console.execute("SET cache.mode = 'on'")
        assert count(reader) == 3


def test_entry_that_leads_elsewhere_from_now_on_is_told_what_is_there(database: Database, primary: Postgres):
    with create_database(primary) as elsewhere:
        prepare(elsewhere)
        with connect(primary, elsewhere.name) as owner:
            owner.execute("INSERT INTO items VALUES (1), (2)")
        first = f'[databases.moving]\ndbname = "{database.name}"\n'
        with serving(database, SETTINGS, config=first) as proxy, Kept(proxy) as kept:
            with enter(proxy.dsn("moving")) as client:
                assert kept.wait(client, READ) == [(0,)]
            proxy.config_path.write_text(f'[databases.moving]\ndbname = "{elsewhere.name}"\n')
            kept.console.execute("RELOAD")
            with enter(proxy.dsn("moving")) as client, enter(proxy.dsn("moving")) as writer:
                assert kept.wait(client, READ) == [(2,)]
                writer.execute(INSERT)
                assert count(client) == 3


def test_standby_that_is_asked_like_a_primary_is_not_answered_for(
    primary: Postgres, replicas: list[Postgres]
):
    """Nothing that is written on its primary is told to whoever asks it."""
    with create_database(primary) as database:
        prepare(database)
        wait_for_replay(primary, replicas[0])
        url = replicas[0].dsn(database.name, "app", PASSWORD)
        with (
            serving(database, SETTINGS, url=url) as proxy,
            enter(proxy.dsn()) as reader,
            Kept(proxy) as kept,
            connect(primary, database.name) as writer,
        ):
            kept.until(lambda: "it is a standby" in proxy.log())
            for number in (1, 2):
                assert not kept.is_hit(reader, READ)
                writer.execute(INSERT)
                wait_for_replay(primary, replicas[0])
                assert count(reader) == number


def test_write_behind_a_restart_of_the_database_is_seen(own_primary: Postgres):
    """As in cachalot #269; what is kept over it might be of another life of the database."""
    with create_database(own_primary) as database:
        prepare(database)
        with serving(database, SETTINGS) as proxy, Kept(proxy) as kept, enter(proxy.dsn()) as reader:
            kept.wait(reader, READ)
            own_primary.stop()
            own_primary.start()
            with enter(proxy.dsn()) as writer:
                writer.execute(INSERT)
            assert count(reader) == 1
            assert kept.wait(reader, READ) == [(1,)]
