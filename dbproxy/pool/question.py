"""A Query of our own, asked of a pool's server again and again: answered by a call, with no future and no task."""

from collections.abc import Callable
from time import monotonic

from dbproxy.errors import ProxyError
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.login import refusal
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.wire.extended import length_at
from dbproxy.wire.framer import server_framer
from dbproxy.wire.reply import row_values
from dbproxy.wire.startup import parse_error_response

Answer = bytes | ProxyError  # the first row's values, or why there are none


class Question(Borrower):
    """`answered` is called once for each time that it is asked, unless it is dropped."""

    impatient = True  # somebody's login waits: told at once when no server can be reached
    ours = True

    def __init__(self, pool: Pool, answered: Callable[[Answer], None]) -> None:
        Borrower.__init__(self)
        self.pool = pool
        self.answered = answered
        self.server: Server | None = None
        self.query = b""
        self.said: list[bytes] = []
        self.before = b""  # what was said the last time
        self.answer: Answer = b""  # and what that means

    def ask(self, query: bytes) -> None:
        """`query`: the whole message."""
        self.query = query
        now = monotonic()
        server = self.pool.checkout(self, now)
        if server is not None:
            self.serve(server, now)

    def drop(self) -> None:
        """Nobody wants to know any more."""
        self.pool.leave(self)
        server, self.server = self.server, None
        if server is not None:
            server.abandon(half_sent=False)

    # --- Borrower ---

    def serve(self, server: Server, now: float) -> None:
        self.server = server
        self.said.clear()
        server.dialogue.pipeline.expect(ord("Q"))  # with no request: it is no client's, and not counted
        server.dialogue.statements.unnamed = None
        server.write(self.query)

    def refuse(self, error: ProxyError) -> None:
        self.answered(error)

    def reply(self, data: bytes) -> None:
        self.said.append(data)

    def finished(self, status: int) -> bool:
        server, self.server = self.server, None
        if server is not None:
            server.dialogue.traces.effects = 0  # what it did to the session, it knows
            server.trail.last = None  # it notifies nobody
            server.release(monotonic())
            self.answered(self.read())
        return False

    def server_lost(self, error: ProxyError, told: bool) -> None:
        if self.server is not None:
            self.server = None
            self.answered(error)

    def hold(self, reason: int) -> None:
        """It writes too little to be stopped."""

    def read(self) -> Answer:
        """What was said means; mostly the same as the last time."""
        said = b"".join(self.said)
        if said != self.before:
            self.before, self.answer = said, read_answer(said)
        return self.answer


def read_answer(said: bytes) -> Answer:
    framer, answer = server_framer(), b""
    framer.look_at_rows()
    for mark in framer.feed(said):
        at = mark >> 8
        payload = framer.chunk[at + 5 : at + length_at(framer.chunk, at)]
        if mark & 255 == ord("E"):
            return refusal(parse_error_response(payload))
        if mark & 255 == ord("D"):
            answer = b"".join(row_values(payload))
    return answer
