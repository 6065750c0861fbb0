import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbproxy.errors import ConfigurationError
from dbproxy.net import activation
from dbproxy.net.activation import find_entries, show_address, take_sockets

OURS = 4711


def given(names: str | None, count: object = None) -> dict[str, str]:
    environ = {"LISTEN_PID": str(OURS), "LISTEN_FDS": str(count if count is not None else 1)}
    return environ if names is None else environ | {"LISTEN_FDNAMES": names}


@pytest.mark.parametrize(
    ("environ", "entries"),
    [
        ({}, []),
        (given("postgresql"), ["postgresql"]),
        (given("read-only:http:postgresql:postgresql", 4), ["read-only", "http", "postgresql", "postgresql"]),
        (given("dbproxy.socket"), ["postgresql"]),
        (given("unknown:", 2), ["postgresql", "postgresql"]),
        (given(None, 2), ["postgresql", "postgresql"]),
        (given("", 0), []),
        (given(None, 0), []),
        (given("metrics") | {"LISTEN_PID": "4712"}, []),
        (given("metrics") | {"LISTEN_PID": ""}, []),
    ],
)
def test_entries_are_named_by_the_manager(environ: dict[str, str], entries: list[str]):
    assert find_entries(environ, OURS) == entries


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (given("metrics"), 'named "metrics"'),
        (given("other.socket"), 'named "other.socket"'),
        (given("http", 2), "1 names for 2 sockets"),
        (given("http", "many"), 'LISTEN_FDS is "many"'),
        (given("http", "-1"), 'LISTEN_FDS is "-1"'),
        (given("http", ""), 'LISTEN_FDS is ""'),
    ],
)
def test_what_is_not_understood_is_refused(environ: dict[str, str], said: str):
    with pytest.raises(ConfigurationError, match=said):
        find_entries(environ, OURS)


@pytest.fixture
def descriptors(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A listening TCP socket's, a Unix one's, a connected one's, a datagram's and a pipe's, one behind the other."""
    first, *others = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix, first:
        unix.bind("\0dbproxy-test-activation")
        unix.listen()
        datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        reading, writing = os.pipe()
        with others[0], datagram:
            kinds = [tcp.fileno(), unix.fileno(), first.fileno(), datagram.fileno(), reading]
            yield [os.dup(kind) for kind in kinds]
        os.close(reading)
        os.close(writing)


def hand_over(monkeypatch: pytest.MonkeyPatch, descriptor: int) -> dict[str, list[socket.socket]]:
    monkeypatch.setattr(activation, "FIRST", descriptor)
    return take_sockets(given("postgresql"), OURS)


def test_socket_that_is_listened_on_is_taken_and_no_child_inherits_it(
    monkeypatch: pytest.MonkeyPatch, descriptors: list[int]
):
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    taken = [hand_over(monkeypatch, descriptor)["postgresql"][0] for descriptor in descriptors[:2]]
    assert [sock.fileno() for sock in taken] == descriptors[:2]
    assert not any(sock.get_inheritable() for sock in taken)
    assert [sock.family for sock in taken] == [socket.AF_INET, socket.AF_UNIX]
    for sock in taken:
        sock.close()
    for descriptor in descriptors[2:]:
        os.close(descriptor)


def test_what_is_no_listening_stream_is_refused_and_left_open(
    monkeypatch: pytest.MonkeyPatch, descriptors: list[int]
):
    for descriptor, said in zip(descriptors[2:], ("Accept=no", "ListenStream=", "no socket"), strict=True):
        with pytest.raises(ConfigurationError) as caught:
            hand_over(monkeypatch, descriptor)
        assert said in f"{caught.value.message} {caught.value.hint}"
        os.fstat(descriptor)
    for descriptor in descriptors:
        os.close(descriptor)


def test_variables_are_not_for_children():
    environ = given("postgresql") | {"LISTEN_PID": "1", "PATH": "/bin"}
    assert take_sockets(environ, OURS) == {}
    assert environ == {"PATH": "/bin"}


def test_address_is_shown_as_one_writes_it(tmp_path: Path):
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        unix.bind(str(tmp_path / "socket"))
        abstract.bind("\0dbproxy-test-name")
        assert show_address(tcp) == f"127.0.0.1:{tcp.getsockname()[1]}"
        assert show_address(unix) == f"{tmp_path}/socket"
        assert show_address(abstract) == "@dbproxy-test-name"
