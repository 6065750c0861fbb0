"""pgbench through the proxy: many clients over few servers, each kind of query, no error, and sums that agree."""

import re

import pytest

from tests.support.postgres import Database, connect
from tests.support.programs import run
from tests.support.proxy import Proxy
from tests.support.serving import serving

MODES = pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
CLIENTS, SIZE = 100, 10


@pytest.fixture(scope="module")
def proxy(module_database: Database):
    with serving(module_database, {"pool.size": SIZE, "pool.reserve_size": 0}) as running:
        run(module_database.server, "pgbench", "-i", "-q", "-s", 2, dsn=running.dsn())
        yield running


def bench(proxy: Proxy, database: Database, *flags: object) -> int:
    """How many transactions went through; fails if one did not."""
    shown = run(database.server, "pgbench", "-n", *flags, dsn=proxy.dsn())
    assert re.search(r"number of failed transactions: 0 ", shown), shown
    done = re.search(r"actually processed: (\d+)", shown)
    assert done, shown
    return int(done[1])


def servers(database: Database) -> int:
    with connect(database.server, database.name) as connection:
        sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND usename = 'app'"
        row = connection.execute(sql, [database.name]).fetchone()
    assert row is not None
    return int(row[0])


@MODES
def test_reads(proxy: Proxy, module_database: Database, mode: str):
    flags = ("-S", "-M", mode, "-c", CLIENTS, "-j", 2, "-t", 50)
    assert bench(proxy, module_database, *flags) == CLIENTS * 50
    assert servers(module_database) <= SIZE


@MODES
def test_tpcb_sums_agree(proxy: Proxy, module_database: Database, mode: str):
    flags = ("-M", mode, "-c", CLIENTS, "-j", 2, "-t", 20)
    assert bench(proxy, module_database, *flags) == CLIENTS * 20
    assert_sums_agree(module_database)


def assert_sums_agree(database: Database) -> None:
    with connect(database.server, database.name) as connection:
        sums = connection.execute("""
            SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),
                   (SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(delta) FROM pgbench_history)
            """).fetchone()
    assert sums is not None
    assert len(set(sums)) == 1, sums


@MODES
def test_a_connection_for_each_transaction(proxy: Proxy, module_database: Database, mode: str):
    flags = ("-C", "-M", mode, "-c", CLIENTS, "-j", 2, "-t", 2)
    assert bench(proxy, module_database, "-S", *flags) == CLIENTS * 2
    assert bench(proxy, module_database, *flags) == CLIENTS * 2
    assert_sums_agree(module_database)
    assert servers(module_database) <= SIZE


def test_pipelines(proxy: Proxy, module_database: Database, tmp_path):
    script = tmp_path / "pipeline.sql"
    select = "SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"
    script.write_text(
        "\\set aid random(1, 100000)\n\\startpipeline\n"
        + select * 10
        + "\\syncpipeline\n"
        + select
        + "\\endpipeline\n"
    )
    for mode in ("extended", "prepared"):
        flags = ("-M", mode, "-f", script, "-c", 20, "-j", 2, "-t", 20)
        assert bench(proxy, module_database, *flags) == 400


def test_serializable_transactions_are_retried_by_their_client(proxy: Proxy, module_database: Database):
    options = {"PGOPTIONS": "-c default_transaction_isolation=repeatable\\ read"}
    shown = run(
        module_database.server, "pgbench", "-n", "-M", "prepared", "-c", 8, "-j", 2, "-t", 20, "--max-tries=1000",
        dsn=proxy.dsn(), environment=options,
    )  # fmt: skip
    assert "number of failed transactions: 0 " in shown
