import asyncio
import socket
import threading
import time

from dbproxy.net.loop import poller_of
from dbproxy.net.transport import Receiver, Transport


class Echo(Receiver):
    """Sends back what comes; `other`: what else is to be done then."""

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport
        self.other = lambda: None

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        self.other()

    def eof_received(self) -> None:
        return None

    def connection_lost(self, error: Exception | None) -> None:
        """As it comes."""


async def echo() -> tuple[Echo, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    theirs.settimeout(10)
    protocol = Echo()
    Transport(ours, protocol)
    return protocol, theirs


async def test_what_is_called_by_the_data_path_does_not_wait_for_the_next_event() -> None:
    protocol, theirs = await echo()
    with theirs:
        done = asyncio.get_running_loop().create_future()
        protocol.other = lambda: done.set_result(None)
        theirs.send(b"x")
        async with asyncio.timeout(10):
            await done
    protocol.transport.abort()
    await asyncio.sleep(0)


async def test_timers_of_the_data_path_are_kept() -> None:
    protocol, theirs = await echo()
    with theirs:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        protocol.other = lambda: loop.call_later(0.001, done.set_result, None)
        theirs.send(b"x")
        async with asyncio.timeout(10):
            await done
    protocol.transport.abort()
    await asyncio.sleep(0)


async def test_a_busy_data_path_lets_timers_and_other_sockets_have_their_turn() -> None:
    protocol, theirs = await echo()
    stop = threading.Event()

    def knock() -> None:
        while not stop.is_set():
            theirs.send(b"x")
            theirs.recv(1)

    loop = asyncio.get_running_loop()
    thread = threading.Thread(target=knock)
    thread.start()
    try:
        async with asyncio.timeout(10):
            await asyncio.sleep(0.01)
            ours, other = socket.socketpair()
            with ours, other:
                ours.settimeout(0)
                other.send(b"other")
                assert await loop.sock_recv(ours, 10) == b"other"
            assert await asyncio.to_thread(time.sleep, 0) is None
    finally:
        stop.set()
        await asyncio.to_thread(thread.join)
        theirs.close()
        protocol.transport.abort()
        await asyncio.sleep(0)


async def test_a_connection_that_ends_as_another_is_told_of_its_end_is_told_at_once() -> None:
    first, one = await echo()
    second, two = await echo()
    told: list[str] = []

    class Last(Receiver):
        def connection_lost(self, error: Exception | None) -> None:
            told.append("second")

    class First(Receiver):
        def connection_lost(self, error: Exception | None) -> None:
            told.append("first")
            second.transport.abort()

    first.transport.set_protocol(First())
    second.transport.set_protocol(Last())
    with one, two:
        first.transport.abort()
        assert not told
        await asyncio.sleep(0)
        assert told == ["first", "second"]


async def test_a_watcher_that_goes_while_others_are_served_is_not_called() -> None:
    first, one = await echo()
    second, two = await echo()
    first.other = second.transport.abort
    second.other = first.transport.abort
    with one, two:
        one.send(b"x")
        two.send(b"x")
        poller_of(asyncio.get_running_loop()).turn()
        assert first.transport.is_closing() != second.transport.is_closing()
    first.transport.abort()
    second.transport.abort()
    await asyncio.sleep(0)
