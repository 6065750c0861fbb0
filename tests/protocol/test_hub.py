"""LISTEN for many over one connection, against a scripted server: what is sent, and when."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

import pytest

from dbproxy.admin.figures import read_figures
from dbproxy.admin.show import SHOWS
from dbproxy.errors import AdminShutdown, ProxyError, QueryWaitTimeout, ServerRefused, ServerUnavailable
from dbproxy.session.deadlines import RELEASE_AFTER, UNUSED_LIMIT, sweep_hub
from dbproxy.session.hub import Hub
from dbproxy.wire import messages
from dbproxy.wire.codes import Backend as Kind
from tests.support.house import House
from tests.support.listening import Ear
from tests.support.peer import let_others_run
from tests.support.raw_client import RawClient
from tests.support.scripted_server import Backend, ScriptedServer, let_in, refuse
from tests.support.speech import EMPTY, IDLE, INTRANS, TERMINATE, complete, error, query, rows

OK = complete("LISTEN") + IDLE
GONE = complete("UNLISTEN") + IDLE


def listen(name: str) -> bytes:
    return query(f'LISTEN "{name}"')


def notification(channel: str, payload: str, pid: int = 4711) -> bytes:
    body = {"pid": pid, "channel": channel, "payload": payload}
    return messages.build(messages.BACKEND_MESSAGE, Kind.NOTIFICATION_RESPONSE, body)


@pytest.fixture
def hub(house: House) -> Hub:
    return house.proxy.find_hub("shop", "app")


def hearing(hub: Hub, *names: str) -> asyncio.Task[None]:
    return asyncio.ensure_future(hub.hear(names))


async def heard(hub: Hub, server: ScriptedServer, *names: str) -> Backend:
    """The server's end, once these channels are confirmed."""
    task = hearing(hub, *names)
    backend = await server.accept()
    await backend.answers(*[OK for _ in names], to=b"".join(map(listen, names)))
    await task
    return backend


async def listens(client: RawClient, backend: Backend, server: ScriptedServer) -> Backend:
    """The client listens to `a`, and its server does not any more; the hub's connection."""
    client.send(query("LISTEN a"))
    hub = await server.accept()
    await hub.answers(OK, to=listen("a"))
    await backend.receive_until(query("LISTEN a"))
    backend.send(complete("SET"), IDLE, OK)
    await backend.answers_audit(channels=["a"])
    await backend.answers(GONE, to=query("UNLISTEN *"))
    await client.receives(OK)
    return hub


def sweep(hub: Hub, later: float = 0) -> None:
    sweep_hub(hub, monotonic() + later)


async def test_its_connection_says_how_texts_are_encoded(hub: Hub, server: ScriptedServer) -> None:
    backend = await heard(hub, server, "a")
    assert backend.startup.parameters["client_encoding"] == "UTF8"
    assert backend.startup.user == "app"


async def test_hear_returns_when_all_are_confirmed_and_asks_once(hub: Hub, server: ScriptedServer) -> None:
    first, second = hearing(hub, "a", "b", "a"), hearing(hub, "b", "c")
    backend = await server.accept()
    await backend.receives(listen("a"), listen("b"), listen("c"))
    third = hearing(hub, "d", "a")
    await backend.receives(listen("d"))
    assert not first.done()
    backend.send(OK, OK)
    await first
    assert not second.done()
    backend.send(OK, OK)
    await second
    await third
    await hub.hear(["a", "b", "c", "d"])  # at once: nothing is sent
    sweep(hub)
    await let_others_run()
    assert server.logins == 1


async def test_one_that_fails_harms_no_other(hub: Hub, server: ScriptedServer) -> None:
    bad, good = hearing(hub, "bad"), hearing(hub, "good")
    backend = await server.accept()
    await backend.receives(listen("bad"), listen("good"))
    backend.send(error("22P05", "no such letter"), IDLE, OK)
    await good
    with pytest.raises(ProxyError, match="no such letter") as caught:
        await bad
    assert (caught.value.sqlstate, caught.value.severity) == ("22P05", "ERROR")
    assert list(hub.channels) == ["good"]


@pytest.mark.parametrize("name", ["", "x" * 64])
async def test_a_bad_name_is_not_sent(hub: Hub, server: ScriptedServer, name: str) -> None:
    with pytest.raises(ProxyError):
        await hub.hear(["good", name])
    assert not hub.channels
    assert hub.pool is None


