"""Who listens to what: the channels of one database, without the connection on which they are heard.

PostgreSQL: LISTEN, NOTIFY. A name here is what a server would call the channel: folded and cut to 63 bytes already.
"""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from dbproxy.errors import ProtocolViolation, ProxyError

WANTED, ASKED, HEARD = range(3)  # LISTEN is to be sent, was sent, was confirmed
NAMES = ("wanted", "asked", "heard")
NAME_LIMIT = 63  # bytes (PostgreSQL's NAMEDATALEN - 1)


class Listener(Protocol):
    """Who subscribes. Both may be called once more in the turn of the loop in which it leaves.

    They never wait: who does not read what it is told has to be bounded by the listener (promise 7).
    """

    def notify(self, message: bytes) -> None:
        """A whole NotificationResponse, shared by all who get it; its texts are in UTF-8 (see session.hub)."""

    def notice(self, message: bytes) -> None:
        """A whole NoticeResponse."""


class Channel:
    """One channel of one database."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = WANTED
        self.listeners: dict[Listener, None] = {}
        self.waiting: list[asyncio.Future[None]] = []  # for the confirmation
        self.unused_since = 0.0
        self.delivered = 0  # messages to listeners

    def in_use(self) -> bool:
        return bool(self.listeners) or not all(answer.done() for answer in self.waiting)

    def expired(self, now: float, patience: float) -> bool:
        return self.state != ASKED and 0 < self.unused_since <= now - patience

    def ask(self) -> None:
        """LISTEN is sent."""
        self.state = ASKED

    def await_answer(self) -> asyncio.Future[None]:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(answer)
        return answer

    def heard(self) -> None:
        """The server listens."""
        self.state = HEARD
        for answer in self._take_waiting():
            answer.set_result(None)

    def refuse(self, error: ProxyError) -> None:
        """The server does not listen."""
        self.state = WANTED
        for answer in self._take_waiting():
            answer.set_exception(error)

    def _take_waiting(self) -> list[asyncio.Future[None]]:
        waiting, self.waiting = self.waiting, []
        return [answer for answer in waiting if not answer.done()]  # the others were given up


class Subscriptions:
    """Channels by name, names by listener, and `misled`: listeners that may have missed something."""

    def __init__(self) -> None:
        self.channels: dict[str, Channel] = {}
        self.names: dict[Listener, set[str]] = {}
        self.misled: dict[Listener, None] = {}

    def find(self, name: str) -> Channel:
        """The channel, to be used soon."""
        channel = self.channels.get(name)
        if channel is None:
            channel = self.channels[name] = Channel(name)
        channel.unused_since = 0.0
        return channel

    def add(self, listener: Listener, name: str, *, late: bool = False) -> Channel:
        channel = self.find(name)
        channel.listeners[listener] = None
        self.names.setdefault(listener, set()).add(name)
        if channel.state != HEARD and not late:
            self.misled[listener] = None
        return channel

    def remove(self, listener: Listener, names: Iterable[str]) -> None:
        own = self.names.get(listener, set())
        for name in own.intersection(names):
            own.discard(name)
            self.channels[name].listeners.pop(listener, None)
        if not own:
            self.names.pop(listener, None)
            self.misled.pop(listener, None)

    def refuse(self, channel: Channel, error: ProxyError) -> None:
        """Who waits for the channel is told; it is kept for who has subscribed."""
        channel.refuse(error)
        if not channel.listeners:
            del self.channels[channel.name]

    def interrupt(self) -> None:
        """Nothing is heard any more."""
        for channel in self.channels.values():
            channel.state = WANTED
        self.misled.update(dict.fromkeys(self.names))

    def take_informed(self) -> list[Listener]:
        """Those of the misled whose channels are all heard again."""
        informed = [listener for listener in self.misled if self._hears_all(listener)]
        for listener in informed:
            del self.misled[listener]
        return informed

    def _hears_all(self, listener: Listener) -> bool:
        return all(self.channels[name].state == HEARD for name in self.names[listener])

    def take_unused(self, now: float, patience: float) -> list[Channel]:
        """Give up the channels that nobody has used for `patience` seconds; those of them that the server hears."""
        for channel in self.channels.values():
            if channel.in_use():
                channel.unused_since = 0.0
            elif not channel.unused_since:
                channel.unused_since = now
        unused = [channel for channel in self.channels.values() if channel.expired(now, patience)]
        for channel in unused:
            del self.channels[channel.name]
        return [channel for channel in unused if channel.state == HEARD]


def check_name(name: str) -> None:
    """Raises what PostgreSQL would say, before other clients' LISTENs are at stake."""
    if not name:
        raise ProxyError("channel name cannot be empty", sqlstate="22023")
    if "\0" in name or len(name.encode("utf-8", "surrogateescape")) > NAME_LIMIT:
        raise ProxyError(f"channel name too long, or with a NUL: {name[:NAME_LIMIT]!r}", sqlstate="22023")


def channel_of(notification: bytes) -> str:
    """Of a whole NotificationResponse. ProtocolViolation if it is malformed."""
    name, _, payload = notification[9:].partition(b"\0")
    if payload.find(b"\0") != len(payload) - 1 or not payload:
        raise ProtocolViolation("malformed NotificationResponse message")
    return name.decode("utf-8", "surrogateescape")


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
