"""The bytes of a file or a pipe, unpacked, read ahead by a thread.

What they are packed by is seen at their first bytes. A thread, as neither a pipe nor a decompressor waits by asyncio;
it is a daemon, as a pipe may be silent for ever.
"""

import asyncio
import gzip
import io
import os
import threading
from importlib import import_module
from typing import Protocol

from dbproxy.errors import JobFailed, JobRefused

STDIN = "-"
BLOCK = 128 << 10  # bytes
AHEAD = 512 << 10  # bytes
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class Allowance:
    """How many bytes a thread may read ahead: it waits while `AHEAD` of them have not been taken."""

    def __init__(self) -> None:
        self.waiting = 0
        self.closed = False
        self.changed = threading.Condition()

    def wait(self) -> bool:
        """False if it is not to go on."""
        with self.changed:
            self.changed.wait_for(lambda: self.closed or self.waiting < AHEAD)
            return not self.closed

    def add(self, size: int) -> None:
        with self.changed:
            self.waiting += size
            self.changed.notify()

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify()


class Readable(Protocol):
    def read(self, size: int, /) -> bytes | None: ...


class Stream:
    """`path`: `-` is standard input."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.size = 0  # bytes of the file as it lies there; 0 of a pipe
        self.packed = False
        self.raw: Peeked | None = None
        self.blocks: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.allowance = Allowance()
        self.thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        return "standard input" if self.path == STDIN else self.path

    @property
    def can_reopen(self) -> bool:
        return self.path != STDIN

    async def open(self) -> None:
        """JobRefused if there is nothing to read, or not as it is packed."""
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = loop.create_future()
        arguments = (loop, opened, self.blocks, self.allowance)
        self.thread = threading.Thread(target=self._read_ahead, args=arguments, daemon=True, name="input")
        self.thread.start()
        await opened

    async def read(self, patience: float) -> bytes | None:
        """The next bytes, b"" at the end; None if nothing came for so many seconds. JobFailed if it is broken."""
        try:
            async with asyncio.timeout(patience):
                block = await self.blocks.get()
        except TimeoutError:
            return None
        if isinstance(block, Exception):
            self.blocks.put_nowait(block)  # the last one: whoever reads on is told the same
            raise JobFailed(
                f"{self.name} cannot be read further: {block or type(block).__name__}",
                hint="What was loaded stays: once it is whole, the same words go on with it.",
            )
        self.allowance.add(-len(block))
        return block

    async def reopen(self) -> None:
        """From the beginning."""
        await self.close()
        self.blocks, self.allowance = asyncio.Queue(), Allowance()
        await self.open()

    async def close(self) -> None:
        """A pipe that is silent is left to its thread."""
        self.allowance.close()
        if self.thread is not None:
            await asyncio.to_thread(self.thread.join, 0.1)

    def _open(self) -> "tuple[Readable, Peeked]":
        try:
            raw = (
                open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115
                if self.path == STDIN
                else open(self.path, "rb", buffering=0)  # noqa: PTH123, SIM115
            )
            self.size = os.fstat(raw.fileno()).st_size if raw.seekable() else 0
            self.raw = peeked = Peeked(raw)
            head = peeked.peek(len(ZSTD))
        except OSError as error:
            raise JobRefused(f"{self.name} cannot be read: {error.strerror or error}") from None
        self.packed = head.startswith((GZIP, ZSTD))
        if head.startswith(GZIP):
            return gzip.GzipFile(fileobj=io.BufferedReader(peeked, BLOCK)), peeked
        return (open_zstd(peeked) if head.startswith(ZSTD) else peeked), peeked

    def _read_ahead(
        self, loop: asyncio.AbstractEventLoop, opened: "asyncio.Future[None]",
        blocks: "asyncio.Queue[bytes | Exception]", allowance: Allowance,
    ) -> None:  # fmt: skip
        """Open it, too: a pipe may be silent from its first byte on."""
        try:
            try:
                source, raw = self._open()
            except Exception as error:  # whoever opens it waits for a word
                loop.call_soon_threadsafe(settle, opened, error)
                return
            loop.call_soon_threadsafe(settle, opened)
            with raw:
                read = getattr(source, "read1", source.read)
                while allowance.wait():
                    try:
                        block: bytes | Exception = read(BLOCK) or b""
                    except Exception as error:  # of any decompressor
                        block = error
                    loop.call_soon_threadsafe(blocks.put_nowait, block)
                    if not block or isinstance(block, Exception):
                        return
                    allowance.add(len(block))
        except RuntimeError:  # the loop is closed
            return


def settle(opened: "asyncio.Future[None]", error: Exception | None = None) -> None:
    """Unless nobody waits any more."""
    if opened.done():
        return
    if error is None:
        opened.set_result(None)
    else:
        opened.set_exception(error)


class Peeked(io.RawIOBase):
    """A stream whose first bytes were looked at; `taken`: how many were read."""

    def __init__(self, raw: io.FileIO) -> None:
        super().__init__()
        self.raw = raw
        self.head = b""
        self.taken = 0

    def close(self) -> None:
        self.raw.close()
        super().close()

    def readable(self) -> bool:
        return True

    def peek(self, size: int) -> bytes:
        while len(self.head) < size and (more := self.raw.read(size - len(self.head))):
            self.head += more
        return self.head

    def readinto(self, buffer: "memoryview | bytearray", /) -> int:  # type: ignore[override]
        if self.head:
            size = min(len(buffer), len(self.head))
            buffer[:size], self.head = self.head[:size], self.head[size:]
        else:
            size = self.raw.readinto(buffer) or 0
        self.taken += size
        return size


def open_zstd(raw: Peeked) -> Readable:
    """JobRefused if Python cannot unpack it."""
    for name in ("compression.zstd", "backports.zstd"):  # of Python 3.14, and for those before it
        try:
            module = import_module(name)
        except ImportError:
            continue
        found: Readable = module.ZstdFile(io.BufferedReader(raw, BLOCK))
        return found
    raise JobRefused(
        "the input is packed by zstd, for which this Python has no module",
        hint="pip install 'dbproxy[zstd]', or unpack it: zstd -dc FILE | dbproxy batch load -",
    )
