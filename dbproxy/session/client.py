# cython: nonecheck=True
# A part that is gone (`connection_lost`) is an error, not a crash.
"""One logged-in client: its parts, how it waits and goes on, and what pool, server and hub ask of it.

    inbound   what it has sent (session.inbound)            state, prepared   what its session has
    intake    its messages, and where they go               ear               what it hears beside its answers
    route     the host that answers, and another instead    lending           how it holds a server

A client that waits for something is *parked*: what else it sends is kept, and it is still read, up to a limit, so that
we notice when it leaves. `park` and `resume` are the only ways in and out (session.wait has the reasons).
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from dbproxy.errors import NO_FACTS, ProxyError
from dbproxy.net.link import FLOODING, PARKED
from dbproxy.observe.record import PASSED
from dbproxy.pool.audit import Findings
from dbproxy.pool.pool import Pool
from dbproxy.pool.prepared import Statement
from dbproxy.pool.request import Request
from dbproxy.pool.server import Server
from dbproxy.routing.reader import Reader
from dbproxy.routing.router import Router
from dbproxy.session.connection import DUE_LIMIT, Connection
from dbproxy.session.ear import Ear
from dbproxy.session.house import House
from dbproxy.session.identity import Identity
from dbproxy.session.intake import Intake
from dbproxy.session.judging import Judge
from dbproxy.session.loan import Lending
from dbproxy.session.route import Route
from dbproxy.session.state import SessionState
from dbproxy.session.translator import Translator
from dbproxy.session.unanswered import describe_request, find_sent, name_unanswered
from dbproxy.session.vocabulary import Previous, Vocabulary
from dbproxy.session.wait import DONE, NOT, REFUSED, RETRY, SERVED
from dbproxy.wire.extended import statement_text
from dbproxy.wire.startup import parse_error_response

log = structlog.get_logger(__name__)

NO_TAGS = b""
PARTS = ("state", "prepared", "translator", "ear", "route", "lending", "intake")


class Client(Connection):
    """session.startup makes it once a login is let in. `router`: where there are replicas."""

    def __init__(self, identity: Identity, house: House, pool: Pool, router: Router | None) -> None:
        Connection.__init__(self, identity, pool)
        state = self.state = SessionState(self, house)
        prepared = self.prepared = Vocabulary(pool, state.shares, identity.settings.values, state)
        self.translator = Translator(prepared, state)
        series = self.translator.series
        series.said.keeps = house.settings.log.parameters
        self.ear = Ear(self, state, series)
        reader = Reader(read_only=identity.read_only)
        routes = state.shares and state.mode == "transaction"
        judge = Judge(self, reader, state, prepared, router if routes else None)
        self.route = Route(self, state, prepared, series, reader, judge)
        self.lending = Lending(self, state, prepared, series, self.route)
        self.inbound.allowance = house.find_allowance(self)
        self.intake = Intake(self, state, self.translator, self.ear, self.route, self.lending)

    # --- waiting ---

    def take(self, data: bytes) -> None:
        self.intake.take(data)

    def resume(self, event: int, server: Server | None = None) -> None:
        """Go on where the client was parked, if that is what the event ends; on `server` if it has waited for one.

        The one way on. Whoever calls it, the janitor, a server or another client's request, goes on, too: what goes
        wrong here is this client's.
        """
        inbound = self.inbound
        if not inbound.wait & event:  # about something that is over
            if server is not None:
                server.close("nobody has waited for it")
            return
        try:
            place = inbound.end_wait()
            self.translator.series.waits = False
            if server is not None:
                first = self.lending.begin(server)
                if first:
                    server.write(b"".join(first))
            if self.ear.owes_ready:  # ahead of what is answered now
                self.ear.tell_ready()
            if place is not None:  # else all that waits is in `inbound.chunks`
                _, framer, index = place
                position = framer.mark_at(index) >> 8 if index < framer.count else framer.end
                self.intake.handle(framer, index, position)
            self.drain()
            self.end_if_faulty()
        except Exception as error:
            self.fail(error)

    def drain(self) -> None:
        """Handle what came while parked."""
        inbound = self.inbound
        if inbound.chunks and inbound.wait == NOT and not self.closed:
            self.intake.take(inbound.take())
        if inbound.wait == NOT:
            self.free(PARKED)

    def serve(self, server: Server, now: float) -> None:
        self.resume(SERVED, server)

    def ask_again(self) -> None:
        """What its request has waited for on its way through the gates is there."""
        if self.inbound.wait & DONE:
            self.intake.wait_anew()
            self.resume(DONE)

    def refuse(self, error: ProxyError) -> None:
        """There is no server for the request: it fails, and the connection goes on if the error allows it."""
        if not self.inbound.wait & REFUSED:
            return
        try:
            host = self.route.find_unreachable(error)
            if host is not None:
                self.route.replace(host, error)
            else:
                if not error.quiet:
                    self.tell_refused(error.sqlstate, error.message, error.detail, error.facts)
                self.intake.gateway.give_up(self.intake.gateway.find_waiting, error.sqlstate)
                if self.server is None:
                    self.route.leave_host()
                self.route.forget_detours()
                self.intake.drop_request(error)
        except Exception as failure:
            self.fail(failure)
            return
        self.resume(REFUSED)

    # --- its answers ---

    def reply(self, data: bytes) -> None:
        self.write(data)
        server = self.server
        if not self.reasons & FLOODING or server is None:
            return
        if len(server.dialogue.pipeline.due) < DUE_LIMIT // 2:
            self.free(FLOODING)

    def finished(self, status: int) -> bool:
        return self.lending.finish(self.server, status)  # type: ignore[arg-type]  # which calls

    def caught_up(self) -> None:
        if self.server is not None and self.lending.catch_up(self.server):
            self.intake.unfinished = None

    def outlives_server(self) -> bool:
        return self.server is not None and self.route.is_done_with(self.server)

    def server_lost(self, error: ProxyError, told: bool) -> None:
        """The server connection broke. The client goes, too, as it would without us, unless nothing is lost."""
        if not self.route.survives(error, told):
            asked = self.name_unanswered()
            if self.server is not None:
                self.count_stall(self.server)
                self.server.relay.lose()
            lost = find_sent(self)
            if lost is not None:
                self.intake.gateway.give_up(
                    partial(self.intake.gateway.find_sent, lost), error.sqlstate, sent=True
                )
            self.route.leave_host()
            self.server = None
            self.disconnect("server lost", None if told else error, asked)

    def request_over(self, request: Request, microseconds: int, failed: bool) -> None:
        tenant = self.pool.tenant
        chosen = PASSED
        if tenant.sampler is not None:
            chunk = NO_TAGS if request.aged else request.chunk
            slow = microseconds >= tenant.slow_after * 1e6
            chosen = tenant.sampler.choose(chunk, request.at, self.settings, slow, failed)
            if chosen == PASSED and tenant.hears_few():
                return
        self.intake.gateway.conclude(request, microseconds, failed, chosen)

    def slow(self, request: Request, wait: float, run: float) -> None:
        self.state.house.log_slow(self, request, wait, run)

    # --- in the log ---

    def describe_request(self) -> dict[str, Any]:
        return describe_request(self, self.intake.unfinished, self.translator.series.said)

    def name_unanswered(self) -> dict[str, str]:
        return name_unanswered(self, self.intake.unfinished, self.translator.series.said)

    def refused(self, error: bytes) -> None:
        fields = parse_error_response(error[5:])
        self.tell_refused(fields["C"], fields["M"], fields.get("D", ""))

    def tell_refused(
        self, sqlstate: str, error: str, detail: str, facts: Mapping[str, str] = NO_FACTS
    ) -> None:
        """Of a request that fails, though the client stays."""
        more = {"detail": detail, **facts} if detail else facts
        log.warning("request refused", sqlstate=sqlstate, error=error, **more, **self.describe_request())

    # --- how it is doing ---

    def find_turn(self) -> tuple[str, int]:
        """By `fair_by`, or else by whom it is limited with."""
        allowance, template = self.inbound.allowance, self.pool.settings.fair_by
        key, weight = allowance.find_turn() if allowance is not None else ("", 1)
        if template is not None:
            facts = replace(self.identity.facts(), application_name=self.introduce()[1])
            key = template.fill(facts, self.settings.values, {})
        return key, weight

    def introduce(self) -> tuple[int, str]:
        return self.id, self.news.reported.get("application_name", self.identity.application_name)

    def text_at_hand(self) -> bytes:
        begun = self.intake.unfinished is not None
        said = self.translator.series.said
        return statement_text(said.chunk, said.at) if begun else b""

    def is_idle(self) -> bool:
        """Whether nothing is open: no transaction, no reply due, no server waited for."""
        server = self.server
        if server is None or self.is_parked():
            return not self.is_parked()
        begun = self.inbound.framer.left or server.relay.answer.forwarded or server.dialogue.pipeline.ignoring
        return server.dialogue.between_requests() and not begun

    def last_active(self) -> float:
        """When this client last sent something, or was last answered."""
        server, arrived = self.server, self.inbound.arrived
        return arrived if server is None else max(arrived, server.loan.answered_at, server.loan.heard_at)

    def is_silent(self) -> bool:
        """Whether the server, if it has one, waits for it to send more."""
        server = self.server
        if server is None or self.is_parked() or server.full:
            return server is None and not self.is_parked()
        pipeline, half = server.dialogue.pipeline, int(self.inbound.framer.left > 0)
        return bool(half or pipeline.copying or pipeline.only_ours()) and pipeline.waits(half)

    # --- sending a request again ---

    def begin_rescue(self, fields: dict[str, str]) -> bool:
        server = self.server
        if server is None or not self.route.may_rescue(server, fields):
            return False
        self.route.begin_rescue(server, fields)
        return True

    def begin_retry(self, name: bytes, changed: bool) -> bool:
        """Wait for the end of the answer, if the request can be sent again.

        `changed`: the answer of statement `name` has other columns than before, which this request does not ask for.
        A client that was told them would read the new answer by the old description: it gets PostgreSQL's error,
        upon which drivers prepare the statement anew.
        """
        series, replay = self.translator.series, self.route.replay
        if series.waits or not replay.possible(series.executes) or self.inbound.framer.left:
            return False
        if changed and name in self.prepared.described:
            return False
        self.inbound.wait = RETRY
        replay.used = True
        return True

    def retry(self) -> None:
        route = self.route
        if route.host is not None and route.detours:
            route.move_on(self.server)  # type: ignore[arg-type]  # the server has failed the request
            return
        data = self.prepared.spell_faked() + route.replay.use()
        self.prepared.end_request()
        route.send_again(data)

    # --- its session ---

    def hears_by_hub(self) -> bool:
        return self.state.tracks

    def audited(self, findings: Findings, effects: int) -> None:
        self.ear.audited(findings, effects)

    def owe_ready(self) -> None:
        self.ear.owe_ready()

    def listen_early(self, failed: bool) -> None:
        self.state.listening.count_early(failed)

    def transaction_ended(self) -> None:
        self.translator.series.end()

    def committed(self, position: int) -> None:
        self.route.committed(position)

    def misplaced(self) -> None:
        self.route.misplaced()

    def notify(self, message: bytes) -> None:
        self.ear.notify(message)

    def notice(self, message: bytes) -> None:
        self.ear.notify(message)

    def keep_defaults(
        self, kept: Mapping[str, str], before: Mapping[str, str], after: Mapping[str, str]
    ) -> None:
        self.ear.keep_defaults(kept, before, after)

    def knows(self, name: bytes) -> bool:
        return self.prepared.knows(name)

    def told(self, name: bytes, statement: Statement, columns: int) -> None:
        known = self.prepared.statements.get(name)
        if known is not None and (
            known is statement or known.body == statement.body
        ):  # a twin may have merged
            self.prepared.described[name] = columns

    def told_unnamed(self, columns: int, full: int, renewed: bool) -> None:
        self.prepared.unnamed.learn(columns, full, renewed)

    def told_portal(self, columns: bytes) -> None:
        self.prepared.unnamed.portal_columns = columns

    def looks_elsewhere(self, statement: Statement) -> bool:
        return self.prepared.looks_elsewhere(statement)

    def merge(self, twin: Statement, statement: Statement) -> None:
        self.prepared.merge(twin, statement)

    def restore(self, name: bytes, previous: Previous) -> None:
        self.prepared.restore(name, previous)

    def forget_statements(self, spared: set[bytes]) -> None:
        self.prepared.forget_all(spared)

    # --- the end ---

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody calls it any more: so that all of it is freed at once, it lets go of its parts, which know it."""
        self.disconnect("client closed the connection")
        self.inbound.wait = NOT  # whatever it has waited for
        self.inbound.allowance = None
        for name in PARTS:
            delattr(self, name)

    def disconnect(
        self, reason: str, error: ProxyError | None = None, asked: Mapping[str, str] | None = None
    ) -> None:
        """The one exit. Sends the error, gives up or gives back the server, and is always logged.

        `asked`: what `name_unanswered` has said, if the server is gone already.
        """
        if self.closed:
            return
        asked = asked or self.name_unanswered()
        self.route.leave_host()
        self.farewell(error)
        self.closed = True
        server, self.server = self.server, None
        self.inbound.room.leave(self)
        if self.state.listening.hub is not None:
            self.state.listening.hub.leave(self)
        self.inbound.clear()
        if self.transport is not None:
            self.transport.close()
        if server is not None:
            self.count_stall(server)
            self.lending.account_lost(server)
            server.abandon(self.inbound.framer.left > 0)
        self.inbound.end_passage()
        if self.inbound.allowance is not None:
            self.inbound.allowance.close()
        self.state.house.left(self.identity, reason, asked)
