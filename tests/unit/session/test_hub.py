"""The connection on which all is heard that any client listens to."""

import asyncio
from collections.abc import Callable
from time import monotonic

import pytest

from dbproxy.config import PoolSettings
from dbproxy.errors import AdminShutdown, ProxyError, QueryWaitTimeout, ServerUnavailable, TooManyConnections
from dbproxy.pool.pool import Pool
from dbproxy.pool.quota import Quota, Share
from dbproxy.pool.server import Server
from dbproxy.session.channels import HEARD
from dbproxy.session.hub import LOST, Hub, limit
from dbproxy.wire import build
from tests.support import speech
from tests.support.listening import Ear
from tests.unit.pool.fakes import FakePool
from tests.unit.session.fakes import make_server, sent

CLIENT = 4194305  # the process id of the client that a backend served
OK = speech.complete("LISTEN") + speech.IDLE
NEWS = speech.notification("news", "extra")


@pytest.fixture
def hub() -> Hub:
    pool = FakePool(query_wait_timeout=60, size=1).pool
    return Hub("shop", lambda user: pool, lambda address, pid: CLIENT)


def connect(hub: Hub) -> Server:
    """The connection that it waits for is there."""
    assert hub.pool is not None
    server = make_server(hub.pool)
    hub.pool.match(monotonic())
    assert hub.server is server
    return server


def listen(channel: str) -> bytes:
    return build.query(f'LISTEN "{channel}"')


def subscribe(hub: Hub, *channels: str) -> Ear:
    ear = Ear()
    hub.subscribe(ear, channels)
    return ear


async def turn() -> None:
    """What was called soon has been."""
    await asyncio.sleep(0)


# --- what clients ask -----------------------------------------------------------------------------------------


async def test_hear_returns_once_the_server_listens(hub: Hub):
    hearing = asyncio.create_task(hub.hear(["news", "more"]))
    await turn()
    server = connect(hub)
    assert sent(server) == listen("news") + listen("more")
    server.data_received(OK)
    await turn()
    assert not hearing.done()
    server.data_received(OK)
    await hearing
    assert hub.keep(["news", "more"])
    assert not hub.keep(["news", "others"])


async def test_channel_is_asked_for_once_whoever_wants_it(hub: Hub):
    both = [asyncio.create_task(hub.hear(["news"])) for _ in range(2)]
    await turn()
    server = connect(hub)
    assert sent(server) == listen("news")
    server.data_received(OK)
    await asyncio.gather(*both)


async def test_one_that_fails_harms_no_other(hub: Hub):
    bad, good = (asyncio.create_task(hub.hear([name])) for name in ("bad", "good"))
    await turn()
    server = connect(hub)
    server.data_received(speech.error("42501", "not for you") + speech.IDLE + OK)
    await good
    with pytest.raises(ProxyError, match="not for you"):
        await bad


async def test_who_waits_is_told_when_no_server_can_be_reached(hub: Hub):
    hearing = asyncio.create_task(hub.hear(["news"]))
    await turn()
    for waiting in list(hub.pool.waiting):
        hub.pool.waiting.remove(waiting)
    hub.refuse(ServerUnavailable("down"))
    with pytest.raises(ServerUnavailable):
        await hearing


async def test_patience_has_an_end():
    pool = FakePool(query_wait_timeout=0.001).pool
    hub = Hub("shop", lambda user: pool, lambda address, pid: pid)
    with pytest.raises(QueryWaitTimeout):
        await hub.hear(["news"])


@pytest.mark.parametrize("name", ["", "x" * 64])
async def test_name_that_the_server_would_refuse_is_refused_here(hub: Hub, name: str):
    with pytest.raises(ProxyError):
        await hub.hear(["good", name])
    assert hub.pool is None  # nobody was asked


# --- what it delivers -----------------------------------------------------------------------------------------


def test_notification_is_told_to_all_who_listen_with_the_senders_id(hub: Hub):
    one, other, deaf = subscribe(hub, "news"), subscribe(hub, "news"), subscribe(hub, "others")
    server = connect(hub)
    server.data_received(OK + OK)
    for ear in (one, other, deaf):
        ear.raw.clear()
    server.data_received(NEWS)
    told = NEWS[:5] + CLIENT.to_bytes(4, "big") + NEWS[9:]
    assert one.raw == other.raw == [told]
    assert deaf.raw == []
    assert (hub.received, hub.delivered) == (1, 2)


