"""What stands between a client's requests and a server: the gates (dbproxy.gates), and who hears what became of them.

Called only where there are some, so it is not compiled.
"""

from collections.abc import Callable

import structlog

from dbproxy.gates import GO, Await, Delay, Refuse, Verdict
from dbproxy.net.direct import monotonic
from dbproxy.observe.record import NOT_ASKED, PASSED, Facts
from dbproxy.pool.query import Query
from dbproxy.pool.request import NO_TEXT, Request
from dbproxy.session.connection import Connection
from dbproxy.session.ear import Ear
from dbproxy.session.judging import Judge
from dbproxy.session.outcome import read_facts
from dbproxy.session.passage import Passage, name_query
from dbproxy.session.route import Route
from dbproxy.session.translator import Translator
from dbproxy.session.vocabulary import cut_body
from dbproxy.sql.identity import Shape
from dbproxy.wire.extended import bind_name, cut, length_at, parse_parts, target_name
from dbproxy.wire.framer import Framer

log = structlog.get_logger(__name__)


class Gateway:
    """Of one client. Its `passage` is the way of the request that a server was borrowed for, or is to be."""

    def __init__(self, client: Connection, translator: Translator, ear: Ear, route: Route) -> None:
        self.client = client
        self.prepared = translator.prepared
        self.series = translator.series
        self.ear = ear
        self.route = route
        self.judge: Judge = route.judge

    def ask(self, framer: Framer, index: int, arrived: float) -> Verdict:
        """About what begins at mark `index`.

        What is sent again, or inside a transaction that moves to another host, has been asked about.
        """
        client, inbound = self.client, self.client.inbound
        if self.route.mover.repeats is not None:
            return GO
        passage = inbound.passage
        if passage is None:
            query = self.read_query(framer, index, arrived)
            passage = inbound.passage = Passage(client, query, client.pool.tenant.gates)
        verdict: Verdict = passage.ask(monotonic())
        if isinstance(verdict, Refuse):
            error = verdict.error
            asked = name_query(passage.request)
            log.warning("request refused", sqlstate=error.sqlstate, error=error.message, **asked)
            self.give_up(self.find_waiting, error.sqlstate)
        return verdict

    def wait(self, verdict: Delay | Await) -> None:
        passage = self.client.inbound.passage
        assert passage is not None  # it says so
        self.client.inbound.room = passage
        passage.wait(verdict, monotonic())

    # --- answered without a server ---

    def answer(self, framer: Framer, index: int, data: bytes) -> int:
        """A gate has answered what begins at mark `index` with `data`; how many messages that are."""
        query = self.settle(framer, index)
        self.client.write(self.prepared.keep_promises() + data + self.ear.spell_ready())
        self.series.begun = False
        microseconds = int((monotonic() - query.arrived) * 1e6)
        self.client.pool.stats.query(microseconds)
        self.tell(query, microseconds, failed=data[:1] == b"E")
        self.client.inbound.end_passage()
        return len(query.kinds)

    def settle(self, framer: Framer, index: int) -> Query:
        """A gate answers what begins at mark `index`: what its messages mean for the client's statements holds."""
        passage = self.client.inbound.passage
        if passage is None or not passage.request.whole:
            raise RuntimeError("a gate has answered a request that only a server can answer")
        query: Query = passage.request
        for place in range(index, index + len(query.kinds)):
            self.settle_message(framer.chunk, framer.mark_at(place))
        if query.shape is not None and (b"Q" in query.kinds or b"B" in query.kinds):
            query.shape.count()
        return query

    def settle_message(self, chunk: bytes, mark: int) -> None:
        kind, at = mark & 255, mark >> 8
        stop = at + length_at(chunk, at)
        if kind == ord("Q"):
            self.prepared.unnamed.body = None
        elif kind == ord("P"):
            name, body = parse_parts(chunk, at, stop) or (b"", b"")  # it has been read
            if name:
                self.prepared.define(name, cut_body(body))
            else:
                self.prepared.restore(b"", body)
        elif kind == ord("C"):
            name = target_name(chunk, at, stop) or b""
            if name:
                self.prepared.forget(name)

    # --- what is asked for ---

    def read_query(self, framer: Framer, index: int, arrived: float) -> Query:
        """All that there is of what begins at mark `index`, up to its Query or Sync."""
        chunk, first = framer.chunk, framer.mark_at(index) >> 8
        kinds = b""
        able = True
        for number in range(index, framer.count):
            mark = framer.mark_at(number)
            kinds += bytes((mark & 255,))
            able = able and self.is_answerable(chunk, mark)
            if mark & 255 in b"QSF":
                break
        behind = index + len(kinds)
        stop = framer.mark_at(behind) >> 8 if behind < framer.count else framer.end
        shape, text, at = self.find_statement(framer, index, behind)
        query = Query(self.client, shape, text, at, arrived)
        query.kinds = kinds
        query.messages = cut(chunk, first, stop)
        ends = kinds[-1:] in (b"Q", b"S")
        query.whole = able and ends and not (framer.left and behind == framer.count)
        return query

    def is_answerable(self, chunk: bytes, mark: int) -> bool:
        """Whether a message can be answered without a server, as far as this client's statements go."""
        kind, at = mark & 255, mark >> 8
        stop = at + length_at(chunk, at)
        if kind == ord("P"):
            parts = parse_parts(chunk, at, stop)
            return parts is not None and (not parts[0] or self.can_define(parts[0]))
        if kind == ord("C"):
            name = target_name(chunk, at, stop)
            return not name or (bool(self.prepared.shares) and name not in self.prepared.by_sql)
        return kind in b"QBDEHS"

    def can_define(self, name: bytes) -> bool:
        return bool(self.prepared.shares) and not self.prepared.knows(name)

    def find_statement(self, framer: Framer, index: int, behind: int) -> tuple[Shape | None, bytes, int]:
        """The first statement that these messages execute, or else parse: its shape, and where its text is."""
        chunk = framer.chunk
        parsed: dict[bytes, int] = {}
        for number in range(index, behind):
            mark = framer.mark_at(number)
            kind, at = mark & 255, mark >> 8
            if kind == ord("Q"):
                return self.shape_at(chunk, at), chunk, at
            if kind == ord("P"):
                parts = parse_parts(chunk, at, at + length_at(chunk, at))
                parsed[parts[0] if parts is not None else b""] = at
            elif kind == ord("B"):
                where = bind_name(chunk, at, min(at + length_at(chunk, at), framer.end))
                name = cut(chunk, where[0], where[1]) if where is not None else b""
                if name in parsed:
                    return self.shape_at(chunk, parsed[name]), chunk, parsed[name]
                body = self.body_of(name)
                return self.shape_at(body, NO_TEXT), body, NO_TEXT
        for at in parsed.values():
            return self.shape_at(chunk, at), chunk, at
        return None, b"", NO_TEXT

    def body_of(self, name: bytes) -> bytes:
        """Of the client's statement of this name."""
        if not name:
            return self.prepared.unnamed.body or b""
        known = self.prepared.statements.get(name)
        return known.body if known is not None else b""

    def shape_at(self, chunk: bytes, at: int) -> Shape | None:
        body = chunk
        if at >= 0:
            length = length_at(chunk, at)
            if chunk[at] == ord("Q"):
                return self.judge.classify(chunk, at)
            body = (parse_parts(chunk, at, at + length) or (b"", b""))[1]
        shape: Shape | None = self.judge.state.find_shape(body) if body else None
        return shape

    # --- over ---

    def conclude(self, request: Request, microseconds: int, failed: bool, chosen: int) -> None:
        """A server has answered; the first request of a loan is the one that has passed the gates.

        `chosen`: whether it becomes a span (observe.sampling).
        """
        passage = self.client.inbound.passage
        if passage is not None and not passage.over:
            query = passage.request
            if request.chunk:
                query.chunk, query.at = request.chunk, request.at  # where the tags are
        elif self.client.pool.tenant.listeners:
            query = self.find_sent(request)
        else:
            return
        query.chosen = chosen
        if chosen > PASSED:
            self.read_facts(query, request, failed)
        self.tell(query, microseconds, failed)

    def read_facts(self, query: Query, request: Request, failed: bool) -> None:
        try:
            query.facts = read_facts(self.client, self.route, request, failed)
        except Exception:  # costs the span, not the client its server
            query.chosen = PASSED
            log.exception("internal error", **name_query(query))

    def tell(self, query: Query, microseconds: int, failed: bool) -> None:
        """Those that have let it go, and those that listen, that it is over."""
        query.microseconds, query.failed = microseconds, failed
        if query.chosen == NOT_ASKED:
            self.choose(query)
        if self.client.inbound.passage is not None:
            self.client.inbound.passage.close()
        for listener in self.client.pool.tenant.listeners:
            try:
                listener.hear(query)
            except Exception:  # costs nobody else theirs
                log.exception("internal error", listener=type(listener).__name__, **name_query(query))

    # --- without an answer ---

    def choose(self, query: Query) -> None:
        """Whether what no server has answered becomes a span."""
        tenant = self.client.pool.tenant
        if tenant.sampler is not None:
            slow = query.microseconds >= tenant.slow_after * 1e6
            text, at = query.chunk, query.at
            query.chosen = tenant.sampler.choose(text, at, self.client.settings, slow, query.failed)

    def give_up(self, find: Callable[[], Query], sqlstate: str) -> None:
        """Tell what traces, if anything does, of a request that has failed without an answer of a server."""
        sampler = self.client.pool.tenant.sampler
        if sampler is None:
            return
        try:
            query, now = find(), monotonic()
            query.failed, query.microseconds = True, int((now - query.arrived) * 1e6)
            query.facts = Facts(sqlstate=sqlstate, wait=now - query.arrived)
            self.choose(query)
            sampler.listener.hear(query)
        except Exception:  # costs the span, not the client its error
            log.exception("internal error", **self.client.identity.describe())

    def find_waiting(self) -> Query:
        """The request that waits."""
        inbound = self.client.inbound
        if inbound.passage is not None and not inbound.passage.over:
            found: Query = inbound.passage.request
            return found
        _, framer, index = inbound.pending[-1]
        return self.read_query(framer, index, inbound.arrived)

    def find_sent(self, request: Request) -> Query:
        """One that was sent, and is not answered."""
        shape = self.shape_at(request.chunk, request.at)
        return Query(self.client, shape, request.chunk, request.at, request.arrived)
