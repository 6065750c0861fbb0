"""LISTEN in transaction pooling: one server connection of a database, on which all is heard that any client listens to.

A client's LISTEN is `hear`, which returns when the server listens, and then `subscribe`, when its transaction commits.
Each channel is a LISTEN of its own, sent behind those that are under way: they need not wait for each other, one that
fails harms no other, and an UNLISTEN is never overtaken by the LISTEN that follows it. A connection that was lost is
opened again by its pool; when all is heard again, who may have missed something is told so.

What is not as on a direct connection:
- Texts are in UTF-8, whatever a client's `client_encoding`: whoever has another one has to transcode them.
- A notification that was sent just before its LISTEN may come, too.
- The process id in it is the sender's where that is certain (session.senders).
"""

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic

import structlog

from dbproxy.config import PoolSettings
from dbproxy.errors import AdminShutdown, ProxyError, QueryWaitTimeout, ServerRefused, TooManyConnections
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.pool import Pool
from dbproxy.pool.server import Server
from dbproxy.session.channels import (
    HEARD,
    WANTED,
    Channel,
    Listener,
    Subscriptions,
    channel_of,
    check_name,
    quote,
)
from dbproxy.session.receiver import Receiver, Subject
from dbproxy.wire import build

log = structlog.get_logger(__name__)

STARTUP = {"client_encoding": "UTF8", "application_name": "dbproxy LISTEN"}  # of the hub's connection
SHORT_LIFE = 1.0  # seconds: a connection that was lost sooner is opened again by the sweep, not at once
LOST = build.notice_response(
    "notifications may have been lost: the listening connection to the server was re-established",
    severity="WARNING",
    sqlstate="01000",
)


def limit(settings: PoolSettings) -> PoolSettings:
    """The settings of a hub's own pool: one connection."""
    return settings.model_copy(update={"size": 1, "min_pool_size": 0, "reserve_size": 0})


