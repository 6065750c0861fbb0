"""Who waits too long for a replica, and what is done about it."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from dbproxy.app.hedger import Hedger
from dbproxy.app.hosts import Hosts
from dbproxy.net.direct import monotonic
from dbproxy.pool.server import Server
from dbproxy.routing.hedging import LEAST
from dbproxy.session.client import Client
from dbproxy.wire import build
from tests.unit.session.fakes import ask, make_client, routed, sent

READ = build.query("SELECT 1")


@pytest.fixture
def scene() -> tuple[Hedger, Client, Server, Server]:
    """A client has asked a replica; hedges are saved up."""
    client, primary, replica = routed()
    router: Any = client.route.judge.router
    hosts = SimpleNamespace(routers={("shop", "app"): router}, cluster=router.cluster)
    hedger = Hedger(cast("Hosts", hosts))
    ask(client, READ)
    hedger.budget.left = 10
    return hedger, client, primary, replica


def test_read_is_given_the_time_that_its_host_takes(scene: tuple):
    hedger, client, primary, replica = scene
    replica.pool.host.load.p99 = 1.0
    hedger.sweep(monotonic() + 2.0)
    assert client.server is replica
    hedger.sweep(monotonic() + 3.1)
    assert client.server is primary


def test_nobody_is_hedged_without_a_budget(scene: tuple):
    hedger, client, _, replica = scene
    hedger.budget.left = 0
    hedger.sweep(monotonic() + LEAST)
    assert client.server is replica


def test_those_of_a_host_that_does_not_answer_need_no_budget(scene: tuple):
    hedger, client, primary, replica = scene
    hedger.budget.left = 0
    replica.pool.host.health.suspect = True
    hedger.sweep(monotonic() + LEAST)
    assert client.server is primary


def test_who_waits_in_line_goes_ahead_of_who_holds_the_server(scene: tuple):
    hedger, client, primary, replica = scene
    other = make_client(client.pool, router=client.route.judge.router)
    ask(other, READ)
    assert list(replica.pool.waiting) == [other]
    opening = replica.pool.opening
    hedger.sweep(monotonic() + 1)
    assert not replica.pool.waiting
    assert replica.pool.opening == opening, "none is opened for who has left"
    assert other.server is primary
    assert list(client.pool.waiting) == [client]


def test_who_waits_for_others_and_not_for_the_host_goes_on_waiting(scene: tuple):
    hedger, client, _, replica = scene
    other = make_client(client.pool, router=client.route.judge.router)
    replica.pool.opening = 0
    ask(other, READ)
    replica.pool.opening = 0
    replica.loan.answered_at = monotonic() + 1  # it answers one after the other
    hedger.sweep(monotonic() + 1)
    assert list(replica.pool.waiting) == [other]


def test_hedge_that_is_answered_is_forgotten(scene: tuple):
    hedger, client, primary, _ = scene
    hedger.sweep(monotonic() + LEAST)
    assert list(hedger.hedged) == [client]
    sent(primary)
    client.disconnect("gone")
    hedger.sweep(monotonic())
    assert not hedger.hedged


def test_hedge_of_a_client_whose_connection_is_lost_is_forgotten(scene: tuple):
    hedger, client, _, _ = scene
    hedger.sweep(monotonic() + LEAST)
    client.connection_lost(None)
    hedger.follow(monotonic())
    assert not hedger.hedged
