import socket
import time
from collections.abc import Iterator

import pytest

from dbproxy.net.direct import has_news, monotonic, send_now


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def test_what_is_sent_arrives(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    assert send_now(ours.fileno(), b"hello") == 5
    assert theirs.recv(10) == b"hello"


def test_a_full_socket_takes_a_part_and_then_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    data = b"x" * 10_000_000
    assert 0 < send_now(ours.fileno(), data) < len(data)
    assert send_now(ours.fileno(), data) == 0


def test_a_broken_socket_takes_nothing_and_raises_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.close()
    assert send_now(ours.fileno(), b"hello") == 0


def test_a_silent_connection_has_no_news(pair: tuple[socket.socket, socket.socket]) -> None:
    assert not has_news(pair[0].fileno())


def test_bytes_and_the_end_are_news_and_stay_unread(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.send(b"x")
    assert has_news(ours.fileno())
    assert ours.recv(10) == b"x"
    theirs.close()
    assert has_news(ours.fileno())


def test_the_clock_is_the_one_of_the_standard_library() -> None:
    before = time.monotonic()
    assert before <= monotonic() <= time.monotonic()
