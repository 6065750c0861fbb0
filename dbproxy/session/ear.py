"""What a client hears beside its answers: notifications, and when it is told that its transaction has ended.

A notification is told at once, or, as PostgreSQL does, ahead of the ReadyForQuery of what is under way. That one is
kept back where more has to be known first: whether a LISTEN was committed, and what the client notified itself of.
"""

from collections.abc import Mapping

from dbproxy.errors import AdminShutdown
from dbproxy.pool.audit import Findings
from dbproxy.session.connection import Connection
from dbproxy.session.series import Series
from dbproxy.session.state import SessionState
from dbproxy.sql.statement import DISCARDS, LISTENS
from dbproxy.wire import build

READY_IDLE = build.ready_for_query(ord("I"))
READY_INTRANS = build.ready_for_query(ord("T"))
NOTIFICATION_LIMIT = 10000  # kept for a client in a transaction


class Ear:
    """One client's."""

    def __init__(self, client: Connection, state: SessionState, series: Series) -> None:
        self.client = client
        self.state = state
        self.series = series
        self.owes_ready = False

    # --- ReadyForQuery ---

    def audited(self, findings: Findings, effects: int) -> None:
        server = self.client.server
        assert server is not None  # who says so
        self.state.conclude(server, findings, effects)
        if self.owes_ready and effects & (LISTENS | DISCARDS):  # the client has waited for this
            self.hear_own()

    def owe_ready(self) -> None:
        """LISTEN counts, and its own notifications have come, before the client is told that it is ready."""
        self.owes_ready = True
        server = self.client.server
        if server is None or not server.dialogue.traces.effects & (
            LISTENS | DISCARDS
        ):  # about which the server is asked
            self.hear_own()

    def hear_own(self) -> None:
        listening = self.state.listening
        if listening.notifies and listening.hub is not None:
            listening.notifies = False
            listening.hub.catch_up(self.tell_ready)
        else:
            self.tell_ready()

    def tell_ready(self) -> None:
        if self.owes_ready:
            self.owes_ready = False
            self.client.write(self.spell_ready())

    def spell_ready(self) -> bytes:
        """ReadyForQuery, and what goes ahead of it."""
        news = self.client.news
        return news.take(self.client.pool.welcome, idle=True) + READY_IDLE if news.any() else READY_IDLE

    def spell_ready_within(self) -> bytes:
        """The same inside a transaction."""
        news = self.client.news
        return (
            news.take(self.client.pool.welcome, idle=False) + READY_INTRANS if news.any() else READY_INTRANS
        )

    def keep_defaults(
        self, kept: Mapping[str, str], before: Mapping[str, str], after: Mapping[str, str]
    ) -> None:
        """Servers give new sessions other settings. This one keeps what it began with (`kept`), and is told the rest.

        `before` and `after` are what servers report.
        """
        self.state.keep(kept)
        news = self.client.news
        for name, value in before.items():
            if after.get(name, value) != value:
                news.reported.setdefault(name.lower(), value)
                if name.lower() not in kept:
                    news.unreported[name] = after[name]

    # --- notifications ---

    def notify(self, message: bytes) -> None:
        """Tell a notification, or a notice about some: now, or once what is under way is answered."""
        if self.state.listening.takes(message):
            return
        messages = self.client.news.messages
        if self.is_overdue(message):
            self.client.write(b"".join([*messages, message]))
            messages.clear()
        elif self.client.is_parked() or not self.may_hear():
            messages.append(message)
            if len(messages) > NOTIFICATION_LIMIT:
                why = f"{NOTIFICATION_LIMIT} notifications wait for its transaction to end"
                error = AdminShutdown(f"terminating connection: {why}")
                self.client.disconnect("too many notifications", error)
        else:
            self.client.write(message)

    def is_overdue(self, message: bytes) -> bool:
        """Whether it is the client's own: PostgreSQL has told that with the end of its transaction.

        Another may have begun since, behind it in one breath.
        """
        own = message[:1] == b"A" and int.from_bytes(message[5:9], "big") == self.client.identity.pid
        server = self.client.server
        return own and (server is None or not server.relay.inside_message())

    def may_hear(self) -> bool:
        """Whether PostgreSQL would tell a notification now: no transaction is open, and no reply due."""
        server = self.client.server
        if server is None:
            return not self.series.begun
        if not server.dialogue.between_requests() or server.relay.framer.left:
            return False
        begun = self.series.begun or self.series.executes or server.relay.answer.forwarded
        return server.dialogue.pipeline.ignoring or not begun
