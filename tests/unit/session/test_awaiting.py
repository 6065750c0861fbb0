"""What a parked client's statement is, by the message that waits."""

import pytest

from dbproxy.session.awaiting import awaited_text
from dbproxy.session.client import Client
from dbproxy.wire import build
from tests.support.speech import bind, execute, function_call
from tests.unit.admin.house import FakeHouse


@pytest.fixture
def client() -> Client:
    """Of a pool that has no server."""
    house = FakeHouse()
    return house.add_client(house.add_pool())


def test_who_waits_for_nothing_has_no_statement(client: Client):
    assert awaited_text(client) == b""


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (build.query("SELECT 1"), b"SELECT 1"),
        (build.parse("", "SELECT $1"), b"SELECT $1"),
        (function_call(1, b""), b""),
        (bind("nowhere"), b""),
        (build.describe_statement("nowhere"), b""),
    ],
)
def test_text_is_that_of_the_message(client: Client, message: bytes, text: bytes):
    client.data_received(message + build.sync())
    assert client.is_parked()
    assert awaited_text(client) == text


def test_text_of_a_bind_is_that_of_its_statement(client: Client):
    client.prepared.define(b"s", b"SELECT 7\0\0\0")
    client.data_received(bind("s") + execute() + build.sync())
    assert awaited_text(client) == b"SELECT 7"
