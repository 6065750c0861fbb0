"""A transaction on a replica: how far what comes goes with it, and how it moves to the primary.

The transaction ends where its client ends it, and its replica is given back before anything else is carried out. One
that has only begun, and is to do what no standby can, is rolled back there and begun again on the primary
(session.opening says by what), ahead of what waits.
"""

from dbproxy.pool.dues import OPTIONAL
from dbproxy.pool.server import Server
from dbproxy.session.batch import BATCH_LIMIT, Batch
from dbproxy.session.connection import Connection
from dbproxy.session.judging import Judge
from dbproxy.session.opening import Opening, Request, Step
from dbproxy.session.state import SessionState
from dbproxy.sql.identity import NO_SHAPE
from dbproxy.sql.parser import find_first_end
from dbproxy.sql.statement import HARMLESS, Statement
from dbproxy.wire import build
from dbproxy.wire.framer import Framer

# There is no such savepoint: so the transaction has failed on the primary, too.
FAILURE = [(b"ROLLBACK TO dbproxy_failed", HARMLESS)]


class Mover:
    """One client's."""

    def __init__(self, client: Connection, state: SessionState, judge: Judge, batch: Batch) -> None:
        self.client = client
        self.state = state
        self.judge = judge
        self.batch = batch
        self.opening: Opening | None = None  # the transaction on a replica
        self.repeats: list[Step] | None = None  # of a transaction that moves: what goes ahead on the primary

    def begin(self, framer: Framer, index: int) -> None:
        """What there is from mark `index` on begins a transaction on a replica."""
        self.opening = Opening(0)
        self.note(framer, index)

    def note(self, framer: Framer, index: int) -> None:
        """What there is from mark `index` on is sent to a replica."""
        for request in self.judge.list_requests(framer, index):
            self.opening.note(request)  # type: ignore[union-attr]  # there is an opening

    def stays_open(self, server: Server, opening: Opening) -> int:
        """`Route.stays` while a transaction is open on a replica, as far as known: up to its end, or what must move."""
        framer = self.client.inbound.framer
        pipeline = server.dialogue.pipeline
        requests = self.judge.list_requests(framer, 0)
        first = opening.whole and pipeline.empty() and opening.to_repeat(server.loan.served) is not None
        for number, request in enumerate(requests):
            if self.must_wait(server, opening, request):
                if not number and pipeline.empty():
                    if opening.whole:
                        self.move(server, opening, request)
                    else:
                        self.end_request(server)
                return request.at
            opening.note(request)
        self.client.routed = False
        if first and opening.whole and not framer.left and framer.end <= BATCH_LIMIT:  # it can be sent again
            reads = tuple(
                (request.statements[0][0] if request.statements else None) or NO_SHAPE for request in requests
            )
            self.client.routed = True
            self.batch.begin(reads, framer.bytes_from(0), server.loan.served)
        return framer.end

    def must_wait(self, server: Server, opening: Opening, request: Request) -> bool:
        """Whether the request comes behind an end, or is not for a replica and can be carried out elsewhere."""
        if not request.statements or server.dialogue.pipeline.ignoring:
            return False
        if opening.ending:
            return True
        if not opening.whole:
            return False
        shape, text = request.statements[0]
        first = shape.effects if shape is not None else None
        if (
            server.dialogue.status == ord("E") and first is not None and first.chains
        ):  # it may write: PostgreSQL forgets
            return bool(opening.beginning())
        if not request.needs_primary():
            return False
        if server.dialogue.status == ord("E"):
            return first is not None and first.ends and bool(opening.beginning())
        if find_first_end(text) and opening.beginning():
            return True
        return opening.to_repeat(opening.requests) is not None

    def end_request(self, server: Server) -> None:
        """What has ended the transaction has been carried out, and what its client sends behind it goes elsewhere."""
        server.dialogue.pipeline.skip(ord("S"))
        server.write(build.sync())

    def move(self, server: Server, opening: Opening, request: Request) -> None:
        """End the transaction here, and begin it again on the primary, ahead of what waits.

        One that is about to end may have read: nothing of it follows but its end.
        """
        self.repeats = opening.to_repeat(server.loan.served) or opening.beginning()
        if server.dialogue.status == ord("E"):
            self.repeats += FAILURE
        server.send_ours(find_first_end(request.statements[0][1]) or "ROLLBACK")

    def spell_again(self, server: Server, text: bytes, effects: Statement) -> bytes:
        """A statement of a transaction that moves, whose answer the client has already."""
        ahead = self.state.begin(server, effects, (), simple=True)
        server.dialogue.pipeline.skip(ord("Q"), OPTIONAL)
        server.dialogue.statements.unnamed = None
        return ahead + build.query(text.decode(errors="surrogateescape"))

    def can_move(self, server: Server, fields: dict[str, str]) -> bool:
        """Whether the transaction can be begun again elsewhere, though the last request that is due has failed."""
        if fields.get("V") != "ERROR" or self.opening is None or server.dialogue.status != ord("T"):
            return False
        return (
            server.dialogue.pipeline.is_last_request()
            and self.opening.to_repeat(server.loan.served) is not None
        )