class Hub(Borrower):
    """`make_pool(user)` makes the hub's own pool; `find_sender(address, pid)` says which client a backend served."""

    impatient = True  # who waits in `hear` is told at once when no server can be reached

    def __init__(
        self, database: str, make_pool: Callable[[str], Pool], find_sender: Callable[[str, int], int]
    ) -> None:
        Borrower.__init__(self)
        self.database = database
        self.make_pool = make_pool
        self.find_sender = find_sender
        self.user = ""  # whose login the next pool uses
        self.pool: Pool | None = None
        self.receiver: Receiver | None = None  # the connection at hand
        self.subscriptions = Subscriptions()
        self.unneeded_since = 0.0
        self.received = self.delivered = 0  # notifications, and messages to listeners
        self.losses = 0  # of a connection on which somebody listened

    @property
    def channels(self) -> dict[str, Channel]:
        return self.subscriptions.channels

    @property
    def server(self) -> Server | None:
        return self.receiver.server if self.receiver is not None else None

    # --- what clients ask ---

    def keep(self, channels: Iterable[str]) -> bool:
        """Keep them for a while, if the server listens to all of them already; whether it does."""
        for name in channels:
            channel = self.channels.get(name)
            if channel is None or channel.state != HEARD:
                return False
            channel.unused_since = 0.0
        return True

    async def hear(self, channels: Iterable[str]) -> None:
        """Return once the server listens to all of them; ProxyError if it cannot be."""
        names = list(dict.fromkeys(channels))
        for name in names:
            check_name(name)
        if self.closed:
            raise AdminShutdown("the proxy is shutting down")
        if self.receiver is None:
            self.check_quotas()
        found = [self.subscriptions.find(name) for name in names]
        answers = [channel.await_answer() for channel in found if channel.state != HEARD]
        if answers:
            self.listen(found)
            await self.be_patient(answers)

    def check_quotas(self) -> None:
        """TooManyConnections where its connection would leave no place for a query."""
        self.pool = self.find_pool()
        quota = self.pool.share.find_bar() if not self.pool.size() else None
        if quota is not None:
            self.pool.stats.limits[quota.name] += 1
            raise TooManyConnections(
                f"LISTEN needs a server connection of its own, and {quota.name} of {quota.owner} leaves none",
                detail=f"{quota.name} is {quota.most}; {quota.standing} listen already, and one is for queries.",
            )

    async def be_patient(self, answers: list[asyncio.Future[None]]) -> None:
        assert self.pool is not None  # it was just asked
        patience = self.pool.settings.query_wait_timeout
        try:
            async with asyncio.timeout(patience or None):
                await asyncio.gather(*answers)
        except TimeoutError:
            raise QueryWaitTimeout(f"query_wait_timeout: LISTEN took {patience:g} s") from None

    def subscribe(self, listener: Listener, channels: Iterable[str], *, late: bool = False) -> None:
        """From now on the listener gets what comes. For a channel that was not heard it is told so, when it is.

        `late`: nobody could have known before, as a function ran the LISTEN; it is not told.
        """
        if not self.closed:
            self.listen([self.subscriptions.add(listener, name, late=late) for name in channels])

    def unsubscribe(self, listener: Listener, channels: Iterable[str]) -> None:
        self.subscriptions.remove(listener, channels)

    def leave(self, listener: Listener) -> None:
        """Unsubscribe from everything."""
        self.subscriptions.remove(listener, self.channels_of(listener))

    def channels_of(self, listener: Listener) -> set[str]:
        return set(self.subscriptions.names.get(listener, ()))

    # --- what is said to the server ---

    def listen(self, channels: Iterable[Channel]) -> None:
        """Ask for those that were not asked for yet, or for a connection, which asks for all."""
        wanted = [channel for channel in channels if channel.state == WANTED]
        if self.receiver is None:
            if wanted:
                self.connect(monotonic())
            return
        for channel in wanted:
            channel.ask()
        self.run([(f"LISTEN {quote(channel.name)}", channel) for channel in wanted])

    def catch_up(self, then: Callable[[], None]) -> None:
        """Call `then` once all has been delivered that was committed before: a backend tells it before it is ready."""
        if self.receiver is None:
            then()
        else:
            self.run([("", then)])

    def run(self, statements: list[tuple[str, Subject]]) -> None:
        """Send each as a Query of its own, if there is a connection."""
        if self.receiver is not None and statements:
            self.receiver.ask(statements, monotonic())

    def connect(self, now: float) -> None:
        """Wait for a connection, unless there is one or it is waited for."""
        if self.closed or self.receiver is not None:
            return
        pool = self.pool = self.find_pool()
        if self not in pool.waiting:
            server = pool.checkout(self, now)
            if server is not None:
                self.serve(server, now)

    def find_pool(self) -> Pool:
        """The pool; another if its login was refused, and somebody else's can be tried."""
        pool = self.pool
        if pool is None:
            return self.make_pool(self.user)
        if pool.user != self.user and not pool.size() and isinstance(pool.last_error, ServerRefused):
            pool.leave(self)
            return self.make_pool(self.user)
        return pool

    # --- what the server says ---

    def reply(self, data: bytes) -> None:
        receiver = self.receiver
        assert receiver is not None  # whose server says this
        for message in receiver.read(data, monotonic()):
            if message[0] == ord("A"):
                self.deliver(receiver.server, message)
            elif message[0] == ord("E"):
                receiver.fail(message)
            else:
                self.answered(*receiver.take_answered())

    def deliver(self, server: Server, message: bytes) -> None:
        """A NotificationResponse: to all who listen, with the sender's process id as its client knows it."""
        self.received += 1
        name = channel_of(message)
        channel = self.channels.get(name)
        if channel is None or not channel.listeners:
            return
        sender = self.find_sender(server.backend.address, int.from_bytes(message[5:9], "big"))
        message = message[:5] + sender.to_bytes(4, "big") + message[9:]
        listeners = tuple(channel.listeners)  # one may leave while it is told
        channel.delivered += len(listeners)
        self.delivered += len(listeners)
        for listener in listeners:
            try:
                listener.notify(message)
            except Exception:  # our own bug costs this listener its notification, and nobody else anything
                log.exception("internal error", database=self.database, channel=name)

    def answered(self, subject: Subject, error: ServerRefused | None) -> None:
        """The oldest statement is over."""
        if subject is not None and not isinstance(subject, Channel):
            subject()
        elif error is not None:
            error.severity = "ERROR"
            log.warning("LISTEN failed", database=self.database, sqlstate=error.sqlstate, error=error.message)
            if subject is not None:
                self.subscriptions.refuse(subject, error)
        elif subject is not None:
            subject.heard()

    # --- Borrower ---

    def serve(self, server: Server, now: float) -> None:
        self.receiver = Receiver(server, now)
        self.listen(self.channels.values())

    def refuse(self, error: ProxyError) -> None:
        """No connection for now; as long as somebody has subscribed it is tried again, when the pool thinks fit."""
        for channel in list(self.channels.values()):
            self.subscriptions.refuse(channel, error)
        if self.channels:
            self.connect(monotonic())

    def finished(self, status: int) -> bool:
        """All is answered; the hub keeps the server."""
        for listener in self.subscriptions.take_informed():
            try:
                listener.notice(LOST)
            except Exception:  # as in `deliver`
                log.exception("internal error", database=self.database)
        return False

    def server_lost(self, error: ProxyError, told: bool) -> None:
        receiver, self.receiver = self.receiver, None
        assert receiver is not None  # whose server that was
        receiver.give_up()
        self.losses += bool(self.subscriptions.names)
        self.subscriptions.interrupt()
        now = monotonic()
        if self.channels and now - receiver.served_at >= SHORT_LIFE:
            self.connect(now)

    def hold(self, reason: int) -> None:
        """A hub writes too little to be stopped."""

    def free(self, reason: int) -> None:
        """As above."""

    def renew(self) -> None:
        """Give up a connection that is not to be used any more: the pool is paused, or its settings have changed."""
        server, pool = self.server, self.pool
        if (
            server is not None
            and pool is not None
            and (pool.paused or server.upkeep.generation != pool.generation)
        ):
            server.close("paused" if pool.paused else pool.retired_for)

    def close(self) -> None:
        """The proxy stops."""
        self.closed = True
        for channel in list(self.channels.values()):
            self.subscriptions.refuse(channel, AdminShutdown("the proxy is shutting down"))
        if self.pool is not None:
            self.pool.leave(self)
        if self.server is not None:
            self.server.close("the proxy stops")
