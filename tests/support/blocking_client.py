"""A client that speaks the protocol message by message, for tests that block; tests.support.speech has the messages.

It logs in where no password is asked for (`auth.type = trust`).
"""

import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from dbproxy.wire import build
from dbproxy.wire.startup import parse_error_response

TIMEOUT = 20.0
Message = tuple[str, bytes]


class BlockingClient:
    """Logged in once made; `status` is the transaction status that the last ReadyForQuery told."""

    def __init__(self, host: str, port: int, **parameters: str) -> None:
        self.host, self.port = host, port
        self.pid, self.key = 0, b""
        self.status = ""
        self.parameters: dict[str, str] = {}
        self.socket = self._connect()
        self.stream = self.socket.makefile("rb")
        self.send(build.startup_message(parameters))
        self.read_until_ready()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, *messages: bytes) -> None:
        self.socket.sendall(b"".join(messages))

    def ask(self, *messages: bytes) -> list[Message]:
        """Send, and the answer up to ReadyForQuery, which is not among it."""
        self.send(*messages)
        return self.read_until_ready()

    def values(self, sql: str) -> list[str | None]:
        """The first column of a simple query's rows; its error is raised."""
        answer = self.ask(build.query(sql))
        errors = [parse_error_response(payload) for kind, payload in answer if kind == "E"]
        assert not errors, errors
        return [first_value(payload) for kind, payload in answer if kind == "D"]

    def read(self) -> Message:
        """The next message; ConnectionError at the end."""
        header = self.stream.read(5)
        if len(header) < 5:
            raise ConnectionError("the proxy closed the connection")
        payload = self.stream.read(int.from_bytes(header[1:], "big") - 4)
        return chr(header[0]), payload

    def read_until_ready(self) -> list[Message]:
        answer: list[Message] = []
        while (message := self.read())[0] != "Z":
            answer.append(message)
            self._note(*message)
        self.status = message[1].decode()
        return answer

    def cancel(self) -> None:
        """Ask for a cancel; returns once it has been dealt with."""
        with self._connect() as line:
            line.sendall(build.cancel_request(self.pid, self.key))
            assert line.recv(1) == b""

    def vanish(self) -> None:
        """Break the connection as a crash would: a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._close()

    def close(self) -> None:
        with suppress(OSError):  # gone already
            self.send(build.terminate())
        self._close()

    def _close(self) -> None:
        self.stream.close()
        self.socket.close()

    def _connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=TIMEOUT)

    def _note(self, kind: str, payload: bytes) -> None:
        if kind == "K":
            self.pid, self.key = int.from_bytes(payload[:4], "big"), payload[4:]
        elif kind == "S":
            name, value, _ = payload.decode().split("\0")
            self.parameters[name] = value


def first_value(row: bytes) -> str | None:
    """Of a DataRow."""
    size = int.from_bytes(row[2:6], "big", signed=True)
    return None if size < 0 else row[6 : 6 + size].decode()


def error_of(answer: Sequence[Message]) -> dict[str, str]:
    """The first ErrorResponse's fields; empty if there is none."""
    return next((parse_error_response(payload) for kind, payload in answer if kind == "E"), {})
