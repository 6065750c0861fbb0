"""A server on the test's own event loop that leaves no connection behind.

asyncio's own loses a connection that it has accepted just before it is closed, and waits for those whose last bytes
nobody reads: the garbage collector finds their sockets in whichever test that comes, on the same worker.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from tests.support.peer import let_others_run

HOST = "127.0.0.1"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Door:
    """Whoever connects to `port` is served by `serve`, in a task for each; `tls`: encrypted from the first byte on."""

    def __init__(self, serve: Serve, tls: ssl.SSLContext | None = None) -> None:
        self.serve = serve
        self.tls = tls
        self.port = 0
        self.writers: list[asyncio.StreamWriter] = []  # of all who ever came
        self.tasks: set[asyncio.Task[None]] = set()  # of those who are being served
        self._entering: set[asyncio.Task[None]] = set()
        self._socket: socket.socket | None = None

    def listen(self) -> None:
        """After `stop` on the same port again."""
        self._socket = socket.create_server((HOST, self.port), backlog=100)
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._socket, self._accept, self._socket)

    def stop(self) -> None:
        """Refuse connections; open ones stay."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    async def end(self) -> None:
        """Refuse connections and break those that there are: nobody is served any more."""
        self.stop()
        if self._entering:
            await asyncio.wait(self._entering)
        await let_others_run()  # who has come in just now is served by then
        await break_off(self.writers)
        for task in self.tasks:  # most have heard of it, and ended by themselves
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)

    def _accept(self, listening: socket.socket) -> None:
        with suppress(BlockingIOError, ConnectionAbortedError):
            line, _ = listening.accept()
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            entering = asyncio.create_task(self._enter(line))
            self._entering.add(entering)
            entering.add_done_callback(self._entering.discard)

    async def _enter(self, line: socket.socket) -> None:
        def follow() -> asyncio.StreamReaderProtocol:
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._serve)

        with suppress(OSError):  # no handshake
            await asyncio.get_running_loop().connect_accepted_socket(follow, line, ssl=self.tls)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            await self.serve(reader, writer)
        finally:
            self.tasks.discard(task)


async def break_off(writers: Iterable[asyncio.StreamWriter]) -> None:
    """Returns once the sockets of all are closed, also of those that were about to send what nobody reads."""
    for writer in writers:
        writer.transport.abort()
    await let_others_run()  # the loop closes them in its next turns
