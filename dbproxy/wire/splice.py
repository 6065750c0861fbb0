# cython: boundscheck=False, wraparound=False
"""What becomes of a chunk: which parts of it move on, and what is put between them.

A chunk moves on whole, as the object that it is, unless something was dropped or put in: then the parts are joined
once. Offsets only grow from call to call. What is dropped stays dropped until `keep`, over any number of chunks: the
rows of a reply that nobody is to see have no marks.
"""

from dbproxy.wire.extended import cut, join


class Splice:
    """Of one direction of one connection. `position`: from where on the chunk at hand has not been dealt with."""

    def __init__(self) -> None:
        self.chunk = b""
        self.position = 0
        self.dropping = False
        self.pieces: list[bytes] | None = None

    def begin(self, chunk: bytes, position: int = 0) -> None:
        """The next chunk; what is ahead of `position` has been dealt with."""
        self.chunk = chunk
        self.position = position
        self.pieces = None

    def upto(self, at: int) -> list[bytes]:
        """The pieces with what is kept ahead of `at`, to be added to."""
        if self.pieces is None:
            self.pieces = []
        if at > self.position:
            if not self.dropping:
                self.pieces.append(cut(self.chunk, self.position, at))
            self.position = at
        return self.pieces

    def keep(self, at: int) -> None:
        """What begins at `at` moves on."""
        if self.dropping:
            self.position = max(self.position, at)
            self.dropping = False

    def drop(self, at: int) -> None:
        """What begins at `at` does not move on."""
        if not self.dropping:
            if at > self.position:
                self.upto(at)
            self.dropping = True

    def skip(self, at: int, stop: int) -> None:
        """The bytes from `at` to `stop` do not move on."""
        if at > self.position:
            self.upto(at)
        self.position = stop

    def insert(self, at: int, data: bytes) -> None:
        """`data` goes ahead of `at`, whatever becomes of what is there."""
        self.upto(at).append(data)

    def replace(self, at: int, stop: int, data: bytes) -> None:
        """`data` goes instead of the bytes from `at` to `stop`."""
        self.upto(at).append(data)
        self.position = stop

    def forget(self, at: int) -> None:
        """Nothing ahead of `at` moves on, whatever was said of it."""
        self.pieces = None
        self.position = at

    def is_left(self, end: int) -> bool:
        """Whether anything of what is there up to `end` has not been taken or dropped."""
        return self.pieces is not None or end > self.position

    def take(self, end: int) -> bytes:
        """What moves on of all up to `end`; the next call goes on from there."""
        pieces = self.pieces
        position = self.position
        self.position = end
        if pieces is None:
            if self.dropping or end <= position:
                return b""
            return self.chunk if not position and end == len(self.chunk) else cut(self.chunk, position, end)
        self.pieces = None
        if end > position and not self.dropping:
            pieces.append(cut(self.chunk, position, end))
        return join(pieces)