async def test_each_listener_gets_the_same_bytes_in_order(hub: Hub, server: ScriptedServer) -> None:
    backend = await heard(hub, server, "a", "b")
    ears = [Ear() for _ in range(50)]
    for ear in ears:
        hub.subscribe(ear, ["a"])
    hub.subscribe(ears[0], ["b"])
    backend.send(
        notification("a", "1"), notification("b", "2"), notification("c", "3"), notification("a", "4")
    )
    await ears[-1].has(2)
    assert ears[0].heard == [("a", "1"), ("b", "2"), ("a", "4")]
    assert all(ear.payloads == ["1", "4"] for ear in ears[1:])
    assert ears[1].raw[0] is ears[2].raw[0]
    assert (hub.received, hub.delivered, hub.channels["a"].delivered) == (4, 101, 100)


async def test_bytes_may_come_one_at_a_time(hub: Hub, server: ScriptedServer) -> None:
    backend, ear = await heard(hub, server, "a"), Ear()
    hub.subscribe(ear, ["a"])
    task = hearing(hub, "b")
    await backend.receives(listen("b"))
    await backend.send_in_crumbs(notification("a", "1"), complete("LISTEN"), notification("a", "2"), IDLE)
    await task
    assert ear.payloads == ["1", "2"]


class Leaver(Ear):
    """Takes others along when it is told."""

    def __init__(self, hub: Hub, others: list[Ear]) -> None:
        super().__init__()
        self.hub, self.others = hub, others

    def notify(self, message: bytes) -> None:
        super().notify(message)
        for listener in (self, *self.others):
            self.hub.leave(listener)


async def test_who_leaves_while_told_disturbs_nobody(hub: Hub, server: ScriptedServer) -> None:
    backend, staying = await heard(hub, server, "a"), Ear()
    ears = [Ear(), Ear()]
    leaver = Leaver(hub, ears)
    for ear in (ears[0], leaver, ears[1], staying):
        hub.subscribe(ear, ["a"])
    backend.send(notification("a", "1"), notification("a", "2"))
    await staying.has(2)
    assert leaver.payloads == ["1"]
    assert "2" not in ears[0].payloads + ears[1].payloads
    assert hub.channels_of(leaver) == set()
    assert hub.channels_of(staying) == {"a"}


class Broken(Ear):
    def notify(self, message: bytes) -> None:
        raise RuntimeError("a bug")


async def test_a_bug_in_one_listener_costs_the_others_nothing(
    hub: Hub, server: ScriptedServer, log: list[dict]
) -> None:
    backend, ear = await heard(hub, server, "a"), Ear()
    for listener in (Broken(), ear):
        hub.subscribe(listener, ["a"])
    backend.send(notification("a", "1"))
    await ear.has(1)
    assert [line for line in log if line["event"] == "internal error"]
    log.clear()


async def test_an_unused_channel_is_unlistened_and_heard_anew_behind_it(
    hub: Hub, server: ScriptedServer
) -> None:
    backend, ear = await heard(hub, server, "kept", "unused"), Ear()
    hub.subscribe(ear, ["kept"])
    sweep(hub)
    sweep(hub, UNUSED_LIMIT)
    again = hearing(hub, "unused")
    await backend.receives(query('UNLISTEN "unused"'), listen("unused"))
    backend.send(GONE)
    await let_others_run()
    assert not again.done()
    backend.send(OK)
    await again
    hub.subscribe(ear, ["unused"])
    assert hub.channels_of(ear) == {"kept", "unused"}
    assert not ear.notices


async def test_hearing_it_once_more_keeps_a_channel(hub: Hub, server: ScriptedServer) -> None:
    await heard(hub, server, "a")
    sweep(hub)
    await hub.hear(["a"])
    sweep(hub, UNUSED_LIMIT)
    assert "a" in hub.channels


async def test_who_subscribes_too_late_is_told_that_something_may_be_missing(
    hub: Hub, server: ScriptedServer
) -> None:
    backend, ear = await heard(hub, server, "a"), Ear()
    sweep(hub)
    sweep(hub, UNUSED_LIMIT)
    hub.subscribe(ear, ["a"])
    await backend.receives(query('UNLISTEN "a"'), listen("a"))
    backend.send(GONE, OK)
    await ear.has(notices=1)


