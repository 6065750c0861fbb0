import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from dbproxy.net.transport import Receiver, Transport

LOTS = b"x" * 10_000_000
HIGH = 65536  # bytes that are kept until the protocol is told to pause
PATIENCE = 10


class Protocol(Receiver):
    """What it was told."""

    def __init__(self, *, stays: bool = False) -> None:
        self.stays = stays  # after the peer has sent all
        self.heard = b""
        self.told: list[str] = []
        self.error: Exception | None = None

    def connection_made(self, transport: Transport) -> None:
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def eof_received(self) -> bool:
        self.told.append("eof")
        return self.stays

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.told.append("lost")
        self.error = error


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        theirs = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
    ours.settimeout(0)
    theirs.settimeout(0)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def theirs(pair: tuple[socket.socket, socket.socket]) -> socket.socket:
    return pair[1]


@pytest.fixture
def protocol() -> Protocol:
    return Protocol()


@pytest.fixture
async def transport(
    pair: tuple[socket.socket, socket.socket], protocol: Protocol
) -> AsyncIterator[Transport]:
    transport = Transport(pair[0], protocol)
    yield transport
    transport.abort()
    await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # plain numbers and lists: nothing to await
            await asyncio.sleep(0)


async def read(theirs: socket.socket, size: int) -> bytes:
    loop, data = asyncio.get_running_loop(), b""
    async with asyncio.timeout(PATIENCE):
        while len(data) < size and (piece := await loop.sock_recv(theirs, 1 << 20)):
            data += piece
    return data


async def test_what_comes_is_heard(transport: Transport, protocol: Protocol, theirs: socket.socket) -> None:
    theirs.send(b"one")
    await until(lambda: protocol.heard == b"one")
    theirs.send(b"two")
    await until(lambda: protocol.heard == b"onetwo")


async def test_whoever_takes_over_hears_what_comes_next(
    transport: Transport, protocol: Protocol, theirs: socket.socket
) -> None:
    heir = Protocol()
    transport.set_protocol(heir)
    theirs.send(b"one")
    await until(lambda: heir.heard == b"one")
    assert not protocol.heard


async def test_nothing_is_read_while_paused(
    transport: Transport, protocol: Protocol, theirs: socket.socket
) -> None:
    transport.pause_reading()
    theirs.send(b"one")
    for _ in range(10):
        await asyncio.sleep(0)
    assert not protocol.heard
    transport.resume_reading()
    await until(lambda: protocol.heard == b"one")


async def test_what_is_written_is_sent_at_once(transport: Transport, theirs: socket.socket) -> None:
    transport.write(b"one")
    assert theirs.recv(10) == b"one"


async def test_what_may_be_written_later_goes_together_and_in_order(
    transport: Transport, theirs: socket.socket
) -> None:
    transport.write_later(b"one ")
    transport.write_later(b"two ")
    transport.write(b"three")
    with pytest.raises(BlockingIOError):
        theirs.recv(10)
    assert await read(theirs, 13) == b"one two three"
    transport.write_later(b"last words")
    transport.close()
    assert await read(theirs, 10) == b"last words"


async def test_what_the_kernel_does_not_take_follows_in_order(
    transport: Transport, protocol: Protocol, theirs: socket.socket
) -> None:
    transport.write(LOTS)
    transport.write(b"end")
    assert transport.get_write_buffer_size() > HIGH
    assert protocol.told == ["made", "pause"]
    assert await read(theirs, len(LOTS) + 3) == LOTS + b"end"
    assert protocol.told == ["made", "pause", "resume"]
    assert transport.get_write_buffer_size() == 0


async def test_the_end_of_the_peer_closes_both_halves(
    transport: Transport, protocol: Protocol, theirs: socket.socket
) -> None:
    theirs.close()
    await until(lambda: "lost" in protocol.told)
    assert protocol.told == ["made", "eof", "lost"]
    assert protocol.error is None


async def test_a_peer_that_sends_no_more_is_still_answered(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    protocol, theirs = Protocol(stays=True), pair[1]
    transport = Transport(pair[0], protocol)
    theirs.shutdown(socket.SHUT_WR)
    await until(lambda: "eof" in protocol.told)
    transport.pause_reading()
    transport.resume_reading()
    transport.write(b"answer")
    assert await read(theirs, 6) == b"answer"
    transport.close()
    await until(lambda: "lost" in protocol.told)
    assert protocol.told == ["made", "eof", "lost"]


async def test_close_sends_what_was_written_and_reads_no_more(
    transport: Transport, protocol: Protocol, theirs: socket.socket
) -> None:
    transport.write(LOTS)
    transport.close()
    assert transport.is_closing()
    transport.write(b"more")
    assert not transport.is_reading()
    assert await read(theirs, len(LOTS)) == LOTS
    await until(lambda: "lost" in protocol.told)
    assert protocol.told == ["made", "pause", "resume", "lost"]


async def test_abort_ends_at_once_and_is_told_in_the_next_turn(
    transport: Transport, protocol: Protocol, theirs: socket.socket
) -> None:
    transport.write(LOTS)
    transport.abort()
    transport.abort()
    transport.close()
    assert transport.is_closing()
    assert "lost" not in protocol.told
    await asyncio.sleep(0)
    assert protocol.told[-1] == "lost"
    assert protocol.told.count("lost") == 1
    assert protocol.error is None
    assert len(await read(theirs, len(LOTS))) < len(LOTS)


async def test_last_words_before_a_reset_are_heard_and_then_its_error(
    transport: Transport, protocol: Protocol, theirs: socket.socket
) -> None:
    words = b"w" * 40_000  # less than the kernel takes for a peer that reads nothing
    theirs.send(words)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    await until(lambda: "lost" in protocol.told)
    assert protocol.heard == words
    assert isinstance(protocol.error, ConnectionResetError)


async def test_a_write_to_a_peer_that_has_gone_is_an_end_also_while_paused(
    transport: Transport, protocol: Protocol, theirs: socket.socket
) -> None:
    transport.pause_reading()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    transport.write(b"one")
    transport.write(b"two")
    await until(lambda: "lost" in protocol.told)
    assert isinstance(protocol.error, ConnectionError)


async def test_a_bug_of_the_protocol_costs_its_connection_and_nobody_else_anything(
    transport: Transport, protocol: Protocol, theirs: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))

    def fail(data: bytes) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(protocol, "data_received", fail)
    theirs.send(b"one")
    await until(lambda: "lost" in protocol.told)
    assert told == ["internal error"]


async def test_addresses_are_known_beyond_the_end(
    transport: Transport, protocol: Protocol, theirs: socket.socket
) -> None:
    peer = theirs.getsockname()
    transport.abort()
    await until(lambda: "lost" in protocol.told)
    assert transport.get_extra_info("peername") == peer
    assert transport.get_extra_info("cipher") is None
