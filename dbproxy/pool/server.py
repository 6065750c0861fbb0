"""A server connection: who it is lent to, and the way back to its pool.

When nothing more is due the pool gets the server back, or, if something about it is in doubt, it is closed (promises 2
and 3 of docs/architecture.md). How replies reach the client is in pool.relay; how the connection ends in
pool.connection.
"""

from typing import TYPE_CHECKING, Any

from dbproxy.net.direct import monotonic
from dbproxy.net.link import PARTNER_FULL
from dbproxy.pool.audit import Audit
from dbproxy.pool.inquiry import conclude, inquire
from dbproxy.pool.parameters import BE_YOURSELF, NOTHING, Parameters
from dbproxy.pool.relay import Relay
from dbproxy.pool.states import CLOSED, TESTED
from dbproxy.wire import build
from dbproxy.wire.pipeline import KIND, SKIP, TAIL

if TYPE_CHECKING:
    from dbproxy.pool.pool import Pool


class Server(Relay):
    """One connection to PostgreSQL, as pool and client know it."""

    def __init__(self, pool: "Pool") -> None:
        Relay.__init__(self, pool)
        self.borrower: Any = None  # who was lent the server last, and when the one before was last answered
        self.left_at = 0.0
        self.lent_at = 0.0
        self.changed = False  # lent to another than the last time
        self.notifier: Any = None  # whose NOTIFY ran here last
        # Its client wants its request cancelled, which a Query of ours is ahead of.
        self.cancels_later = False

    # --- lending ---

    def lend(self, client: Any, now: float) -> None:
        self.changed = client is not self.borrower
        if self.changed:
            if self.borrower is not self.notifier:
                self.notifier = None
            if self.borrower is not None:
                self.left_at = self.busy_since
            self.borrower = client
        self.client = client
        self.lent_at = self.busy_since = self.xact_start = now
        self.served = 0
        self.told = self.forwarded = self.flushing = self.keeps_ready = self.cancels_later = False
        self.traces.begin_loan()

    def adopt(self, settings: Parameters) -> bytes:
        """What to send ahead of a client's first request, so that the server has the client's settings."""
        difference = settings.difference(self.settings)
        if self.traces.murky and self.changed:
            difference = "; ".join([BE_YOURSELF, "RESET ALL", *settings.steps(NOTHING)])
            self.traces.murky = False
        self.settings = settings
        if not difference:
            return b""
        self.stats.replay_count += 1
        self.pipeline.skip(ord("Q"), settings)
        self.statements.unnamed = None  # every Query ends the unnamed statement
        return build.query(difference)

    def cancel(self) -> bool:
        """Whether the client's request can be cancelled now; if not, it is once what is ours is out of the way."""
        entry = self.pipeline.peek()
        if self.pipeline.only_ours():
            return False
        self.cancels_later = entry & (KIND | SKIP | TAIL) == ord("Q") | SKIP
        return not self.cancels_later

    # --- SQL of ours ---

    def run_ours(self, *statements: str) -> None:
        """Between loans: run SQL whose replies nobody sees; the pool gets the server back when it is done."""
        self.client = None
        self.send_ours(*statements)

    def send_ours(self, *statements: str) -> None:
        """Run SQL whose replies nobody sees."""
        self.statements.unnamed = None
        for sql in statements:
            self.pipeline.skip(ord("Q"))
            self.write(build.query(sql))

    def settle(self) -> bool:
        """Nothing is due and no transaction is open: see to what was left behind. False if that is nothing.

        A server that is not to be lent again is closed with what is left there.
        """
        traces = self.traces
        if traces.effects:
            inquire(self)
        elif (traces.named or traces.listens) and not traces.pins and not self.condemned:
            self.send_ours(traces.leftovers())
        else:
            return False
        return True

    def conclude(self, note: Any) -> None:
        """A Query of our own is over."""
        if self.cancels_later and not self.pipeline.peek() & SKIP:
            self.cancels_later = False
            self.pool.cancel(self)
        if isinstance(note, Audit):
            conclude(self, note)

    # --- the way back ---

    def finish(self, now: float) -> None:
        """Nothing is due."""
        if self.retrying:
            self.retrying = False
            self.skipping = False
            self.client.retry()
        elif self.client is None:
            self.pool.checkin(self, now) if self.status == ord("I") else self.close("left in a transaction")
        elif self.client.finished(self.status):
            self.release(now)

    def release(self, now: float) -> None:
        """The loan is over; the server is clean."""
        self.client = None
        self.free(PARTNER_FULL)
        self.pool.checkin(self, now)

    def abandon(self, half_sent: bool) -> None:
        """The client has gone. Roll back and keep the connection where its state is known; close it where not."""
        if self.state == CLOSED:
            return
        self.client = None
        self.free(PARTNER_FULL)
        if half_sent or self.framer.left or self.retrying or not self.pipeline.only_ours():
            self.pool.cancel(self)
            self.transport.abort()  # type: ignore[union-attr]  # a goodbye would be taken for the rest of a message
            self.close("client left with a request open")
            return
        if self.pipeline.ignoring or self.forwarded:
            self.close("client left before Sync")  # a Sync of ours would commit what the client did not
            return
        if self.traces.spoiled:
            self.close("client left what cannot be undone")
            return
        self.used_at = monotonic()
        self.pool.move(self, TESTED)
        self.run_ours(*self.pool.cleaning(self) or [""])
        self.traces.clear()
