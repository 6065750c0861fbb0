"""One connection of a hub: what it was asked, and how far that is answered. The next one begins anew."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from dbproxy.errors import ServerRefused
from dbproxy.pool.login import refusal
from dbproxy.pool.server import Server
from dbproxy.session.channels import Channel
from dbproxy.wire import build
from dbproxy.wire.extended import length_at
from dbproxy.wire.framer import server_framer
from dbproxy.wire.startup import parse_error_response

# What a statement is about: a channel, or what is called once it is answered.
Subject = Channel | Callable[[], None] | None


class Receiver:
    """Of one server, which was lent at `now`."""

    def __init__(self, server: Server, now: float) -> None:
        self.server = server
        self.framer = server_framer()
        self.sent: deque[Subject] = deque()  # what each ReadyForQuery will be about
        self.error: ServerRefused | None = None  # that the statement at hand has failed with
        self.served_at = self.heard_at = now
        self.asked_at = 0.0

    def ask(self, statements: Iterable[tuple[str, Subject]], now: float) -> None:
        """Send each as a Query of its own."""
        if not self.sent:
            self.asked_at = now
        texts = []
        for text, subject in statements:
            self.server.dialogue.pipeline.expect(
                ord("Q")
            )  # with no request: it is no client's, and not counted
            self.sent.append(subject)
            texts.append(build.query(text))
        self.server.write(b"".join(texts))

    def read(self, data: bytes, now: float) -> Iterator[bytes]:
        """The messages in it: each NotificationResponse, ErrorResponse and ReadyForQuery."""
        self.heard_at = now
        marks = self.framer.feed(data)
        chunk = self.framer.chunk
        for mark in marks:
            at = mark >> 8
            if mark & 255 in b"AEZ":
                yield chunk[at : at + length_at(chunk, at)]

    def fail(self, message: bytes) -> None:
        """An ErrorResponse has come."""
        self.error = refusal(parse_error_response(message[5:]))

    def take_answered(self) -> tuple[Subject, ServerRefused | None]:
        """What the oldest statement was about, and the error that it has failed with."""
        error, self.error = self.error, None
        return self.sent.popleft(), error

    def give_up(self) -> None:
        """Nothing is answered any more: who has waited for that is called."""
        sent, self.sent = self.sent, deque()
        for subject in sent:
            if subject is not None and not isinstance(subject, Channel):
                subject()

    def quiet_since(self) -> float:
        return max(self.heard_at, self.asked_at)
