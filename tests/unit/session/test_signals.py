"""`pg_cancel_backend` and `pg_terminate_backend` with the process id that another client was told."""

import pytest

from dbproxy.pool.request import Refusal
from dbproxy.pool.server import Server
from dbproxy.session.client import Client
from dbproxy.session.signals import Values, read_operand, signal
from dbproxy.sql.calls import Call, Operand
from tests.unit.session.fakes import House, make_client, make_server, sent

CANCEL, TERMINATE = "pg_cancel_backend", "pg_terminate_backend"
DONE = "CASE WHEN true THEN true"


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def client(house: House) -> Client:
    return make_client(house=house)


@pytest.fixture
def other(house: House, client: Client) -> Client:
    """Of the same user."""
    return make_client(client.pool, house=house)


@pytest.fixture
def server(client: Client) -> Server:
    return make_server(client.pool)


def call(client: Client, server: Server, name: str, pid: object, values: Values = ()) -> str | Refusal:
    operand = pid if isinstance(pid, Operand) else Operand(str(pid))
    return signal(client.identity, client.state.house, server, Call(name, 7, 30, b"", (operand,)), values)


def test_client_of_the_same_user_is_canceled(client: Client, other: Client, server: Server, house: House):
    assert call(client, server, CANCEL, other.identity.pid) == DONE
    assert house.cancelled == [other.identity.pid]
    assert not other.closed


def test_client_of_the_same_user_is_terminated(client: Client, other: Client, server: Server):
    assert call(client, server, TERMINATE, other.identity.pid) == DONE
    assert other.closed
    assert b"administrator command" in sent(other)


@pytest.mark.parametrize("pid", ["9" * 5000, " ", "x"])
def test_what_is_no_process_id_is_postgresqls_to_judge(client: Client, server: Server, pid: str):
    assert call(client, server, CANCEL, pid) == ""


@pytest.mark.parametrize(
    ("value", "binary"), [("{}", False), (" {} ", False), (None, True)], ids=["text", "blanks", "binary"]
)
def test_process_id_may_be_a_parameter(
    client: Client, other: Client, server: Server, house: House, value: str | None, binary: bool
):
    pid = other.identity.pid
    data = pid.to_bytes(4, "big") if value is None else value.format(pid).encode()
    assert call(client, server, CANCEL, Operand(parameter=1), [(data, binary)]) == DONE
    assert house.cancelled == [pid]


@pytest.mark.parametrize("pid", ["0", "1", "", "x", "-1"])
def test_what_names_no_client_is_for_the_server(client: Client, server: Server, pid: str):
    assert call(client, server, CANCEL, pid) == ""


@pytest.mark.parametrize("values", [(), [(None, False)]])
def test_value_that_there_is_not_is_for_the_server(client: Client, server: Server, values: Values):
    assert call(client, server, CANCEL, Operand(parameter=1), values) == ""


def test_login_that_is_not_in_yet_is_nobody(client: Client, server: Server, house: House):
    login = house.add_login()
    assert call(client, server, CANCEL, login.identity.pid) == ""


def test_who_names_itself_is_answered_by_its_backend(client: Client, server: Server, house: House):
    found = call(client, server, CANCEL, client.identity.pid)
    assert found == f"CASE WHEN true THEN pg_catalog.{CANCEL}(pg_catalog.pg_backend_pid())"
    assert not house.cancelled


@pytest.mark.parametrize(("name", "words"), [(CANCEL, b"cancel query"), (TERMINATE, b"terminate process")])
def test_client_of_another_user_is_refused(
    client: Client, server: Server, house: House, name: str, words: bytes
):
    other = make_client(client.pool, house=house, user="somebody")
    found = call(client, server, name, other.identity.pid)
    assert isinstance(found, Refusal)
    assert b"42501" in found.error
    assert words in found.error
    assert not house.cancelled
    assert not other.closed


def test_superuser_and_administrator_may_signal_anybody(client: Client, server: Server, house: House):
    other = make_client(client.pool, house=house, user="somebody")
    server.backend.parameters["is_superuser"] = "on"
    assert call(client, server, CANCEL, other.identity.pid) == DONE
    server.backend.parameters["is_superuser"] = "off"
    admin = make_client(client.pool, house=house, user="admin")  # as the house's settings have it
    assert call(admin, server, CANCEL, other.identity.pid) == DONE


def test_operand_is_a_literal_or_one_of_the_values():
    values = [(b"1", False), (b"\2", True)]
    assert read_operand(Operand("x"), values) == (b"x", False)
    assert read_operand(Operand(parameter=2), values) == (b"\2", True)
