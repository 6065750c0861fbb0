"""knex through the proxy, where Node.js and its packages can be had."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import install, run_async
from tests.support.proxy import Proxy

IMPORTS = """
const Knex = require("knex");
const open = (more = {}) => Knex({ client: "pg", connection: dsn, pool: { min: 6, max: 6 }, ...more });
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("knex"), "knex@3", "pg@8")


@pytest.fixture
def node(folder: Path, proxy: Proxy) -> Callable[[str], Any]:
    """Run the body of an async function; what it returned."""
    return lambda body: run_async(folder, IMPORTS, body, proxy.dsn())


def test_a_table_changes_amid_its_queries(node: Callable[[str], Any]):
    keys = node("""
        const knex = open();
        await knex.schema.dropTableIfExists("goods");
        await knex.schema.createTable("goods", table => { table.increments("id"); table.text("name"); });
        await knex("goods").insert([{ name: "a" }, { name: "b" }]);
        const look = async () => {
            const rows = await Promise.all([...Array(24).keys()].map(n => knex("goods").where({ id: n % 2 + 1 })));
            return [...new Set(rows.map(([row]) => Object.keys(row).join()))];
        };
        const keys = [await look()];
        await knex.schema.alterTable("goods", table => { table.integer("price").defaultTo(3); });
        keys.push(await look());
        await knex.schema.alterTable("goods", table => { table.dropColumn("name"); });
        keys.push(await look());
        await knex.destroy();
        return keys;
        """)
    assert keys == [["id,name"], ["id,name,price"], ["id,price"]]


def test_transactions_and_returned_rows(node: Callable[[str], Any]):
    found = node("""
        const knex = open();
        await knex.schema.dropTableIfExists("orders");
        await knex.schema.createTable("orders", table => { table.increments("id"); table.integer("n").unique(); });
        const buy = number => knex.transaction(async trx => {
            const [{ id }] = await trx("orders").insert({ n: number }).returning("id");
            await trx.transaction(inner => inner("orders").insert({ n: number })).catch(() => null);
            return trx("orders").where({ id }).first("n");
        });
        const bought = await Promise.all([...Array(30).keys()].map(buy));
        const code = await knex("orders").insert({ n: 1 }).then(() => "", error => error.code);
        const [{ count }] = await knex("orders").count();
        await knex.destroy();
        return [bought.map(row => row.n), code, count];
        """)
    assert found == [list(range(30)), "23505", "30"]


def test_a_query_that_takes_too_long_is_given_up(node: Callable[[str], Any]):
    found = node("""
        const knex = open();
        const error = await knex.raw("SELECT pg_sleep(0.5)").timeout(100).then(() => null, error => error.name);
        const { rows } = await knex.raw("SELECT 1 AS one");
        await knex.destroy();
        return [error, rows];
        """)
    assert found == ["KnexTimeoutError", [{"one": 1}]]


def test_a_query_that_takes_too_long_is_cancelled(node: Callable[[str], Any]):
    """By pg_cancel_backend from another connection, with the process id of the first."""
    found = node("""
        const knex = open();
        const slow = knex.raw("SELECT pg_sleep(600)").timeout(300, { cancel: true });
        const error = await slow.then(() => null, error => error.name);
        const ran = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%' "
            + "AND state = 'active'";
        while ((await knex.raw(ran)).rows[0].n);
        await knex.destroy();
        return error;
        """)
    assert found == "KnexTimeoutError"
