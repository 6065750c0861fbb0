"""What a client hears beside its answers: notifications, and when it is told that its transaction has ended.

A notification is told at once, or, as PostgreSQL does, ahead of the ReadyForQuery of what is under way. That one is
kept back where more has to be known first: whether a LISTEN was committed, and what the client notified itself of.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dbproxy.errors import AdminShutdown, ProxyError
from dbproxy.pool.audit import Findings
from dbproxy.pool.pool import Pool
from dbproxy.session.connection import ClientConnection
from dbproxy.session.state import SessionState
from dbproxy.session.statements import ClientStatements
from dbproxy.sql.statement import DISCARDS, LISTENS
from dbproxy.wire import build

if TYPE_CHECKING:
    from dbproxy.session.startup import Login

READY_IDLE = build.ready_for_query(ord("I"))
NOTIFICATION_LIMIT = 10000  # kept for a client in a transaction


class Hearer(ClientConnection):
    """Base of `Client`: with what its session has."""

    def __init__(self, login: "Login", pool: Pool) -> None:
        ClientConnection.__init__(self, login, pool)
        self.shares = self.mode != "session" and pool.settings.max_prepared_statements > 0
        self.tracks = self.by_hub = self.mode != "session"
        self.state = SessionState(self, login.settings)
        self.prepared = ClientStatements(
            pool,
            self.shares,
            login.settings.values.get("search_path", "").encode(errors="surrogateescape"),
            self.state,
        )
        self.owes_ready = False
        self.claims = False  # called nextval: another transaction may ask what it said

    def resume(self) -> None:
        """Go on with the request where it was parked."""
        raise NotImplementedError

    # --- ReadyForQuery ---

    def audited(self, findings: Findings, effects: int) -> None:
        assert self.server is not None  # it says so
        self.state.conclude(self.server, findings, effects)
        if self.owes_ready and effects & (LISTENS | DISCARDS):  # it has waited for this
            self.hear_own()

    def owe_ready(self) -> None:
        """LISTEN counts, and its own notifications have come, before the client is told that it is ready."""
        self.owes_ready = True
        if not self.server.dialogue.traces.effects & (LISTENS | DISCARDS):  # type: ignore[union-attr]  # which ask
            self.hear_own()

    def listen_early(self, failed: bool) -> None:
        self.state.listening.count_early(failed)

    def transaction_ended(self) -> None:
        self.prepared.begun = self.prepared.executes = False

    def hear_own(self) -> None:
        listening = self.state.listening
        if listening.notifies and self.hub is not None:
            listening.notifies = False
            self.hub.catch_up(self.tell_ready)
        else:
            self.tell_ready()

    def tell_ready(self) -> None:
        if self.owes_ready:
            self.owes_ready = False
            self.write(self.spell_ready())

    def spell_ready(self) -> bytes:
        """ReadyForQuery, and what goes ahead of it."""
        news = b"".join([*self.news, self.take_reports(self.pool.welcome), READY_IDLE])
        self.news.clear()
        return news

    def keep_defaults(
        self, kept: Mapping[str, str], before: Mapping[str, str], after: Mapping[str, str]
    ) -> None:
        """Servers give new sessions other settings. This one keeps what it began with (`kept`), and is told the rest.

        `before` and `after` are what servers report.
        """
        self.state.keep(kept)
        for name, value in before.items():
            if after.get(name, value) != value:
                self.reported.setdefault(name.lower(), value)
                if name.lower() not in kept:
                    self.unreported[name] = after[name]

    # --- notifications ---

    def find_hub(self) -> Any:
        if self.hub is None:
            self.hub = self.login.find_hub()
        return self.hub

    def wait_for_hub(self, channels: list[str]) -> None:
        """Let the hub hear these channels first; `heard` is called once it does."""
        raise NotImplementedError

    def heard(self, error: ProxyError | None) -> None:
        """The hub hears what this client asked for, or cannot: go on."""
        self.state.listening.hearing = self.state.listening.notified = False
        if self.closed or not self.parked:
            return
        if error is not None:
            self.disconnect(error.message, error)
            return
        self.resume()

    def heard_all(self) -> None:
        self.heard(None)

    def notify(self, message: bytes) -> None:
        """A notification, or a notice about them: now, or once what is under way is answered."""
        if self.state.listening.takes(message):
            return
        if self.is_overdue(message):
            self.write(b"".join([*self.news, message]))
            self.news.clear()
        elif self.parked or not self.may_hear():
            self.news.append(message)
            if len(self.news) > NOTIFICATION_LIMIT:
                why = f"{NOTIFICATION_LIMIT} notifications wait for its transaction to end"
                self.disconnect("too many notifications", AdminShutdown(f"terminating connection: {why}"))
        else:
            self.write(message)

    notice = notify

    def is_overdue(self, message: bytes) -> bool:
        """Whether it is the client's own: PostgreSQL has told that with the end of its transaction.

        Another may have begun since, behind it in one breath.
        """
        own = message[:1] == b"A" and int.from_bytes(message[5:9], "big") == self.login.pid
        return own and (self.server is None or not self.server.relay.inside_message())

    def may_hear(self) -> bool:
        """Whether PostgreSQL would tell a notification now: no transaction is open, and no reply due."""
        server = self.server
        if server is None:
            return not self.prepared.begun
        pipeline = server.dialogue.pipeline
        if server.dialogue.status != ord("I") or server.relay.framer.left or not pipeline.only_ours():
            return False
        return bool(
            pipeline.ignoring
            or not (self.prepared.begun or self.prepared.executes or server.relay.answer.forwarded)
        )