async def test_after_a_loss_all_is_listened_to_again_and_told_once_confirmed(
    house: House, hub: Hub, server: ScriptedServer
) -> None:
    backend, ear, other = await heard(hub, server, "a", "b", "unused"), Ear(), Ear()
    hub.subscribe(ear, ["a", "b"])
    hub.subscribe(other, ["a"])
    backend.send(notification("a", "before"))
    await ear.has(1)
    backend.send(error("57P01", "terminating connection", severity="FATAL"))
    backend.writer.close()
    await house.until(lambda: hub.server is None)
    sweep(hub)
    backend = await server.accept()
    await backend.receives(listen("a"), listen("b"), listen("unused"))
    backend.send(OK)
    await let_others_run()
    assert not ear.notices
    backend.send(OK, OK, notification("b", "after"))
    await ear.has(2, notices=1)
    assert ear.payloads == ["before", "after"]
    assert (ear.notices[0].body.fields["S"], ear.notices[0].body.fields["C"]) == ("WARNING", "01000")
    assert len(ear.notices) == len(other.notices) == 1
    assert hub.losses == 1


async def test_a_connection_that_lived_a_while_is_opened_again_at_once(
    hub: Hub, server: ScriptedServer
) -> None:
    backend = await heard(hub, server, "a")
    hub.subscribe(Ear(), ["a"])
    hub.receiver.served_at -= 2
    backend.writer.close()
    await (await server.accept()).receives(listen("a"))


async def test_who_waits_in_hear_waits_on_through_a_loss(
    house: House, hub: Hub, server: ScriptedServer
) -> None:
    task = hearing(hub, "a")
    backend = await server.accept()
    await backend.receives(listen("a"))
    backend.writer.close()
    await house.until(lambda: hub.server is None)
    sweep(hub)
    await (await server.accept()).answers(OK, to=listen("a"))
    await task


async def test_without_a_server_hear_says_why_at_once(hub: Hub, server: ScriptedServer) -> None:
    server.stop()
    with pytest.raises(ServerUnavailable, match="cannot connect"):
        await hub.hear(["a"])
    assert not hub.channels


async def test_while_somebody_has_subscribed_it_is_tried_again(
    house: House, hub: Hub, server: ScriptedServer
) -> None:
    backend, ear = await heard(hub, server, "a"), Ear()
    hub.subscribe(ear, ["a"])
    server.stop()
    backend.writer.close()
    await house.until(lambda: hub.server is None)
    for attempt in range(1, 4):
        house.janitor.sweep(monotonic() + 100 * attempt, clients=True)
        await house.until(lambda n=attempt: hub.pool.failures == n)
    await server.listen()
    house.janitor.sweep(monotonic() + 1000, clients=True)
    await (await server.accept()).answers(OK, to=listen("a"))
    await ear.has(notices=1)


async def test_another_users_login_is_tried_when_the_first_is_no_good(
    house: House, hub: Hub, server: ScriptedServer
) -> None:
    server.greeting = refuse(error("28P01", "password changed", severity="FATAL"))
    with pytest.raises(ServerRefused, match="password changed"):
        await hub.hear(["a"])
    server.greeting = let_in
    assert house.proxy.find_hub("shop", "other") is hub
    backend = await heard(hub, server, "a")
    assert backend.startup.user == "other"


async def test_cancelled_hearing_leaves_others_waiting(hub: Hub, server: ScriptedServer) -> None:
    one, other = hearing(hub, "a"), hearing(hub, "a")
    backend = await server.accept()
    await backend.receives(listen("a"))
    one.cancel()
    await let_others_run()
    backend.send(OK)
    await other
    assert one.cancelled()


async def test_hear_gives_up_after_query_wait_timeout(
    enter: Callable[..., Awaitable[House]], server: ScriptedServer
) -> None:
    house = await enter({"pool.query_wait_timeout": "50ms"})
    hub = house.proxy.find_hub("shop", "app")
    with pytest.raises(QueryWaitTimeout):
        await hub.hear(["a"])
    assert not hub.channels["a"].in_use()


async def test_a_silent_connection_is_asked_and_replaced_if_it_does_not_answer(
    hub: Hub, server: ScriptedServer
) -> None:
    backend = await heard(hub, server, "a")
    hub.subscribe(Ear(), ["a"])
    sweep(hub, 31)
    await backend.answers(EMPTY, IDLE, to=query(""))
    await let_others_run()
    sweep(hub, 31)
    await backend.receives(query(""))
    sweep(hub, 14)
    assert hub.server is not None
    sweep(hub, 16)
    sweep(hub)
    await (await server.accept()).receives(listen("a"))


