"""What may intervene before a request is given a server, and what only hears of it.

A *gate* is asked once for each request that needs a server, before one is taken; it is the only place where anything
may intervene: limits, a cache, routing. It says

    GO                    the next gate is asked; behind the last one a server is taken
    Answer(data)          the request is answered by these bytes, behind which we say ReadyForQuery; no server is asked
    Refuse(error)         it fails with this error; the connection stays, if the error allows it
    Delay(until)          it is asked again at this time (monotonic seconds)
    Await(work)           it is asked again once this is done; what the work raises refuses the request

A gate that wants to see all of a request says GO to one that is not whole yet, and answers only those that are. It
never waits by itself: it runs on the data path. What goes to a server that its client holds already (behind a request
that was let go, in a transaction, with a pin) is not asked about, but for what the gate of kept answers is asked inside
a transaction (session.browsing). A *listener* hears of each request that was answered, by a server or by a gate, and
never intervenes.
"""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeAlias, TypeVar

from dbproxy.errors import ProxyError

Request = TypeVar("Request", contravariant=True)
Session = TypeVar("Session", contravariant=True)


@dataclass(frozen=True, slots=True)
class Go:
    """Nothing to object to."""


@dataclass(slots=True)  # to freeze each would cost as much again as to make it
class Answer:
    data: bytes


@dataclass(frozen=True, slots=True)
class Refuse:
    error: ProxyError


@dataclass(frozen=True, slots=True)
class Delay:
    until: float


@dataclass(frozen=True, slots=True)
class Await:
    work: Awaitable[object] = field(compare=False)


Verdict: TypeAlias = Go | Answer | Refuse | Delay | Await
GO = Go()


class Gate(Protocol, Generic[Request, Session]):
    """One thing that may intervene."""

    def before(self, request: Request, session: Session, now: float) -> Verdict:
        """What becomes of a request that needs a server."""

    def after(self, request: Request) -> None:
        """It is over, or was given up; of those that this gate has let go, each one once."""


class Listener(Protocol, Generic[Request]):
    """One thing that only hears."""

    def hear(self, request: Request) -> None:
        """A request is over."""
