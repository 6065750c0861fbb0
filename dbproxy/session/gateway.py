"""What stands between a client's requests and a server: the gates (dbproxy.gates), and who hears what became of them.

Asked only where there are some; compiled, as each client has one.
"""

from collections.abc import Callable
from typing import Any

import structlog

from dbproxy.cache.gate import CacheGate
from dbproxy.features.mode import OFF
from dbproxy.gates import GO, Answer, Await, Delay, Gate, Refuse, Verdict
from dbproxy.net.direct import monotonic
from dbproxy.observe.querystats import CACHE, PRIMARY, REPLICA, ROLES, Account
from dbproxy.observe.record import NOT_ASKED, PASSED, Facts
from dbproxy.pool.pool import Pool
from dbproxy.pool.query import Query
from dbproxy.pool.request import Request
from dbproxy.session.browsing import Browsing
from dbproxy.session.connection import Connection
from dbproxy.session.ear import Ear
from dbproxy.session.judging import Judge
from dbproxy.session.outcome import count_kept_rows, read_facts
from dbproxy.session.passage import Passage, name_query, seen_by
from dbproxy.session.queries import Queries
from dbproxy.session.route import Route
from dbproxy.session.translator import Translator
from dbproxy.session.vocabulary import cut_body
from dbproxy.sql.identity import NO_SHAPE, Shape
from dbproxy.wire.extended import length_at, parse_parts, target_name
from dbproxy.wire.framer import Framer
from dbproxy.wire.reply import read_sqlstate

log = structlog.get_logger(__name__)

SILENCE = 0.5  # seconds, then a transaction's server is asked again: PostgreSQL may end one that is idle


