"""pg_dump and pg_restore through the proxy: what they read and write is what they do directly.

They SET and PREPARE for a whole session, which is what `pool.mode = session` is for; a dump in transaction mode is
right as well, since it is one transaction.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import Database, connect, create_database
from tests.support.programs import dump, run
from tests.support.proxy import Proxy
from tests.support.serving import serving

SCHEMA = """
    CREATE SCHEMA shop;
    CREATE TYPE shop.state AS ENUM ('new', 'paid', 'sent');
    CREATE DOMAIN shop.price AS numeric(10, 2) CHECK (VALUE >= 0);
    CREATE SEQUENCE shop.numbers START 1000;
    CREATE TABLE shop.customer (
        id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL COLLATE "C", tags text[] DEFAULT '{}', extra jsonb, picture bytea);
    CREATE TABLE shop.orders (
        id bigint DEFAULT nextval('shop.numbers'), customer int REFERENCES shop.customer ON DELETE CASCADE,
        state shop.state DEFAULT 'new', total shop.price, placed date NOT NULL, PRIMARY KEY (id, placed)
    ) PARTITION BY RANGE (placed);
    CREATE TABLE shop.orders_old PARTITION OF shop.orders FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
    CREATE TABLE shop.orders_new PARTITION OF shop.orders FOR VALUES FROM ('2020-01-01') TO (MAXVALUE);
    CREATE INDEX ON shop.orders (customer) WHERE state <> 'sent';
    CREATE VIEW shop.open_orders AS SELECT * FROM shop.orders WHERE state = 'new';
    CREATE MATERIALIZED VIEW shop.totals AS SELECT customer, sum(total) FROM shop.orders GROUP BY 1;
    CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.name := trim(NEW.name); RETURN NEW; END $$;
    CREATE TRIGGER touch BEFORE INSERT ON shop.customer FOR EACH ROW EXECUTE FUNCTION shop.touch();
    ALTER TABLE shop.customer ENABLE ROW LEVEL SECURITY;
    CREATE POLICY everybody ON shop.customer USING (true);
    COMMENT ON TABLE shop.customer IS 'Who buys; "quoted", tab\tand ü';
    INSERT INTO shop.customer (name, tags, extra, picture)
        SELECT '  name ' || n, ARRAY['a', NULL, n::text], jsonb_build_object('n', n, 'text', E'\\t"\\n'),
               decode(md5(n::text), 'hex') FROM generate_series(1, 3000) n;
    INSERT INTO shop.orders (customer, total, placed)
        SELECT n, n * 1.01, date '2019-01-01' + n FROM generate_series(1, 3000) n;
    REFRESH MATERIALIZED VIEW shop.totals;
    SELECT lo_from_bytea(4711, decode(repeat('00ff', 100000), 'hex'));
"""


@pytest.fixture(scope="module", params=["session", "transaction"])
def proxy(module_database: Database, request: pytest.FixtureRequest) -> Iterator[Proxy]:
    with serving(module_database, {"pool.mode": request.param, "pool.size": 5}) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def schema(module_database: Database) -> None:
    with connect(module_database.server, module_database.name) as connection:
        connection.execute("SET ROLE app")
        connection.execute(SCHEMA)


@pytest.mark.parametrize("flags", [(), ("--inserts", "--rows-per-insert=100"), ("--schema-only",)])
def test_dump_through_the_proxy_is_the_direct_one(
    proxy: Proxy, module_database: Database, flags: tuple[str, ...]
):
    direct = dump(module_database.server, module_database.dsn, *flags)
    assert len(direct) > 5000
    assert dump(module_database.server, proxy.dsn(), *flags) == direct


@pytest.mark.parametrize("form", ["custom", "directory"])
def test_restore_through_the_proxy(proxy: Proxy, module_database: Database, tmp_path: Path, form: str):
    """With the directory format pg_dump and pg_restore work in two connections at once, on one snapshot."""
    server, archive = module_database.server, tmp_path / "archive"
    jobs = ("-j", 2) if form == "directory" else ()
    run(server, "pg_dump", "-F", form, "-f", archive, *jobs, dsn=proxy.dsn())
    with create_database(server) as restored:
        run(
            server,
            "pg_restore",
            "-d",
            restored.name,
            "--exit-on-error",
            *jobs,
            archive,
            dsn=proxy.dsn(restored.name),
        )
        assert dump(server, restored.dsn) == dump(server, module_database.dsn)


def test_script_through_the_proxy(proxy: Proxy, module_database: Database):
    server = module_database.server
    script = dump(server, module_database.dsn)
    with create_database(server) as restored:
        run(server, "psql", "-Xq", "-v", "ON_ERROR_STOP=1", dsn=proxy.dsn(restored.name), given=script)
        assert dump(server, restored.dsn) == script
