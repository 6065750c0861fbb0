"""Nobody waits for whoever reads the log."""

import io
import os
import select
import socket
import threading
from collections.abc import Iterator

import pytest

from dbproxy.observe.sink import Sink


class Line:
    """A stream into a pipe or socket, and its other end."""

    def __init__(self, kind: str) -> None:
        if kind == "pipe":
            self.reading, writing = os.pipe()
        elif kind == "socket":
            one, other = socket.socketpair()
            self.reading, writing = one.detach(), other.detach()
        else:
            self.reading, writing = os.openpty()
        os.set_blocking(writing, kind != "socket")
        self.stream = os.fdopen(writing, "w", encoding="utf-8")  # the fixture closes it

    def read_up_to(self, last: str) -> list[str]:
        """The lines up to this one; where what was written is on its way yet, it is awaited."""
        found = b""
        while not found.endswith(f"{last}\n".encode()):
            assert select.select([self.reading], [], [], 20)[0], found[-100:]
            found += os.read(self.reading, 65536).replace(b"\r\n", b"\n")
        return found.decode().splitlines()


@pytest.fixture(params=["pipe", "socket", "terminal"])
def line(request: pytest.FixtureRequest) -> Iterator[Line]:
    made = Line(request.param)
    yield made
    os.close(made.reading)
    made.stream.close()


def texts(count: int) -> list[str]:
    return [f"{number} {'x' * (number * 37 % 9000)}" for number in range(count)]


@pytest.mark.timeout(60)
def test_line_that_does_not_fit_is_lost_and_nobody_waits(line: Line):
    sink, told = Sink(line.stream), texts(500)
    for text in told:
        sink.write(text)
    assert 0 < sink.lost < 500
    written = 500 - sink.lost
    reader = threading.Thread(target=lambda: found.extend(line.read_up_to("the last")))
    found: list[str] = []
    reader.start()
    while reader.is_alive():  # what was begun is ended as soon as there is room
        sink.write("the last")
    reader.join()
    assert found[:written] == [text for text in told if text in found]  # each of them whole
    assert set(found[written:]) == {"the last"}


def test_what_is_read_all_comes(line: Line):
    sink, told = Sink(line.stream), [f"{text[:2000]}." for text in texts(100)]
    for text in told:
        sink.write(text)
        assert line.read_up_to(text) == [text]
    assert sink.lost == 0


def test_what_cannot_be_spelled_is_escaped(line: Line):
    Sink(line.stream).write("\udce9t\u00e9")
    assert line.read_up_to("t\u00e9") == ["\\udce9t\u00e9"]


def test_reader_that_has_gone_costs_lines_alone():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        sink = Sink(stream)
        sink.write("nobody")
    assert sink.lost == 1


def test_what_is_no_file_is_written_to():
    stream = io.StringIO()
    Sink(stream).write("here")
    assert stream.getvalue() == "here\n"
