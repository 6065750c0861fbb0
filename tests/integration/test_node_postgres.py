"""node-postgres through the proxy, where Node.js and its package can be had."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import install, run_async
from tests.support.proxy import Proxy

IMPORTS = 'const { Client, Pool } = require("pg");'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("node"), "pg@8")


@pytest.fixture
def node(folder: Path, proxy: Proxy) -> Callable[[str], Any]:
    """Run the body of an async function; what it returned."""
    return lambda body: run_async(folder, IMPORTS, body, proxy.dsn())


def test_named_statements_over_a_pool(node: Callable[[str], Any]):
    totals = node("""
        const pool = new Pool({ connectionString: dsn, max: 8 });
        const query = number => pool.query({ name: "add", text: "SELECT $1::int + 1 AS next", values: [number] });
        const results = await Promise.all([...Array(200).keys()].map(query));
        await pool.end();
        return results.map(result => result.rows[0].next);
        """)
    assert totals == list(range(1, 201))


def test_transactions_and_errors(node: Callable[[str], Any]):
    codes = node("""
        const client = new Client({ connectionString: dsn });
        await client.connect();
        const codes = [];
        for (const text of ["SELECT missing", "SELECT 1 / $1::int", "BEGIN", "SELECT broken", "SELECT 1", "ROLLBACK"]) {
            const values = text.includes("$1") ? [0] : undefined;
            codes.push(await client.query({ text, values }).then(result => result.command, error => error.code));
        }
        await client.end();
        return codes;
        """)
    assert codes == ["42703", "22012", "BEGIN", "42703", "25P02", "ROLLBACK"]


def test_queries_queued_at_once(node: Callable[[str], Any]):
    rows = node("""
        const client = new Client({ connectionString: dsn });
        await client.connect();
        const texts = [...Array(50).keys()].map(number => client.query("SELECT $1::int AS n", [number]));
        const results = await Promise.all(texts);
        const several = await client.query("SELECT 1 AS n; SELECT 2 AS n");
        await client.end();
        return [...results, ...several].map(result => result.rows[0].n);
        """)
    assert rows == [*range(50), 1, 2]


def test_notices_and_parameters(node: Callable[[str], Any]):
    heard = node("""
        const settings = { application_name: "shop", options: "-c TimeZone=Asia/Tokyo" };
        const client = new Client({ connectionString: dsn, ...settings });
        const heard = [];
        client.on("notice", notice => heard.push(notice.message));
        await client.connect();
        await client.query("DO $$ BEGIN RAISE NOTICE 'hear'; END $$");
        for (const name of ["application_name", "TimeZone"])
            heard.push((await client.query("SELECT current_setting($1) AS value", [name])).rows[0].value);
        await client.end();
        return heard;
        """)
    assert heard == ["hear", "shop", "Asia/Tokyo"]
