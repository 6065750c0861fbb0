"""Who sent a notification: named only if nobody else can have been it."""

import pytest

from dbproxy.pool.server import Server
from dbproxy.session.client import Client
from dbproxy.session.senders import DOUBT, Senders
from tests.unit.pool.fakes import FakeClient
from tests.unit.session.fakes import make_client, make_server

ADDRESS, BACKEND = "primary:5432", 4711
LEFT = 100.0  # when the client before was last answered


@pytest.fixture
def client() -> Client:
    return make_client()


@pytest.fixture
def server(client: Client) -> Server:
    """It was lent to the client, and a while ago to another."""
    server = make_server(client.pool)
    server.backend.address, server.backend.pid = ADDRESS, BACKEND
    server.trail.follow(make_client(client.pool), 0.0)
    server.trail.follow(client, LEFT)
    return server


@pytest.fixture
def senders(server: Server) -> Senders:
    senders = Senders()
    senders.add(server)
    return senders


def test_client_that_has_the_server_for_a_while_is_the_sender(senders: Senders, client: Client):
    assert senders.find(ADDRESS, BACKEND, LEFT + 2 * DOUBT) == client.identity.pid


def test_nobody_is_named_while_the_one_before_may_have_been_it(senders: Senders):
    assert senders.find(ADDRESS, BACKEND, LEFT + DOUBT / 2) == BACKEND


def test_who_has_said_notify_is_the_sender_at_once(senders: Senders, server: Server, client: Client):
    server.trail.notifier = client
    assert senders.find(ADDRESS, BACKEND, LEFT + DOUBT / 2) == client.identity.pid


def test_backend_that_is_none_of_ours_is_named_by_its_own_id(senders: Senders):
    assert senders.find(ADDRESS, BACKEND + 1, LEFT + 2 * DOUBT) == BACKEND + 1
    assert senders.find("other:5432", BACKEND, LEFT + 2 * DOUBT) == BACKEND


def test_errand_of_our_own_is_no_client(senders: Senders, server: Server):
    server.trail.follow(FakeClient(), LEFT)
    assert senders.find(ADDRESS, BACKEND, LEFT + 2 * DOUBT) == BACKEND


def test_closed_servers_are_forgotten_and_others_are_not(senders: Senders, server: Server):
    other = make_server(server.pool)
    other.backend.address, other.backend.pid = ADDRESS, BACKEND + 1
    senders.add(other)
    server.close("gone")
    senders.sweep()
    assert list(senders.servers.values()) == [other]