async def test_the_connection_is_closed_when_nobody_has_listened_for_a_while(
    house: House, hub: Hub, server: ScriptedServer
) -> None:
    backend, ear = await heard(hub, server, "a"), Ear()
    hub.subscribe(ear, ["a"])
    hub.leave(ear)
    sweep(hub)
    sweep(hub, UNUSED_LIMIT)
    await backend.answers(GONE, to=query('UNLISTEN "a"'))
    await house.until(lambda: not hub.receiver.sent)
    sweep(hub, UNUSED_LIMIT + RELEASE_AFTER - 1)
    assert hub.server is not None
    sweep(hub, UNUSED_LIMIT + RELEASE_AFTER)
    await backend.receives(TERMINATE)
    assert (hub.server, hub.pool) == (None, None)
    await heard(hub, server, "b")


async def test_pause_closes_it_and_resume_hears_again(house: House, hub: Hub, server: ScriptedServer) -> None:
    backend, ear = await heard(hub, server, "a"), Ear()
    hub.subscribe(ear, ["a"])
    house.proxy.pause("shop")
    await backend.receives(TERMINATE)
    assert hub.pool.size() == 0
    house.janitor.sweep(monotonic(), clients=True)
    assert hub.pool.size() == 0
    house.proxy.resume("shop")
    await (await server.accept()).answers(OK, to=listen("a"))
    await ear.has(notices=1)


async def test_a_reload_that_moves_the_database_moves_it(
    house: House, hub: Hub, server: ScriptedServer
) -> None:
    backend = await heard(hub, server, "a")
    hub.subscribe(Ear(), ["a"])
    hub.pool.retire()
    house.proxy.apply(house.proxy.settings)
    assert hub.pool.settings.size == 1
    sweep(hub)
    await backend.receives(TERMINATE)
    sweep(hub)
    await (await server.accept()).receives(listen("a"))


async def test_a_hub_that_is_closed_says_so(hub: Hub, server: ScriptedServer) -> None:
    backend = await heard(hub, server, "a")
    waiting = hearing(hub, "b")
    await backend.receives(listen("b"))
    hub.close()
    with pytest.raises(AdminShutdown):
        await waiting
    with pytest.raises(AdminShutdown):
        await hub.hear(["a"])
    sweep(hub)
    assert hub.pool is None or hub.pool.size() == 0


# --- who sent it ---


async def run(client: RawClient, backend: Backend, sql: str) -> None:
    client.send(query(sql))
    await backend.answers(rows("1"), IDLE, to=query(sql))
    await client.receives(rows("1"), IDLE)


async def test_a_notification_names_its_client_as_that_knows_itself(
    house: House, hub: Hub, server: ScriptedServer
) -> None:
    client, backend = await house.pair()
    hub_backend, ear = await heard(hub, server, "a"), Ear()
    hub.subscribe(ear, ["a"])
    await run(client, backend, "SELECT pg_notify('a', '')")
    hub_backend.send(notification("a", "", backend.pid), notification("a", "", 99))
    await ear.has(2)
    assert ear.pids == [client.pid, 99]


async def test_while_two_may_have_sent_it_neither_is_named(
    house: House, hub: Hub, server: ScriptedServer
) -> None:
    one, backend = await house.pair()
    two = await house.client()
    hub_backend, ear = await heard(hub, server, "a"), Ear()
    hub.subscribe(ear, ["a"])
    await run(one, backend, "SELECT 1")
    await run(two, backend, "SELECT 2")  # a trigger may have notified, in either
    hub_backend.send(notification("a", "", backend.pid))
    await ear.has(1)
    assert ear.pids == [backend.pid]
    senders = house.proxy.hubs.senders
    address = house.pool.servers()[0].backend.address
    assert senders.find(address, backend.pid, monotonic() + 1) == two.pid


async def test_who_was_seen_to_notify_is_named_though_another_came_behind(
    house: House, hub: Hub, server: ScriptedServer
) -> None:
    one, backend = await house.pair()
    two = await house.client()
    hub_backend, ear = await heard(hub, server, "a"), Ear()
    hub.subscribe(ear, ["a"])
    await run(one, backend, "SELECT pg_notify('a', '')")
    await run(two, backend, "SELECT 1")
    hub_backend.send(notification("a", "", backend.pid))
    await ear.has(1)
    assert ear.pids == [one.pid]


async def test_who_notified_once_is_not_named_for_what_others_do_later(
    house: House, hub: Hub, server: ScriptedServer
) -> None:
    """A trigger of theirs may notify, unseen."""
    one, backend = await house.pair()
    two, three = await house.client(), await house.client()
    await run(one, backend, "SELECT pg_notify('a', '')")
    await run(two, backend, "SELECT 1")
    senders, address = house.proxy.hubs.senders, house.pool.servers()[0].backend.address
    assert senders.find(address, backend.pid, monotonic()) == one.pid
    assert senders.find(address, backend.pid, monotonic() + 1) == two.pid
    await run(three, backend, "SELECT 1")
    assert senders.find(address, backend.pid, monotonic()) == backend.pid
    assert senders.find(address, backend.pid, monotonic() + 1) == three.pid