def test_who_has_left_is_told_nothing(hub: Hub):
    ear = subscribe(hub, "news", "others")
    server = connect(hub)
    server.data_received(OK + OK)
    ear.raw.clear()
    hub.unsubscribe(ear, ["others"])
    assert hub.channels_of(ear) == {"news"}
    hub.leave(ear)
    server.data_received(NEWS)
    assert ear.raw == []


def test_bug_in_one_listener_costs_no_other_its_notification(hub: Hub):
    class Broken(Ear):
        def notify(self, message: bytes) -> None:
            raise ZeroDivisionError

    hub.subscribe(Broken(), ["news"])
    ear = subscribe(hub, "news")
    server = connect(hub)
    server.data_received(OK)
    ear.raw.clear()
    server.data_received(NEWS)
    assert len(ear.raw) == 1
    assert not server.closed


def test_who_catches_up_is_called_behind_what_was_committed_before(hub: Hub):
    ear = subscribe(hub, "news")
    server = connect(hub)
    server.data_received(OK)
    ear.raw.clear()
    order: list[object] = []
    hub.catch_up(lambda: order.append(list(ear.raw)))
    assert order == []
    server.data_received(NEWS + speech.EMPTY + speech.IDLE)
    assert len(order) == 1
    assert order[0]  # it was told already


def test_nobody_waits_for_a_connection_that_there_is_not(hub: Hub):
    called: list[bool] = []
    hub.catch_up(lambda: called.append(True))
    assert called


# --- a connection that is lost --------------------------------------------------------------------------------


def lose(hub: Hub, server: Server) -> None:
    """After a while."""
    hub.receiver.served_at -= 60
    server.close("connection lost")


def test_all_is_heard_again_on_another_and_who_may_have_missed_something_is_told(hub: Hub):
    ear = subscribe(hub, "news")
    server = connect(hub)
    server.data_received(OK)
    ear.notices.clear()
    lose(hub, server)
    assert not hub.keep(["news"])
    again = connect(hub)
    assert sent(again) == listen("news")
    assert ear.notices == []
    again.data_received(OK)
    assert [notice.raw for notice in ear.notices] == [LOST]
    assert hub.losses == 1


def test_who_catches_up_is_not_forgotten(hub: Hub):
    subscribe(hub, "news")
    server = connect(hub)
    server.data_received(OK)
    called: list[bool] = []
    hub.catch_up(lambda: called.append(True))
    lose(hub, server)
    assert called


def test_one_that_was_lost_at_once_is_not_opened_again_at_once(hub: Hub):
    subscribe(hub, "news")
    connect(hub).close("connection lost")
    assert hub not in hub.pool.waiting


@pytest.mark.parametrize("change", [Pool.pause, Pool.retire])
def test_one_that_is_not_to_be_used_any_more_is_given_up(hub: Hub, change: Callable[[Pool], object]):
    subscribe(hub, "news")
    server = connect(hub)
    hub.renew()
    assert not server.closed
    change(hub.pool)
    hub.renew()
    assert server.closed


# --- the end --------------------------------------------------------------------------------------------------


async def test_nobody_hears_anything_of_a_proxy_that_stops(hub: Hub):
    hearing = asyncio.create_task(hub.hear(["news"]))
    await turn()
    server = connect(hub)
    hub.close()
    assert server.closed
    with pytest.raises(AdminShutdown):
        await hearing
    with pytest.raises(AdminShutdown):
        await hub.hear(["news"])
    hub.subscribe(Ear(), ["news"])
    assert not any(channel.state == HEARD for channel in hub.channels.values())


def test_hub_has_one_connection_of_its_own():
    own = limit(PoolSettings(size=20, min_pool_size=5, reserve_size=3))
    assert (own.size, own.min_pool_size, own.reserve_size) == (1, 0, 0)


async def test_listen_that_would_take_the_last_place_under_a_limit_is_refused_at_once(hub: Hub):
    quota = Quota("max_db_connections", "shop", 1)
    fake = FakePool(share=Share([quota], standing=True))
    hub.make_pool = lambda user: fake.pool
    with pytest.raises(TooManyConnections, match="LISTEN needs a server connection of its own"):
        await hub.hear(["news"])
    assert fake.launched == 0
    assert not fake.pool.waiting
    assert fake.pool.stats.limits == {"max_db_connections": 1}
