"""What counts against a limit before real PostgreSQL, in whatever way it is asked: each once, and nothing that is open.

Each test has limits of its own, by the name of its clients: ten a day, or ten a day and a wait for more.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from dbproxy.wire import build
from tests.integration.test_console import connect as console
from tests.integration.test_console import show, until
from tests.support.blocking_client import BlockingClient, error_of
from tests.support.postgres import Database, connect
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.speech import SYNC, bind, execute, parse

CONFIG = """
[auth]
type = "trust"
admin_users = ["app"]

[limits]
mode = "on"
trust = ["app"]

[limits.tiers.ten]
rate = "10/d"

[limits.tiers.patient]
rate = "10/d"
max_wait = "30d"

[[limits.rules]]
name = "name"
key = "{application_name}"
tier = "ten"
tiers = { canceled = "patient", gone = "patient" }
"""
Client = psycopg.Connection[tuple[Any, ...]]
Limited = psycopg.errors.ConfigurationLimitExceeded
MODES = ["transaction", "session", "statement"]


@pytest.fixture(scope="module", params=MODES)
def proxy(module_database: Database, request: pytest.FixtureRequest) -> Iterator[Proxy]:
    with connect(module_database.server, module_database.name) as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS numbers (n int); GRANT ALL ON numbers TO PUBLIC")
    with serving(module_database, {"pool.mode": request.param}, config=CONFIG) as running:
        yield running


def mode_of(proxy: Proxy) -> str:
    return proxy.environment["DBPROXY_POOL__MODE"]


@contextmanager
def enter(proxy: Proxy, name: str) -> Iterator[Client]:
    with psycopg.connect(
        proxy.dsn(), autocommit=True, application_name=name, prepare_threshold=None
    ) as client:
        yield client


@contextmanager
def enter_raw(proxy: Proxy, name: str, database: Database) -> Iterator[BlockingClient]:
    who = {"user": "app", "database": database.name, "application_name": name}
    with BlockingClient(proxy.host, proxy.port, **who) as client:
        yield client


def standing(proxy: Proxy, name: str) -> tuple[int, int, int]:
    """Transactions that were let through, those that are paid for, those that run."""
    with console(proxy) as admin:
        row = next(row for row in show(admin, "LIMITS") if row["key"] == name)
    return row["transactions"], row["used"], row["running"]


def comes_to(proxy: Proxy, name: str, number: int) -> None:
    """So many are let through and paid for, and none runs, once what was left behind is asked for, too."""
    until(lambda: standing(proxy, name) == (number, number, 0))


def ask_until_refused(client: Client) -> int:
    """How many more go through."""
    for number in range(1000):
        try:
            client.execute("SELECT 1")
        except Limited:
            return number
    raise AssertionError("nothing was refused")


def batch(sql: str) -> bytes:
    return parse("", sql) + bind() + execute() + SYNC


def outcomes(client: BlockingClient, number: int) -> list[str]:
    """Of so many requests: what each has answered, or its SQLSTATE."""
    found = []
    for _ in range(number):
        answer = client.read_until_ready()
        errors = [payload for kind, payload in answer if kind == "E"]
        found.append(error_of(answer)["C"] if errors else "".join(kind for kind, _ in answer))
    return found


def test_each_statement_is_one_and_the_eleventh_is_refused(proxy: Proxy):
    with enter(proxy, "plain") as client:
        assert ask_until_refused(client) == 10
        comes_to(proxy, "plain", 10)


def test_copy_in_and_out_are_one_each(proxy: Proxy):
    with enter(proxy, "copy") as client:
        for number in range(5):
            with client.cursor().copy("COPY numbers FROM STDIN") as copy:
                for row in range(5000):
                    copy.write_row((row,))
            with client.cursor().copy(
                f"COPY (SELECT generate_series(1, 20000 + {number})) TO STDOUT"
            ) as copy:
                assert sum(1 for _ in copy.rows()) == 20000 + number
        comes_to(proxy, "copy", 10)
        for text in ("COPY numbers FROM STDIN", "COPY numbers TO STDOUT"):
            with pytest.raises(Limited), client.cursor().copy(text):
                pass
        assert client.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_copy_that_fails_is_one(proxy: Proxy):
    with enter(proxy, "failed copy") as client:
        for rows in ("no number\n", "1\n" * 5000 + "2 3\n"):
            with (
                pytest.raises(psycopg.errors.DataError),
                client.cursor().copy("COPY numbers FROM STDIN") as copy,
            ):
                copy.write(rows)
        comes_to(proxy, "failed copy", 2)


def test_notifications_come_to_who_is_at_its_limit(proxy: Proxy):
    if mode_of(proxy) == "statement":
        pytest.skip("LISTEN is not offered there")
    with enter(proxy, "listener") as listener, enter(proxy, "notifier") as notifier:
        listener.execute("LISTEN corner")
        assert ask_until_refused(listener) == 9
        for number in range(3):
            notifier.execute("SELECT pg_notify('corner', %s)", [str(number)])
        heard = [found.payload for found in listener.notifies(timeout=20, stop_after=3)]
        assert heard == ["0", "1", "2"]
        assert listener.execute("UNLISTEN corner").statusmessage == "UNLISTEN", "which is free"
        comes_to(proxy, "listener", 10)
        comes_to(proxy, "notifier", 3)


def test_pipeline_with_errors_is_as_many_as_it_has_syncs(proxy: Proxy, module_database: Database):
    with enter_raw(proxy, "pipeline", module_database) as client:
        failing = {2, 5, 11}
        client.send(*(batch("SELECT 1/0" if number in failing else "SELECT 1") for number in range(13)))
        found = outcomes(client, 13)
        assert found[:10] == ["22012" if number in failing else "12DC" for number in range(10)]
        assert found[10:] == ["53400"] * 3
        comes_to(proxy, "pipeline", 10)


def test_queries_in_a_pipeline_are_one_each(proxy: Proxy, module_database: Database):
    with enter_raw(proxy, "queries", module_database) as client:
        client.send(*(build.query("SELECT 1/0" if number == 3 else "SELECT 1") for number in range(12)))
        assert outcomes(client, 12) == ["TDC"] * 3 + ["22012"] + ["TDC"] * 6 + ["53400"] * 2
        comes_to(proxy, "queries", 10)


@pytest.mark.parametrize(
    "text", ["COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "ROLLBACK; BEGIN", "ROLLBACK; BEGIN; SELECT 1/0"]
)
def test_transactions_are_counted_as_they_begin_and_none_is_refused_in_the_middle(
    proxy: Proxy, module_database: Database, text: str
):
    if mode_of(proxy) == "statement":
        pytest.skip("there are no transactions of more than one statement")
    known = mode_of(proxy) == "transaction" or text != "ROLLBACK AND CHAIN"  # docs/limits.md
    with enter_raw(proxy, text, module_database) as client:
        client.ask(build.query("BEGIN"))
        for _ in range(15):
            answer = client.ask(build.query(text))
            assert error_of(answer).get("C") == ("22012" if "/" in text else None)
        client.ask(build.query("ROLLBACK"))
        comes_to(proxy, text, 16 if known else 1)
        client.send(build.query("SELECT 1"))
        assert outcomes(client, 1) == (["53400"] if known else ["TDC"])


def test_savepoints_are_no_transactions(proxy: Proxy, module_database: Database):
    if mode_of(proxy) == "statement":
        pytest.skip("there are no transactions of more than one statement")
    with enter_raw(proxy, "savepoints", module_database) as client:
        for text in (
            "BEGIN",
            "SAVEPOINT a",
            "ROLLBACK TO a",
            "SELECT 1/0",
            "ROLLBACK TO a",
            "RELEASE a",
            "COMMIT",
        ):
            client.ask(build.query(text))
        comes_to(proxy, "savepoints", 1)


def test_request_that_waits_for_its_limit_is_canceled(proxy: Proxy, module_database: Database):
    with enter_raw(proxy, "canceled", module_database) as client:
        for _ in range(10):
            client.ask(build.query("SELECT 1"))
        for request in (build.query("SELECT 11"), batch("SELECT 12")):
            client.send(request)
            until(lambda: standing(proxy, "canceled")[0] == 11)
            client.cancel()
            assert outcomes(client, 1) == ["57014"]
            comes_to(proxy, "canceled", 10)


def test_client_that_goes_while_it_waits_has_used_nothing(proxy: Proxy, module_database: Database):
    with enter_raw(proxy, "gone", module_database) as other:
        for _ in range(10):
            other.ask(build.query("SELECT 1"))
        with enter_raw(proxy, "gone", module_database) as client:
            client.send(build.query("SELECT 11"), batch("SELECT 12"))
            until(lambda: standing(proxy, "gone") == (11, 11, 1))
        comes_to(proxy, "gone", 10)
