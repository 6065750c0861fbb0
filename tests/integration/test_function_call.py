"""FunctionCall, which libpq's large objects and some old drivers still send."""

import struct
from collections.abc import Iterator

import pytest

from dbproxy.wire import build
from tests.support.blocking_client import BlockingClient, error_of
from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.speech import function_call

INT4PL, INT4DIV = 177, 154  # pg_proc: constant in every version


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    with serving(module_database, {"pool.size": 1, "auth.type": "trust"}) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy, module_database: Database) -> Iterator[BlockingClient]:
    with BlockingClient(proxy.host, proxy.port, user="app", database=module_database.name) as connected:
        yield connected


def numbers(*values: int) -> list[bytes]:
    return [str(value).encode() for value in values]


def test_result_comes_back(client: BlockingClient):
    assert client.ask(function_call(INT4PL, *numbers(3, 4))) == [("V", struct.pack("!ii", 4, 7))]
    assert client.status == "I"


def test_error_leaves_the_connection(client: BlockingClient):
    assert error_of(client.ask(function_call(INT4DIV, *numbers(1, 0))))["C"] == "22012"
    assert client.values("SELECT 1") == ["1"]


def test_many_at_once_beside_queries(client: BlockingClient):
    client.send(
        *(function_call(INT4PL, *numbers(number, 1)) + build.query("SELECT 1") for number in range(50))
    )
    for number in range(50):
        assert client.read_until_ready() == [("V", struct.pack("!ii", 4, number + 1))]
        assert [kind for kind, _ in client.read_until_ready()] == ["T", "D", "C"]


def test_inside_a_transaction(client: BlockingClient):
    client.ask(build.query("BEGIN"))
    client.ask(function_call(INT4DIV, *numbers(1, 0)))
    assert client.status == "E"
    assert error_of(client.ask(function_call(INT4PL, *numbers(1, 1))))["C"] == "25P02"
    client.ask(build.query("ROLLBACK"))
    assert client.status == "I"


def test_clients_take_turns(proxy: Proxy, module_database: Database):
    with (
        BlockingClient(proxy.host, proxy.port, user="app", database=module_database.name) as one,
        BlockingClient(proxy.host, proxy.port, user="app", database=module_database.name) as other,
    ):
        for number in range(20):
            one.send(function_call(INT4PL, *numbers(number, 1)))
            other.send(function_call(INT4PL, *numbers(number, 2)))
            assert one.read_until_ready() == [("V", struct.pack("!ii", 4, number + 1))]
            assert other.read_until_ready() == [("V", struct.pack("!ii", 4, number + 2))]
