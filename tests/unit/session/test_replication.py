"""The two ends of a replication connection, without a socket: what one hears the other says, and both end together."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from dbproxy.auth.exchange import KeyCache
from dbproxy.errors import AdminShutdown, ServerRefused, ServerUnavailable
from dbproxy.net.link import PARTNER_FULL
from dbproxy.pool import login
from dbproxy.pool.choice import Standing
from dbproxy.pool.login import Target
from dbproxy.session.identity import Identity
from dbproxy.session.replication import Replication, Walsender
from dbproxy.wire import build
from tests.unit.admin.house import Transport


@dataclass
class House:
    gone: list[str] = field(default_factory=list)

    def left(self, client: Identity, reason: str) -> None:
        self.gone.append(reason)


def connected() -> tuple[Any, Any, House]:
    """Both ends, let in."""
    house, walsender = House(), Walsender()
    walsender.connection_made(Transport())  # type: ignore[arg-type]
    walsender.backend.mailbox = None
    client = Replication(Identity(1, 0.0, 0.0, 1000), house, walsender, "physical")
    client.begin(Transport())  # type: ignore[arg-type]
    return client, walsender, house


async def test_what_one_end_hears_the_other_says():
    client, walsender, _ = connected()
    client.data_received(b"standby status")
    walsender.data_received(b"some of the WAL")
    assert walsender.transport.written == b"standby status"
    assert client.transport.written == b"some of the WAL"


async def test_end_that_cannot_write_stops_the_other_from_being_read():
    client, walsender, _ = connected()
    for slow, other in ((client, walsender), (walsender, client)):
        slow.pause_writing()
        assert other.reasons == PARTNER_FULL
        slow.resume_writing()
        assert not other.reasons


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda client, _: client.connection_lost(None), "client closed the connection"),
        (lambda _, walsender: walsender.connection_lost(None), "the server closed the connection"),
        (lambda client, _: client.disconnect("KILL", AdminShutdown("killed")), "killed"),
    ],
)
async def test_both_ends_go_together_and_it_is_told_once(end: Any, reason: str):
    client, walsender, house = connected()
    end(client, walsender)
    client.connection_lost(None)
    walsender.connection_lost(None)
    assert client.closed
    assert walsender.closed
    assert house.gone == [reason]


async def test_until_it_has_let_us_in_a_server_talks_to_its_mailbox():
    walsender = Walsender()
    walsender.connection_made(Transport())  # type: ignore[arg-type]
    said = build.parameter_status("TimeZone", "UTC")
    walsender.data_received(said[:7])
    walsender.data_received(said[7:])
    mailbox = walsender.backend.mailbox
    assert isinstance(mailbox, asyncio.Queue)
    assert mailbox.get_nowait() == (ord("S"), said[5:])
    walsender.data_received(b"\0\0\0\0\0")  # no message
    assert walsender.closed
    assert mailbox.get_nowait() is None


async def test_its_places_of_the_limits_on_servers_are_given_back_once():
    _, walsender, _ = connected()
    given: list[str] = []
    walsender.on_close = lambda: given.append("back")
    walsender.close("the end")
    walsender.connection_lost(None)
    assert given == ["back"]


# --- opened ---------------------------------------------------------------------------------------------------


@dataclass
class Hosts:
    """By their names; the frozen one says nothing, and the one that is down refuses."""

    opened: list[Any] = field(default_factory=list)

    async def start_up(self, walsender: Any, target: Target, _: KeyCache) -> None:
        self.opened.append(walsender)
        walsender.connection_made(Transport())
        walsender.backend.address = target.address
        if target.host == "frozen":
            await asyncio.Event().wait()
        if target.host == "down":
            raise ConnectionRefusedError(111, "Connection refused")
        if target.host == "strict":
            raise ServerRefused("permission denied to start WAL sender", sqlstate="42501")
        standby = "on" if target.host == "standby" else "off"
        walsender.backend.parameters.update(in_hot_standby=standby, default_transaction_read_only="off")
        if target.host == "fleeting":
            walsender.connection_lost(None)

    async def open(self, *names: str, patience: float = 0, standing: Standing | None = None) -> Walsender:
        targets = [Target(name, 5432, name, "shop", "app", None, attrs="read-write") for name in names]
        return await login.open_any(targets, Walsender, KeyCache(), standing or Standing(), patience)


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Hosts:
    hosts = Hosts()
    monkeypatch.setattr(login, "start_up", hosts.start_up)
    monkeypatch.setattr(login, "HEAD_START", 0.01)
    return hosts


async def test_host_that_is_not_what_is_asked_for_is_passed_over(hosts: Hosts):
    assert (await hosts.open("standby", "primary")).backend.address == "primary"


async def test_host_that_is_slow_is_not_waited_for_alone_and_comes_last_from_then_on(hosts: Hosts):
    standing = Standing()
    walsender = await hosts.open("down", "frozen", "primary", standing=standing)
    assert walsender.backend.address == "primary"
    assert [one.closed for one in hosts.opened] == [True, True, False]
    assert standing.failed.keys() == {"down", "frozen"}


async def test_host_that_refuses_the_login_ends_the_search_and_is_not_shunned_for_it(hosts: Hosts):
    standing = Standing()
    with pytest.raises(ServerRefused, match="permission denied"):
        await hosts.open("strict", "primary", standing=standing)
    assert len(hosts.opened) == 1
    assert not standing.failed


async def test_hosts_that_say_nothing_are_waited_for_as_long_as_is_allowed_for_all(hosts: Hosts):
    with pytest.raises(ServerUnavailable, match=r"frozen: no answer within server_connect_timeout \(0.1 s\)"):
        await hosts.open("frozen", "frozen", "frozen", patience=0.1)
    assert all(one.closed for one in hosts.opened)


async def test_server_that_has_left_by_now_has_not_let_us_in(hosts: Hosts):
    with pytest.raises(ServerUnavailable, match="fleeting: the server closed the connection during login"):
        await hosts.open("fleeting")
