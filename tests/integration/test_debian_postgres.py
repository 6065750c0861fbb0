"""An older PostgreSQL, Debian's, where it is installed: what could differ from the embedded one's version."""

from collections.abc import Iterator

import asyncpg
import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.postgres import PASSWORD, USERS, Database, connect, create_database
from tests.support.programs import dump, run
from tests.support.proxy import Proxy
from tests.support.serving import serving, shuffle


@pytest.fixture(scope="module")
def old_database(debian_postgres: Postgres) -> Iterator[Database]:
    with create_database(debian_postgres) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def proxy(old_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    users = tmp_path_factory.mktemp("auth") / "userlist.txt"
    users.write_text("".join(f'"{user}" "{PASSWORD}"\n' for user in USERS))
    with serving(old_database, {"pool.size": 2, "pool.reserve_size": 0, "auth.file": users}) as running:
        yield running


@pytest.mark.parametrize("user", USERS)
def test_each_user_logs_in(proxy: Proxy, user: str):
    with psycopg.connect(proxy.dsn(user=user, password=PASSWORD)) as connection:
        assert connection.execute("SELECT session_user").fetchone() == (user,)
        assert connection.info.server_version < 180000


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench(proxy: Proxy, old_database: Database, mode: str):
    server = old_database.server
    run(server, "pgbench", "-i", "-q", "-s", 1, dsn=proxy.dsn())
    shown = run(server, "pgbench", "-n", "-M", mode, "-c", 20, "-j", 2, "-t", 20, dsn=proxy.dsn())
    assert "actually processed: 400/400" in shown
    assert dump(server, proxy.dsn()) == dump(server, old_database.dsn)


async def test_table_that_changes_is_not_noticed(proxy: Proxy, old_database: Database):
    with connect(old_database.server, old_database.name) as direct:
        direct.execute("SET ROLE app")
        direct.execute("CREATE TABLE changing AS SELECT 1 AS id")
        connection = await asyncpg.connect(proxy.dsn())
        with psycopg.connect(proxy.dsn(), autocommit=True, prepare_threshold=0) as other:
            for number, column in enumerate(("word text", "more int", "last date"), 2):
                for client in (connection.fetchrow, lambda sql: other.execute(sql).fetchone()):
                    row = client("SELECT * FROM changing")
                    assert len(row if isinstance(row, tuple) else await row) == number - 1
                shuffle(proxy, 2)
                direct.execute(f"ALTER TABLE changing ADD COLUMN {column}")
        await connection.close()


async def test_cancel(proxy: Proxy):
    connection = await asyncpg.connect(proxy.dsn())
    with pytest.raises(TimeoutError):
        await connection.execute("SELECT pg_sleep(60)", timeout=0.2)
    assert await connection.fetchval("SELECT 7") == 7
    await connection.close()