class Gateway:
    """Of one client. Its `passage` is the way of the request that a server was borrowed for, or is to be."""

    def __init__(self, client: Connection, translator: Translator, ear: Ear, route: Route) -> None:
        self.client = client
        self.prepared = translator.prepared
        self.series = translator.series
        self.ear = ear
        self.route = route
        self.judge: Judge = route.judge
        self.queries = Queries(client, translator.prepared, self.judge)
        self.account: Account | None = None  # of what is counted here
        self.browsing: Browsing | None = None  # the transaction at hand

    def ask(self, framer: Framer, index: int, arrived: float) -> Verdict:
        """About what begins at mark `index`.

        What is sent again, or inside a transaction that moves to another host, has been asked about.
        """
        client = self.client
        inbound = client.inbound
        if self.route.mover.repeats is not None:
            return GO
        passage = inbound.passage
        if passage is None:
            found = self.queries.find_first(framer, index)
            if found is not None and self.is_let_go(found[0]):
                self.begin(found[0], framer, index)
                return GO
            query = self.queries.read(framer, index, arrived, found)
            self.begin(query.shape, framer, index)
            passage = inbound.passage = Passage(client, query, self.list_gates())
        verdict: Verdict = passage.ask(monotonic())
        if isinstance(verdict, Refuse):
            error = verdict.error
            if not error.quiet:
                facts = {**error.facts, **name_query(passage.request)}
                log.warning("request refused", sqlstate=error.sqlstate, error=error.message, **facts)
            self.give_up(self.find_waiting, error.sqlstate)
        return verdict

    def is_let_go(self, shape: Shape | None) -> bool:
        """Whether nobody would be asked but what is kept, and answers to this statement are not."""
        gates = self.client.pool.tenant.gates
        if (
            self.client.inbound.allowance is not None
            or len(gates) != 1
            or not isinstance(gates[0], CacheGate)
        ):
            return False
        gate = gates[0]
        return shape is not None and gate.lets_go(shape, self.client.id)

    def list_gates(self) -> tuple[Gate[Query, Any], ...]:
        """Limits ahead of all others, as what they refuse none of those needs to see."""
        allowance, gates = self.client.inbound.allowance, self.client.pool.tenant.gates
        return gates if allowance is None else (allowance.warden, *gates)

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
        now = monotonic()
        self.conclude_answer(query, data, now)
        if self.client.inbound.allowance is not None:
            self.client.inbound.allowance.answered(now)
        self.client.inbound.end_passage()
        return len(query.kinds)

    def conclude_answer(self, query: Query, data: bytes, now: float) -> None:
        microseconds = int((now - query.arrived) * 1e6)
        self.client.pool.stats.query(microseconds)
        self.count_answer(query, data, microseconds, now)
        self.tell(query, microseconds, failed=data[:1] == b"E")

    def count_answer(self, query: Query, data: bytes, microseconds: int, now: float) -> None:
        """It is a call of its statement, with a role of its own: no host had to do with it."""
        tenant, table = self.client.pool.tenant, self.client.pool.tenant.query_stats
        rows = count_kept_rows(data)
        state = read_sqlstate(data[5:]) if data[:1] == b"E" else None
        if tenant.listeners:
            facts = query.facts = Facts()
            facts.sqlstate, facts.rows, facts.role = state or "", rows, ROLES[CACHE]
        if table is not None:
            if self.account is None:
                self.account = table.find_account(tenant.database, tenant.user)
            entry = table.find(query.shape or NO_SHAPE, self.account, CACHE, now)
            if entry is not None:
                table.record(entry, now, microseconds, 0, 0, max(rows, 0), len(data), state)

    def settle(self, framer: Framer, index: int) -> Query:
        """A gate answers what begins at mark `index`: what its messages mean for the client's statements holds."""
        passage = self.client.inbound.passage
        if passage is None or not passage.request.whole:
            raise RuntimeError("a gate has answered a request that only a server can answer")
        query: Query = passage.request
        for place in range(index, index + len(query.kinds)):
            self.settle_message(framer.chunk, framer.mark_at(place))
        if query.shape is not None and (query.kinds[-1:] == b"Q" or query.kinds.find(b"B") >= 0):
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

    # --- inside a transaction ---

    def begin(self, shape: Shape | None, framer: Framer, index: int) -> None:
        """What begins at mark `index` is about to be sent: whether it begins a transaction that browses."""
        self.browsing = None
        if shape is None or not shape.begins or self.client.server is not None:
            return
        gates = [gate for gate in self.client.pool.tenant.gates if isinstance(gate, CacheGate)]
        if gates and self.judge.state.mode == "transaction" and gates[0].find_mode(self.client.id) != OFF:
            browsing = Browsing(self.client, self.judge, gates[0])
            if browsing.begin(framer, index):
                self.browsing = browsing

    def browse(self, framer: Framer, *, begun: bool) -> bool:
        """What has come in a transaction that browses: whether it is answered. `begun`: it goes on with a request."""
        browsing, server, arrived = self.browsing, self.client.server, self.client.inbound.arrived
        assert browsing is not None  # whoever asks has seen it
        if server is None or not browsing.goes_on(framer):
            self.browsing = None
            return False
        dialogue = server.dialogue
        if begun or dialogue.status != ord("T") or not dialogue.pipeline.empty():
            return False
        if arrived - server.loan.answered_at > SILENCE:
            return False
        query = self.queries.read(framer, 0, arrived)
        if not query.whole or query.shape is None or len(query.kinds) != framer.count:
            return False
        query.browse(seen_by(server))
        passage = self.client.inbound.passage
        if passage is not None:
            passage.close()
        gates: tuple[Gate[Query, Any], ...] = (browsing.gate,)
        passage = self.client.inbound.passage = Passage(self.client, query, gates)
        verdict = passage.ask(arrived)
        if isinstance(verdict, Answer):
            self.settle(framer, 0)
            self.client.write(verdict.data + self.ear.spell_ready_within())
            self.conclude_answer(query, verdict.data, monotonic())
            return True
        if dialogue.traces.has_unlisted_settings:  # its answer may be of settings that nobody knows
            passage.close()
        else:
            server.loan.fill = passage.listen(server)
        return False

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
        tenant = self.client.pool.tenant
        if query.chosen == NOT_ASKED and tenant.sampler is not None:
            self.choose(query)
        passage = self.client.inbound.passage
        if passage is not None:
            passage.close()
        for listener in tenant.listeners:
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

    def give_up(self, find: Callable[[], Query], sqlstate: str, *, sent: bool = False) -> None:
        """Tell what counts and what traces of a request that has failed without an answer of a server.

        What was `sent` to one is counted already (pool.meter).
        """
        tenant = self.client.pool.tenant
        if tenant.sampler is None and tenant.query_stats is None:
            return
        try:
            query, now = find(), monotonic()
            query.failed, query.microseconds = True, int((now - query.arrived) * 1e6)
            facts = query.facts = Facts()
            facts.sqlstate, facts.wait = sqlstate, now - query.arrived
            if not sent:
                self.count(query, now)
            if tenant.sampler is not None:
                self.choose(query)
                tenant.sampler.listener.hear(query)
        except Exception:  # costs the span, not the client its error
            log.exception("internal error", **self.client.identity.describe())

    def count(self, query: Query, now: float) -> None:
        """What no server was found for is a call, too: it has failed, and all its time was spent waiting."""
        tenant, waited = self.client.pool.tenant, query.microseconds
        table, state = tenant.query_stats, query.facts.sqlstate if query.facts is not None else ""
        if table is not None:
            account, room = table.find_account(tenant.database, tenant.user), self.client.inbound.room
            role = REPLICA if isinstance(room, Pool) and room.host is not None else PRIMARY
            entry = table.find(query.shape or NO_SHAPE, account, role, now)
            if entry is not None:
                table.record(entry, now, waited, waited, 0, 0, 0, state)

    def find_waiting(self) -> Query:
        """The request that waits."""
        inbound = self.client.inbound
        if inbound.passage is not None and not inbound.passage.over:
            found: Query = inbound.passage.request
            return found
        _, framer, index = inbound.pending[-1]
        return self.queries.read(framer, index, inbound.arrived)

    def find_sent(self, request: Request) -> Query:
        """One that was sent, and is not answered."""
        shape = self.queries.shape_at(request.chunk, request.at)
        return Query(self.client, shape, request.chunk, request.at, request.arrived)
