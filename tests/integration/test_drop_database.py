"""Idle server connections of ours do not keep a database from being dropped, renamed or copied."""

import psycopg
import pytest

from dbproxy.demo.postgres import Postgres
from tests.support.postgres import connect, create_database
from tests.support.serving import serving


@pytest.mark.parametrize(
    "statement",
    ["DROP DATABASE {0}_x", "ALTER DATABASE {0}_x RENAME TO {0}_y", "CREATE DATABASE {0}_y TEMPLATE {0}_x"],
)
def test_database_that_only_idle_servers_are_connected_to_is_free(primary: Postgres, statement: str) -> None:
    with create_database(primary) as database, connect(primary) as admin:
        name = database.name
        admin.execute("ALTER USER app CREATEDB")
        admin.execute(f'CREATE DATABASE "{name}_x" OWNER app')
        try:
            with serving(database) as proxy:
                with psycopg.connect(proxy.dsn(f"{name}_x"), autocommit=True) as client:
                    assert client.execute("SELECT current_database()").fetchone() == (f"{name}_x",)
                with psycopg.connect(proxy.dsn(), autocommit=True) as client:
                    client.execute(statement.format(name))
        finally:
            for suffix in "xy":
                admin.execute(f'DROP DATABASE IF EXISTS "{name}_{suffix}" WITH (FORCE)')
