"""postgres.js through the proxy, where Node.js and its package can be had."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import install, run_async
from tests.support.proxy import Proxy

IMPORTS = """
const postgres = require("postgres");
const open = (more = {}) => postgres(dsn, { max: 6, onnotice: () => {}, ...more });
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("postgres_js"), "postgres@3")


@pytest.fixture
def node(folder: Path, proxy: Proxy) -> Callable[[str], Any]:
    """Run the body of an async function; what it returned."""
    return lambda body: run_async(folder, IMPORTS, body, proxy.dsn())


def test_a_table_changes_amid_its_queries(node: Callable[[str], Any]):
    rows = node("""
        const clients = [...Array(6).keys()].map(() => open({ max: 1 }));
        const [sql] = clients;
        await sql`DROP TABLE IF EXISTS goods`;
        await sql`CREATE TABLE goods (id int, name text)`;
        await sql`INSERT INTO goods VALUES (1, 'a'), (2, 'b')`;
        const look = async () => {
            const seen = new Set();
            for (const id of [1, 2, 1, 2])
                for (const [row] of await Promise.all(clients.map(sql => sql`SELECT * FROM goods WHERE id = ${id}`)))
                    seen.add(JSON.stringify(row));
            return [...seen];
        };
        const rows = [await look()];
        await sql`ALTER TABLE goods ADD COLUMN price int DEFAULT 3`;
        rows.push(await look());
        await sql`ALTER TABLE goods DROP COLUMN name`;
        rows.push(await look());
        await Promise.all(clients.map(sql => sql.end()));
        return rows;
        """)
    assert rows == [
        ['{"id":1,"name":"a"}', '{"id":2,"name":"b"}'],
        ['{"id":1,"name":"a","price":3}', '{"id":2,"name":"b","price":3}'],
        ['{"id":1,"price":3}', '{"id":2,"price":3}'],
    ]


def test_transactions_and_errors(node: Callable[[str], Any]):
    found = node("""
        const sql = open();
        await sql`DROP TABLE IF EXISTS orders`;
        await sql`CREATE TABLE orders (n int UNIQUE)`;
        const buy = number => sql.begin(async sql => {
            await sql`INSERT INTO orders VALUES (${number})`;
            await sql.savepoint(sql => sql`INSERT INTO orders VALUES (${number})`).catch(() => null);
            const [{ n }] = await sql`SELECT n FROM orders WHERE n = ${number}`;
            return n;
        });
        const bought = await Promise.all([...Array(30).keys()].map(buy));
        const code = await sql`INSERT INTO orders VALUES (1)`.then(() => "", error => error.code);
        const rolled_back = await sql.begin(async sql => {
            await sql`DELETE FROM orders`;
            throw new Error("no");
        }).catch(error => error.message);
        const [{ count }] = await sql`SELECT count(*)::int FROM orders`;
        await sql.end();
        return [bought, code, rolled_back, count];
        """)
    assert found == [list(range(30)), "23505", "no", 30]


def test_cursors_and_cancel(node: Callable[[str], Any]):
    found = node("""
        const sql = open();
        const sizes = [];
        await sql`SELECT generate_series(1, 25) AS n`.cursor(10, rows => { sizes.push(rows.length); });
        const slow = sql`SELECT pg_sleep(20)`;
        slow.execute();
        const [{ ran }] = await sql`SELECT 1 AS ran`;
        slow.cancel();
        const code = await slow.then(() => "", error => error.code);
        await sql.end();
        return [sizes, ran, code];
        """)
    assert found == [[10, 10, 5], 1, "57014"]


def test_notifications_are_heard(node: Callable[[str], Any]):
    heard = node("""
        const sql = open();
        const heard = new Promise(resolve => sql.listen("news", resolve, () => sql.notify("news", "hello")));
        const payload = await heard;
        await sql.end();
        return payload;
        """)
    assert heard == "hello"
