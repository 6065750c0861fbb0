"""A Query among messages of the extended protocol that lack their Sync: odd, but the client's own business."""

from collections.abc import Iterator

import pytest

from dbproxy.wire import build
from tests.support.blocking_client import BlockingClient, error_of
from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.speech import FLUSH, SYNC, bind, execute, parse, query


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    with serving(module_database, {"pool.size": 1, "pool.reserve_size": 0, "auth.type": "trust"}) as running:
        yield running


def enter(proxy: Proxy, database: Database) -> BlockingClient:
    return BlockingClient(proxy.host, proxy.port, user=database.user, database=database.name)


def begin(client: BlockingClient) -> None:
    """An Execute that is answered, but not over."""
    client.send(parse("", "SELECT generate_series(1, 5)"), bind(portal="p"), execute("p", 2), FLUSH)
    while client.read()[0] != "s":
        pass


@pytest.mark.parametrize("sql", ["SELECT 1", "EXECUTE one"], ids=["plain", "by a name that goes with it"])
def test_the_next_client_does_not_pay_for_it(proxy: Proxy, module_database: Database, sql: str):
    """PostgreSQL 14 to 18 fail the next command on such a connection with XX000."""
    with enter(proxy, module_database) as odd, enter(proxy, module_database) as other:
        odd.ask(build.parse("one", "SELECT 1"), SYNC)
        begin(odd)
        assert not error_of(odd.ask(query(sql)))
        assert not error_of(odd.ask(SYNC))
        assert odd.status == "I"
        assert other.values("SELECT 2") == ["2"]
        assert odd.values("SELECT 3") == ["3"]


@pytest.mark.parametrize("spoil", ["SELECT 1", "SELECT 1/0"], ids=["running", "failed"])
def test_names_are_known_behind_a_discard_that_cannot_be(proxy: Proxy, module_database: Database, spoil: str):
    with enter(proxy, module_database) as client:
        client.ask(build.parse("plans", "DISCARD PLANS"), bind("plans"), execute(), SYNC)
        client.ask(query("BEGIN"))
        client.ask(query(spoil))
        assert error_of(client.ask(query("DISCARD ALL")))
        answer = client.ask(build.describe_statement("plans"), SYNC)
        assert [kind for kind, _ in answer] == ["t", "n"]


def test_names_can_be_used_again_once_a_failed_transaction_was_rolled_back_without_a_sync(
    proxy: Proxy, module_database: Database
):
    with enter(proxy, module_database) as client:
        client.ask(build.parse("one", "SELECT 1"), SYNC)
        client.ask(query("BEGIN"))
        assert error_of(client.ask(query("SELECT 1/0")))
        client.send(parse("", "ROLLBACK"), bind(), execute(), FLUSH)
        while client.read()[0] != "C":
            pass
        assert not error_of(client.ask(query("DEALLOCATE one")))
        assert client.status == "I"


def test_what_is_prepared_ahead_of_a_discard_that_fails_is_its_clients_own(
    proxy: Proxy, module_database: Database
):
    with enter(proxy, module_database) as client, enter(proxy, module_database) as other:
        client.ask(query("BEGIN"))
        assert error_of(client.ask(query("PREPARE own AS SELECT 1; DISCARD ALL")))
        client.ask(query("ROLLBACK"))
        assert error_of(other.ask(query("EXECUTE own")))
        assert client.values("EXECUTE own") == ["1"]


@pytest.mark.parametrize(
    "next_ask", [SYNC, query("EXECUTE one"), query("BEGIN")], ids=["sync", "by a name", "begin"]
)
@pytest.mark.parametrize(
    ("set_it", "undone"),
    [("SET LOCAL TimeZone = 'Asia/Tokyo'", "COMMIT"), ("SET TimeZone = 'Asia/Tokyo'", "ROLLBACK")],
)
def test_a_setting_taken_back_without_a_sync_is_reported_with_the_next(
    proxy: Proxy, module_database: Database, set_it: str, undone: str, next_ask: bytes
):
    """PostgreSQL reports it ahead of ReadyForQuery, and here ours came first."""
    with enter(proxy, module_database) as client:
        client.ask(build.parse("one", "SELECT 1"), SYNC)
        before = client.parameters["TimeZone"]
        client.ask(query("BEGIN"))
        assert ("S", b"TimeZone\0Asia/Tokyo\0") in client.ask(query(set_it))
        client.send(parse("", undone), bind(), execute(), FLUSH)
        while client.read()[0] != "C":
            pass
        assert ("S", f"TimeZone\0{before}\0".encode()) in client.ask(next_ask)


def test_a_setting_discarded_without_a_sync_is_reported_though_another_server_answers_next(
    proxy: Proxy, module_database: Database
):
    with enter(proxy, module_database) as client, enter(proxy, module_database) as other:
        before = client.parameters["DateStyle"]
        client.ask(query("SET DateStyle = German"))
        client.send(parse("", "DISCARD ALL"), bind(), execute(), FLUSH)
        while client.read()[0] != "C":
            pass
        assert other.ask(query("SET DateStyle = SQL"))[0] == ("C", b"SET\0")
        assert ("S", f"DateStyle\0{before}\0".encode()) in client.ask(query("SELECT 1"))
        assert all(kind != "S" for kind, _ in client.ask(query("SELECT 1")))
