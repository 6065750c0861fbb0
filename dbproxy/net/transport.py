"""A connection's socket, read and written without the loop: stands where an asyncio transport stands.

What is written goes straight to the kernel; only what it does not take is kept here until it does. Over HIGH the
protocol is told to pause, under LOW to go on. The end of the connection is told once, and later: not amid a call.
"""

import asyncio
import os
import socket
from typing import Any

from dbproxy.net.direct import receive, send_now
from dbproxy.net.loop import poller_of
from dbproxy.net.poller import READABLE, WRITABLE, Poller, Watcher

HIGH = 65536  # bytes kept, over which the protocol is told to pause
LOW = 16384

OPEN, ENDED, CLOSING, LOST = range(4)  # the phases of a connection; ENDED: the peer sends no more


class Receiver:
    """A protocol; compiled, what has come is handed to it by a C call."""

    def data_received(self, data: bytes) -> None:
        raise NotImplementedError


class Transport(Watcher):
    """Of a connected socket that does not block; it is the transport's from now on.

    One that was accepted is given by its descriptor, with its peer's name; it delays nothing (net.listen).
    """

    def __init__(
        self,
        sock: socket.socket | int,
        protocol: Any,
        peername: Any = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self.poller: Poller = poller_of(self.loop)
        self.protocol = protocol
        self.receiver: Receiver | None = protocol if isinstance(protocol, Receiver) else None
        self.sock: socket.socket | None = None
        self.peername = peername
        if isinstance(sock, int):
            self.fd = sock
        else:
            self.own(sock)
        self.backlog = bytearray()
        self.events = 0  # that are heard of
        self.reading = True
        self.phase = OPEN
        self.error: OSError | None = None  # that has broken it
        self.full = False  # the protocol has been told to pause
        protocol.connection_made(self)
        self.watch()

    def own(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.peername = _ask(sock.getpeername)  # while it is there
        if isinstance(self.peername, tuple):  # not by a Unix socket
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # --- what is asked of it ---

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "peername":
            return self.peername
        if name == "sockname":
            return _ask(self.open().getsockname)
        return self.open() if name == "socket" else default

    def open(self) -> socket.socket:
        """The socket as Python knows it: one that was accepted is none until somebody asks."""
        if self.sock is None:
            self.sock = socket.socket(fileno=self.fd)
        return self.sock

    def get_write_buffer_size(self) -> int:
        return len(self.backlog)

    def is_closing(self) -> bool:
        return self.phase >= CLOSING

    def is_reading(self) -> bool:
        return self.reading and self.phase == OPEN

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol
        self.receiver = protocol if isinstance(protocol, Receiver) else None

    # --- reading ---

    def pause_reading(self) -> None:
        self.reading = False
        self.watch()

    def resume_reading(self) -> None:
        self.reading = True
        self.watch()

    def watch(self) -> None:
        """Hear of what is wanted, and of no more."""
        wanted = READABLE if self.reading and self.phase == OPEN else 0
        if self.backlog and self.phase != LOST:
            wanted |= WRITABLE
        if wanted != self.events:
            before, self.events = self.events, wanted
            self.poller.watch(self.fd, self, wanted, before)

    def ready(self, events: int) -> None:
        try:
            if events & ~WRITABLE and self.events & READABLE:
                self.read()
            if events & ~READABLE and self.events & WRITABLE:
                self.flush()
        except OSError as error:
            self.lose(error)
        except Exception as error:  # a bug of ours costs this connection, and nobody else anything
            self.loop.call_exception_handler({"message": "internal error", "exception": error})
            self.lose(None)

    def read(self) -> None:
        data = receive(self.fd)
        if data:
            if self.receiver is not None:
                self.receiver.data_received(data)
            else:
                self.protocol.data_received(data)
        elif data is not None:
            self.phase = ENDED
            self.watch()
            if not self.protocol.eof_received():
                self.close()

    # --- writing ---

    def write(self, data: bytes) -> None:
        if self.phase >= CLOSING:
            return  # a descriptor that is closed may be somebody else's by now
        if not self.backlog:
            sent = send_now(self.fd, data)
            if sent == len(data):
                return
            data = data[sent:]
        self.keep(data)

    def write_later(self, data: bytes) -> None:
        """Once more may have come to be written."""
        if self.phase < CLOSING:
            self.keep(data)

    def keep(self, data: bytes) -> None:
        """Until the kernel takes it; if it is broken, that is found out then."""
        self.backlog += data
        self.watch()
        if len(self.backlog) > HIGH and not self.full:
            self.full = True
            self.protocol.pause_writing()

    def flush(self) -> None:
        try:
            sent = os.write(self.fd, self.backlog)
        except BlockingIOError:
            return
        del self.backlog[:sent]
        if self.full and len(self.backlog) <= LOW:
            self.full = False
            self.protocol.resume_writing()
        if not self.backlog:
            self.watch()
            if self.phase == CLOSING:
                self.lose(None)

    # --- the end ---

    def close(self) -> None:
        """Nothing is read any more; what is kept is still written."""
        if self.phase < CLOSING:
            self.phase = CLOSING
            if self.backlog:
                self.watch()
            else:
                self.lose(None)

    def abort(self) -> None:
        """At once."""
        self.lose(None)

    def lose(self, error: OSError | None) -> None:
        if self.phase != LOST:
            self.phase = LOST
            self.events = 0  # what is heard of it until it is closed is about nothing
            self.backlog.clear()
            self.error = error
            self.poller.bury(self)

    def end(self) -> None:
        protocol, self.protocol, self.receiver = self.protocol, None, None
        try:
            protocol.connection_lost(self.error)
        except Exception as error:  # as above
            self.loop.call_exception_handler({"message": "internal error", "exception": error})
        finally:
            self.close_socket()

    def close_socket(self) -> None:
        """With that the kernel does not watch it any more, either."""
        fd, self.fd = self.fd, -1
        self.poller.forget(fd, self)
        if self.sock is not None:
            self.sock.close()
        else:
            os.close(fd)


def _ask(name: Any) -> Any:
    try:
        return name()
    except OSError:  # it has gone already
        return None
