"""The far end of a connection: a socket that is read and written when the world says so, never by itself."""

import socket
from collections.abc import Callable
from contextlib import suppress

CHUNK = 65536  # bytes that are read at once
PEER = ("127.0.0.1", 50000)

Hear = Callable[[bytes], bytes]


class Near(socket.socket):
    """The proxy's end: half a pair, taken for TCP."""

    __slots__ = ()

    def getpeername(self) -> tuple[str, int]:
        return PEER

    def setsockopt(self, level: int, *option: object) -> None:  # type: ignore[override]  # of TCP a pair has none
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, *option)  # type: ignore[call-overload]  # as it was given


class Line:
    """`hear` is told what comes from the proxy, and says what goes back. `gone`: the proxy has closed its end."""

    def __init__(self, sock: socket.socket, hear: Hear) -> None:
        self.sock = sock
        self.hear = hear
        self.backlog = bytearray()
        self.left = False
        self.gone = False
        sock.setblocking(False)

    def say(self, data: bytes) -> None:
        if not (self.left or self.gone):
            self.backlog += data
            self.write()

    def write(self) -> bool:
        """Whether anything was taken."""
        if not self.backlog or self.gone:
            return False
        try:
            del self.backlog[: self.sock.send(self.backlog)]
        except BlockingIOError:
            return False
        except OSError:  # the proxy does not read any more
            self.backlog.clear()
        return True

    def turn(self) -> bool:
        """Hear and answer what has come; whether anything happened."""
        if self.gone:
            return False
        moved = self.write()
        try:
            heard = self.sock.recv(CHUNK)
        except BlockingIOError:
            return moved
        except ConnectionResetError:
            heard = b""
        if heard:
            self.say(self.hear(heard))
        else:
            self.gone = True
            self.sock.close()
        return True

    def hang_up(self) -> None:
        """Say no more, but hear the rest."""
        if not (self.left or self.gone):
            self.left = True
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.gone = True
        self.sock.close()
