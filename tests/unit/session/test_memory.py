"""What is kept for clients is weighed, and the heaviest have to go."""

from typing import Any

from dbproxy.config import Settings
from dbproxy.pool.audit import Findings
from dbproxy.session.client import Client
from dbproxy.session.memory import sweep_memory, weigh, weigh_session, weigh_statements
from tests.support import speech
from tests.unit.session.fakes import House, make_client, sent

BODY = b"SELECT 1\0\0\0"
NONE: dict[str, Any] = {}


def lazy(house: House, unread: int, **settings: object) -> Client:
    """A client that has so many bytes of its answer to read."""
    client = make_client(house=house, **settings)
    client.transport.get_write_buffer_size = lambda: unread  # type: ignore[method-assign, union-attr]
    return client


def sweep(house: House, **pool: object) -> None:
    sweep_memory(house.registry, Settings.model_validate({"pool": pool}))


def test_what_waits_and_what_is_not_read_is_weighed():
    client = lazy(House(), 1000)
    client.inbound.keep(b"x" * 20)
    client.news.messages.append(b"y" * 3)
    client.data_received(speech.query("SELECT 1")[:7])  # it is parked by nothing: part of a message
    assert weigh(client) == 1000 + 20 + 3 + client.inbound.framer.held_size
    assert client.inbound.framer.held_size == 7


def test_prepared_statements_are_weighed_until_they_are_closed():
    client = make_client()
    own = client.prepared
    own.define(b"a", BODY)
    own.define(b"b", BODY)
    own.define(b"b", BODY + b"0000")
    own.by_sql[b"s"] = b"PREPARE"
    assert weigh_statements(client) == 2 + 2 * len(BODY) + 4 + 7
    previous = own.forget(b"a")
    own.forget(b"a")
    assert own.size == 1 + len(BODY) + 4
    own.restore(b"a", previous)
    assert own.size == 2 + 2 * len(BODY) + 4
    own.restore(b"a", None)
    own.forget_all(set())
    assert own.size == 0


def test_settings_and_channels_are_weighed():
    house = House()
    client, other = make_client(house=house, max_client_memory=10_000), make_client(house=house)
    assert weigh_session(client) == 0
    client.settings = client.pool.tenant.parameter_sets.find({"app.a": "x" * 2000})
    assert weigh_session(client) == 2 * 2005
    client.state.listening.conclude(Findings(channels=frozenset({"c", "dd"})), 0)
    assert weigh_session(client) == 2 * 2005 + 2 * 200 + 3
    sweep(house)
    assert not client.closed
    client.settings = client.pool.tenant.parameter_sets.find({"app.a": "x" * 5000})
    sweep(house)
    assert (client.closed, other.closed) == (True, False)


def test_sum_holds_whatever_it_is_that_is_kept():
    house = House()
    hoarder, listener, other = (make_client(house=house) for _ in range(3))
    other.prepared.define(b"a", BODY)
    hoarder.prepared.by_sql[b"s"] = b"PREPARE s AS SELECT" + b"x" * 5 * 2**19
    sweep(house, max_total_memory="2MiB")
    assert (hoarder.closed, other.closed, house.registry.crowded) == (
        False,
        False,
        False,
    )  # 1 MiB is nobody's
    hoarder.prepared.by_sql[b"t"] = hoarder.prepared.by_sql[b"s"]
    listener.settings = listener.pool.tenant.parameter_sets.find({"app.a": "x" * 2**19})
    sweep(house, max_total_memory="2MiB")
    assert (hoarder.closed, listener.closed, other.closed, house.registry.crowded) == (
        True,
        False,
        False,
        True,
    )


def test_client_over_its_own_limit_is_ended_and_no_other():
    house = House()
    heavy, light = lazy(house, 2000, max_client_memory=1500), lazy(house, 1000, max_client_memory=1500)
    light.prepared.define(b"a", BODY)
    sweep(house)
    assert (heavy.closed, light.closed) == (True, False)
    assert b"C53200" in sent(heavy)
    assert heavy.pool.stats.limits == {"max_client_memory": 1}
    light.prepared.define(b"b", b"x" * 600 + b"\0\0\0")
    sweep(house)
    assert light.closed


def test_over_the_limit_of_all_the_heaviest_have_to_go_and_nobody_is_let_in():
    house = House()
    clients = [lazy(house, size) for size in (100, 400, 300, 0)]
    sweep(house, max_total_memory=1024)
    assert not house.registry.crowded
    for client, size in zip(clients, (1000, 4000, 3000, 0), strict=True):
        client.transport.get_write_buffer_size = lambda size=size: size  # type: ignore[method-assign, union-attr, misc]
    sweep(house, max_total_memory=1024)
    assert house.registry.crowded
    assert [client.closed for client in clients] == [False, True, True, False]
    for client in clients[1:3]:
        house.registry.remove(client.identity.pid)
    sweep(house, max_total_memory=1024)
    assert not house.registry.crowded


def test_no_limit_is_never_reached():
    house = House()
    client = lazy(house, 2**40, max_client_memory=0)
    sweep(house, max_total_memory=0)
    assert not client.closed
    assert not house.registry.crowded
