"""A connection to PostgreSQL: lent to one client at a time, and what we ask of it between two loans.

While it logs in, its messages go to a mailbox (pool.login); after that they are relayed (pool.relay).
"""

import asyncio

import structlog

from dbproxy.cache.writes import Writes
from dbproxy.errors import ProtocolViolation, ProxyError, ServerLost, SessionLost
from dbproxy.net.direct import monotonic
from dbproxy.net.link import PARTNER_FULL
from dbproxy.pool.answer import ANSWERED, OVER
from dbproxy.pool.audit import Audit
from dbproxy.pool.borrower import Borrower
from dbproxy.pool.dialogue import Dialogue
from dbproxy.pool.dues import ADOPT
from dbproxy.pool.inquiry import conclude, inquire
from dbproxy.pool.parameters import BE_YOURSELF, NOTHING, Parameters
from dbproxy.pool.pool import Pool
from dbproxy.pool.relay import Relay
from dbproxy.pool.request import Request
from dbproxy.pool.statements import ServerStatements
from dbproxy.pool.states import CLOSED, TESTED, Member
from dbproxy.sql.statement import ADVANCES
from dbproxy.wire import build
from dbproxy.wire.pipeline import KIND, SKIP, TAIL

log = structlog.get_logger(__name__)


class Server(Member):
    """One connection to PostgreSQL, as pool and client know it."""

    def __init__(self, pool: Pool) -> None:
        Member.__init__(self, pool.generation, Dialogue(ServerStatements(pool.tenant)))
        self.pool = pool
        self.relay = Relay(self, pool)

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.attach(transport)

    def data_received(self, data: bytes) -> None:
        try:
            if self.backend.mailbox is not None:
                self.post(data)
            else:
                self.hear(data)
        except ProtocolViolation as error:
            self.close(error.message)
        except SessionLost as error:
            self.close(error.message, error)
        except Exception:  # our own bug: the state of this server is in doubt, nobody else's is
            log.exception("internal error", server=self.id)
            self.close("internal error")

    def eof_received(self) -> None:
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self.close(f"connection lost: {error}" if error else "server closed the connection")

    def pause_writing(self) -> None:
        self.full = True
        if self.loan.client is not None:
            self.loan.client.hold(PARTNER_FULL)

    def resume_writing(self) -> None:
        self.full = False
        if self.loan.client is not None:
            self.loan.client.free(PARTNER_FULL)

    # --- what it says ---

    def post(self, data: bytes) -> None:
        """While logging in, whole messages go to the mailbox (pool.login reads it)."""
        framer, mailbox = self.relay.framer, self.backend.mailbox
        for mark in framer.feed(data):
            at = mark >> 8
            length = int.from_bytes(framer.chunk[at + 1 : at + 5], "big")
            mailbox.put_nowait((mark & 255, framer.chunk[at + 5 : at + 1 + length]))  # type: ignore[union-attr]

    def hear(self, data: bytes) -> None:
        """Relay what came, and see whether that has ended something."""
        state = self.relay.feed(data)
        if state == OVER:
            self.finish(self.relay.now)
        elif state == ANSWERED and self.loan.client is not None:
            self.loan.client.caught_up()

    def finish(self, now: float) -> None:
        """Nothing is due."""
        client = self.loan.client
        if self.relay.answer.retrying:
            self.relay.stop_retrying()
            client.retry()  # type: ignore[union-attr]  # whose request it is
        elif client is not None:
            if client.finished(self.dialogue.status):
                self.release(now)
        elif self.dialogue.in_transaction():
            self.close("left in a transaction")
        else:
            self.pool.checkin(self, now)

    # --- lending ---

    def watch(self) -> None:
        """See what it writes from now on, where answers are kept; a replica writes nothing."""
        fence = self.pool.tenant.fence
        if self.loan.writes is not None:
            self.loan.writes.lose(monotonic(), self.backend.pid)  # to another database's, until now
        if fence is None or self.pool.host is not None:
            self.loan.writes = None
            return
        writes = self.loan.writes = Writes(fence)
        dialogue = self.dialogue
        if dialogue.status != ord("I") or not dialogue.pipeline.empty():
            writes.note_unseen()

    def lend(self, client: Borrower, now: float) -> None:
        changed = self.trail.follow(client, self.loan.answered_at)
        self.loan.begin(client, changed, now)
        self.relay.answer.begin_loan()
        self.dialogue.begin_loan()

    def adopt(self, settings: Parameters) -> bytes:
        """What to send ahead of a client's first request, so that the server has the client's settings."""
        dialogue = self.dialogue
        difference = self.take_settings(settings, clean=self.loan.changed or self.loan.fill is not None)
        if not difference:
            return b""
        self.pool.stats.replay_count += 1
        dialogue.pipeline.skip(ord("Q"), ADOPT)
        dialogue.statements.unnamed = None  # every Query ends the unnamed statement
        return build.query(difference)

    def take_settings(self, settings: Parameters, clean: bool) -> str:
        """The SQL that gives it these settings; `clean`: and takes away what was set unseen."""
        dialogue = self.dialogue
        difference = settings.difference(dialogue.settings)
        if clean and dialogue.traces.has_unlisted_settings:
            difference = "; ".join([BE_YOURSELF, "RESET ALL", *settings.steps(NOTHING)])
            dialogue.traces.has_unlisted_settings = False
        dialogue.settings = settings
        return difference

    def cancel(self) -> bool:
        """Whether the client's request can be cancelled now; if not, it is once what is ours is out of the way."""
        entry = self.dialogue.pipeline.peek()
        if self.dialogue.only_ours():
            return False
        self.loan.cancels_later = entry & (KIND | SKIP | TAIL) == ord("Q") | SKIP
        return not self.loan.cancels_later

    def release(self, now: float) -> None:
        """The loan is over; the server is clean."""
        self.loan.end()
        self.free(PARTNER_FULL)
        self.pool.checkin(self, now)

    def abandon(self, half_sent: bool) -> None:
        """The client has gone. Roll back and keep the connection where its state is known; close it where not."""
        if self.state == CLOSED:
            return
        self.relay.lose()
        self.loan.end()
        self.free(PARTNER_FULL)
        if half_sent or self.relay.framer.left or self.relay.answer.retrying or not self.dialogue.only_ours():
            self.desert("client left with a request open")
        elif self.dialogue.pipeline.ignoring or self.relay.answer.forwarded:
            self.close("client left before Sync")  # a Sync of ours would commit what the client did not
        elif self.dialogue.traces.is_not_reusable():
            self.close("client left what cannot be undone")
        else:
            self.upkeep.used_at = monotonic()
            self.pool.move(self, TESTED)
            self.run_ours(*self.pool.cleaning(self) or [""])
            self.dialogue.clear()

    def desert(self, reason: str) -> None:
        """Nobody wants what is still to be answered: it is cancelled, and the connection closed."""
        self.loan.end()
        self.free(PARTNER_FULL)
        self.pool.cancel(self)
        self.transport.abort()  # type: ignore[union-attr]  # a goodbye would be taken for the rest of a message
        self.close(reason)

    # --- SQL of ours ---

    def run_ours(self, *statements: str) -> None:
        self.loan.end()
        self.send_ours(*statements)

    def send_ours(self, *statements: str) -> None:
        """Run SQL whose replies nobody sees."""
        self.dialogue.statements.unnamed = None
        for sql in statements:
            self.dialogue.pipeline.skip(ord("Q"))
            self.write(build.query(sql))

    def settle(self) -> bool:
        """Nothing is due and no transaction is open: see to what was left behind. False if that is nothing.

        A server that is not to be lent again is closed with what is left there.
        """
        dialogue = self.dialogue
        traces = dialogue.traces
        if traces.sequences.advanced and self.pool.host is None and self.pool.tenant.recall.asks:
            traces.effects |= ADVANCES
        if traces.effects:
            if isinstance(dialogue.pipeline.ended, Request):
                self.loan.request = dialogue.pipeline.ended
            self.relay.framer.look_at_rows()
            self.write(inquire(dialogue, self.pool.tenant))
            return True
        if not (traces.listens or dialogue.given.names) or traces.pins or self.upkeep.condemned:
            return False
        self.send_ours(dialogue.take_away())
        return True

    def conclude(self, audit: Audit) -> None:
        self.relay.framer.pass_rows()
        answer = audit.answer
        if self.loan.writes is not None and answer is not None and answer.position is not None:
            self.loan.writes.unplaced.place(answer.position)
        next_one = conclude(self.dialogue, self.pool.tenant, self.loan.client, audit)
        if self.dialogue.traces.asked:
            self.relay.framer.look_at_rows()
        if next_one:
            self.write(next_one)

    # --- the end ---

    def close(self, reason: str, error: ProxyError | None = None) -> None:
        """The one exit, whoever wanted it. A client that holds the server is told: `error`, or that it is lost."""
        if self.closed:
            return
        self.closed = True
        client = self.loan.end()
        if self.loan.writes is not None:
            self.loan.writes.lose(monotonic(), self.backend.pid)
        mailbox = self.backend.mailbox
        if mailbox is not None:
            mailbox.put_nowait(None)
        if self.transport is not None:
            if self.dialogue.pipeline.empty() and not self.full and not self.transport.is_closing():
                self.transport.write(build.terminate())
                self.transport.close()
            else:
                self.transport.abort()
        if mailbox is None:
            self.pool.lost(self, reason)
        if client is not None:
            client.server_lost(
                error or self.lost_error(reason), self.loan.told or self.relay.inside_message()
            )

    def lost_error(self, reason: str) -> ServerLost:
        """What the client is told. 08007: a request was sent and its outcome is not known (promise 5)."""
        unknown = not self.dialogue.only_ours()
        return ServerLost(
            f"the connection to the server at {self.backend.address} was lost: {reason}",
            detail="Whether the last request was carried out is not known." if unknown else "",
            sqlstate="08007" if unknown else "08006",
        )
