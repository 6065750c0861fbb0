"""Where log lines are written, without waiting: a pipe that nobody reads must not hold up the clients' queries.

What fits into a pipe is written; a line that does not is lost, and counted. Where poll says that a pipe or socket can
be written to there is room for PIECE bytes (pipe(7): PIPE_BUF), so that a write of no more does not wait. Of a terminal
that is not true: it is opened anew, by a file description that is not others', too, and so may be set not to wait.
"""

import os
import select
import stat
from threading import RLock
from typing import TextIO

PIECE = 4096  # bytes


class Sink:
    """The one place that writes."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.pipe = find_pipe(stream)
        self.lost = 0

    def write(self, line: str) -> None:
        try:
            if self.pipe is not None:
                self.lost += not self.pipe.write(f"{line}\n".encode(errors="backslashreplace"))
            else:
                self.stream.write(line + "\n")
                self.stream.flush()
        except (OSError, ValueError):  # disk full, pipe or file closed, characters the stream cannot encode
            self.lost += 1


class Pipe:
    """Or a socket or terminal: what may have somebody at its other end, who does not read."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.rest = b""  # of a line that has been begun
        self.lock = RLock()  # threads write, too
        self.poll = select.poll()
        self.poll.register(number, select.POLLOUT)

    def write(self, line: bytes) -> bool:
        """Whether it was written, or at least begun. OSError if nobody can read it."""
        with self.lock:
            left = self.rest + line
            while left and self.poll.poll(0):
                try:
                    left = left[os.write(self.number, left[:PIECE]) :]
                except BlockingIOError:
                    break
            begun = len(left) < len(line) or not line
            self.rest = left if begun else left[: len(left) - len(line)]
            return begun


def find_pipe(stream: TextIO) -> Pipe | None:
    """None: a file, whose writer does not wait for a reader, or no file at all."""
    try:
        stream.flush()
        number = stream.fileno()
        mode = os.fstat(number).st_mode
        if os.isatty(number):
            return Pipe(os.open(os.ttyname(number), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))
    except (OSError, ValueError, AttributeError):
        return None
    return Pipe(number) if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None
