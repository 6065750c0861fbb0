"""Requests that each tell who asks: one prepared statement for all of them, and one row of SHOW SHAPES."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving

REQUESTS = 300


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    settings = {"pool.size": 2, "pool.reserve_size": 0, "auth.type": "trust", "auth.admin_users": "app"}
    with serving(module_database, settings) as running:
        yield running


def show(proxy: Proxy, what: str) -> list[dict[str, object]]:
    with psycopg.connect(proxy.dsn("pgbouncer"), autocommit=True, prepare_threshold=None) as console:
        return console.cursor(row_factory=dict_row).execute(f"SHOW {what}").fetchall()  # type: ignore[arg-type]


def parses(proxy: Proxy) -> int:
    return sum(int(str(row["total_server_parse_count"])) for row in show(proxy, "STATS"))


def tagged(text: str, number: int, *, ahead: bool) -> str:
    comment = f"/*route='%%2Fitems',traceparent='00-{number:032x}-{number:016x}-01'*/"
    return f"{comment} {text}" if ahead else f"{text} {comment}"


@pytest.mark.parametrize("ahead", [False, True], ids=["behind", "ahead"])
def test_requests_that_tell_who_asks_cost_one_parse_for_each_server(proxy: Proxy, ahead: bool):
    before = parses(proxy)
    text = f"SELECT %s::int + 1 AS {'ahead' if ahead else 'behind'}"
    with psycopg.connect(proxy.dsn(), autocommit=True, prepare_threshold=0) as client:
        for number in range(REQUESTS):
            found = client.execute(tagged(text, number, ahead=ahead), (number,)).fetchone()  # type: ignore[arg-type]
            assert found == (number + 1,)
    assert parses(proxy) - before <= 2
    (row,) = [row for row in show(proxy, "SHAPES") if str(row["text"]).endswith(text.split()[-1])]
    assert (row["calls"], row["kind"], row["reads"]) == (REQUESTS, "read", "")


def test_queries_that_tell_who_asks_are_one_row(proxy: Proxy):
    with psycopg.connect(proxy.dsn(), autocommit=True) as client:
        client.execute("CREATE TABLE IF NOT EXISTS counted (id int)")
        for number in range(REQUESTS):
            client.execute(tagged(f"INSERT INTO counted VALUES ({number})", number, ahead=False), None)  # type: ignore[arg-type]
    (row,) = [row for row in show(proxy, "SHAPES") if row["writes"] == "counted"]
    assert (row["calls"], row["kind"], row["reads"]) == (REQUESTS, "write", "")
    assert row["text"] == "INSERT INTO counted VALUES ($?, ...)"


def test_the_position_of_an_error_is_that_of_the_text_as_it_was_sent(proxy: Proxy, module_database: Database):
    text = tagged("SELECT 'é', nothing_here", 7, ahead=True)
    found = []
    for dsn in (module_database.dsn, proxy.dsn()):
        with psycopg.connect(dsn, autocommit=True, prepare_threshold=0) as client:
            with pytest.raises(psycopg.errors.UndefinedColumn) as caught:
                client.execute(text)  # type: ignore[arg-type]
            found.append(caught.value.diag.statement_position)
    assert found[0] == found[1] is not None