async def test_closed_servers_are_forgotten(house: House, server: ScriptedServer) -> None:
    await house.pair()
    assert len(house.proxy.hubs.senders.servers) == 1
    house.pool.servers()[0].close("test")
    house.janitor.sweep(monotonic(), clients=True)
    assert not house.proxy.hubs.senders.servers


async def test_it_is_shown_and_counted(house: House, hub: Hub, server: ScriptedServer) -> None:
    backend, ear = await heard(hub, server, "a"), Ear()
    hub.subscribe(ear, ["a"])
    backend.send(notification("a", "1"))
    await ear.has(1)
    assert list(SHOWS["listens"](house.proxy).rows) == [("shop", "a", "heard", 1, 1)]
    assert len(list(SHOWS["servers"](house.proxy).rows)) == 1
    figures = read_figures(house.proxy, monotonic())
    [shown] = figures.hubs
    assert (shown.connections, shown.channels, shown.listeners, shown.delivered) == (1, 1, 1, 1)
    assert figures.lists["used_servers"] == figures.databases[0].current_connections == 1


async def test_own_notification_comes_ahead_of_ready_though_the_server_is_asked_meanwhile(
    house: House, server: ScriptedServer
) -> None:
    client, backend = await house.pair()
    hub = await listens(client, backend, server)
    client.send(query("NOTIFY a; SET work_mem = 1"))
    await backend.answers(complete("NOTIFY"), complete("SET"), IDLE, to=query("NOTIFY a; SET work_mem = 1"))
    await hub.receives(query(""))
    await backend.answers_audit(settings={"work_mem": "1"})
    await client.receives(complete("NOTIFY"), complete("SET"))
    await client.hears_nothing()
    hub.send(notification("a", "own"), EMPTY, IDLE)
    await client.receives(notification("a", "own"), IDLE)


@pytest.mark.parametrize("known", [False, True])
async def test_what_a_client_has_notified_before_it_listens_is_not_told(
    house: House, hub: Hub, server: ScriptedServer, known: bool
) -> None:
    client, backend = await house.pair()
    ears = await heard(hub, server, "a") if known else None
    client.send(query("NOTIFY a"), query("LISTEN a"))
    await backend.receives(query("NOTIFY a"))
    await let_others_run()
    assert hub.channels.keys() == ({"a"} if known else set())
    backend.send(complete("NOTIFY"), IDLE)
    await client.receives(complete("NOTIFY"), IDLE)
    if ears:
        await ears.answers(notification("a", "own", backend.pid), EMPTY, IDLE, to=query(""))
    else:
        await (await server.accept()).answers(OK, to=listen("a"))
    await backend.receive_until(query("LISTEN a"))
    backend.send(complete("SET"), IDLE, OK)
    await backend.answers_audit(channels=["a"])
    await client.receives(OK)
    await client.hears_nothing()


async def test_what_others_have_notified_before_it_listens_is_not_told(
    house: House, hub: Hub, server: ScriptedServer
) -> None:
    """The hub listens already, and is told late."""
    client, backend = await house.pair()
    ears = await heard(hub, server, "a")
    client.send(query("LISTEN a"))
    await ears.answers(notification("a", "earlier", 99), EMPTY, IDLE, to=query(""))
    await backend.receive_until(query("LISTEN a"))
    backend.send(complete("SET"), IDLE, OK)
    await backend.answers_audit(channels=["a"])
    await client.receives(OK)
    await client.hears_nothing()


async def test_own_notification_does_not_wait_for_the_end_of_the_next_transaction(
    house: House, server: ScriptedServer
) -> None:
    client, backend = await house.pair()
    hub = await listens(client, backend, server)
    client.send(query("NOTIFY a"), query("BEGIN"))
    await backend.receives(query("NOTIFY a"), query("BEGIN"))
    backend.send(complete("NOTIFY"), IDLE, complete("BEGIN"), INTRANS)
    await client.receives(complete("NOTIFY"), IDLE, complete("BEGIN"), INTRANS)
    hub.send(notification("a", "another's", 99), notification("a", "own", backend.pid))
    await client.receives(notification("a", "another's", 99), notification("a", "own", client.pid))
