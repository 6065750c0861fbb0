"""What a client listens to, and which notifications it is to be told.

A LISTEN counts from the end of its transaction on, but its channel must be heard before that: so the hub hears it, and
the client has subscribed to it, ahead of the statement (`must_hear`, `spell_ahead`). What comes then is *early*
(`takes`): whether the LISTEN was committed, the server says later (pool.audit).
"""

from itertools import count

from dbproxy.errors import ProxyError
from dbproxy.pool.audit import MARK, Findings
from dbproxy.pool.insertions import spell_ours
from dbproxy.pool.parameters import literal
from dbproxy.pool.server import Server
from dbproxy.session.channels import channel_of, quote
from dbproxy.session.house import House
from dbproxy.session.hub import Hub
from dbproxy.session.owner import Owner
from dbproxy.session.wait import HEARD, may_end
from dbproxy.sql.statement import DISCARDED, DISCARDS, NOTIFIES, Statement

_marks = count(1)


class Listening:
    """The channels of one client."""

    def __init__(self, client: Owner, house: House) -> None:
        self.client = client
        self.house = house
        self.hub: Hub | None = None  # once it has listened
        self.channels: frozenset[str] = frozenset()  # to which the client listens
        self.unwanted: set[str] = set()  # it may have given them up in this transaction
        self.wanted: set[str] = set()  # it may listen to them: the server was not asked yet
        self.tentative = False  # whether the LISTEN was committed is not known
        self.doubtful = False  # something has failed: only the server can say it
        self.early: list[bytes] = []  # notifications that came before that was known
        self.late: list[bytes] = []  # notifications on channels that it may have given up
        self.mark = ""  # of the last LISTEN or UNLISTEN
        self.hearing = False  # the hub was asked, and the client waits for it
        # New channels: of these the hub has told what was notified ahead of the LISTEN.
        self.reached: frozenset[str] = frozenset()
        self.notifies = False  # the client, in this transaction, and may hear of that
        self.notified = False  # the client has notified, and the hub may yet be told

    def find_hub(self) -> Hub:
        if self.hub is None:
            who = self.client.identity
            self.hub = self.house.find_hub(who.database, who.user)
        return self.hub

    # --- before a statement is sent ---

    def note_notify(self, server: Server) -> None:
        server.trail.notifier = server.loan.client
        self.notifies = self.hub is not None
        self.notified = True

    def spell_ahead(self, server: Server, statement: Statement, simple: bool) -> bytes:
        """Messages that go ahead of a LISTEN or UNLISTEN.

        What the client listens to already, for UNLISTEN to find it, and a mark that is rolled back with it.
        """
        self.mark = str(next(_marks))
        self.reached = frozenset()
        self.wanted.update(listen.channel for listen in statement.listens if listen.begins)
        if self.wanted - self.channels:
            self.tentative = True
            self.find_hub().subscribe(self.client, self.wanted)
        server.dialogue.traces.touched.add(MARK)
        ahead = spell_ours(
            server.dialogue, [f"SET {MARK} TO {literal(self.mark)}", *self.spell_channels()], simple
        )
        for listen in statement.listens:
            if not listen.begins:
                self.unwanted |= {listen.channel} if listen.channel else self.channels
        return ahead

    def discard(self) -> None:
        """A DISCARD ALL is sent."""
        self.unwanted |= self.channels

    def spell_channels(self) -> list[str]:
        return [f"LISTEN {quote(channel)}" for channel in sorted(self.channels - self.unwanted)]

    def must_hear(self, statement: Statement, effects: int) -> bool:
        """Whether the hub must hear first; then the client goes on once it has (`heard`).

        A channel that is new to it; what has been notified on one that is new to the client; and what the client has
        notified, before it listens or gives a channel up.
        """
        channels = [listen.channel for listen in statement.listens if listen.begins]
        new = frozenset(channels) - self.channels - self.wanted - self.reached
        gives_up = bool(self.channels) and bool(statement.listens or effects & DISCARDS)
        late = self.notified and (bool(channels) or gives_up)
        if self.channels and effects & NOTIFIES:
            channels += self.channels  # one that a function began to listen to is known only since then
        if not channels and not late:
            return False
        hub = self.find_hub()
        heard = hub.hears(channels)
        if heard and not late and not new:
            return False
        if not self.hearing:
            self.hearing = True
            self.reached |= new
            if heard:
                hub.catch_up(self.heard)
            else:
                self.house.hear(hub, channels, self.heard)
        return self.hearing  # not if there is nothing to wait for

    def heard(self, error: ProxyError | None = None) -> None:
        """The hub hears what this client asked for, or cannot: go on."""
        self.hearing = self.notified = False
        if self.client.closed or not may_end(self.client.inbound.wait, HEARD):
            return
        if error is not None:
            self.client.disconnect(error.message, error)
        else:
            self.client.resume()

    # --- notifications, and the end of the transaction ---

    def takes(self, message: bytes) -> bool:
        """Whether a notification is not to be told (yet), as the LISTEN may never be committed, or an UNLISTEN was."""
        if not (self.tentative or self.unwanted) or message[:1] != b"A":
            return False
        channel = channel_of(message)
        if channel in self.unwanted:
            self.late.append(message)
            return True
        if not self.tentative:
            return False
        if channel not in self.wanted or channel in self.channels:
            return False
        # A notification of the client's own is sent only once it is committed.
        own = int.from_bytes(message[5:9], "big") == self.client.identity.pid
        if own or self.doubtful:
            self.early.append(message)
        return True

    def count_early(self, failed: bool) -> None:
        """The transaction is over: what was asked for counts as committed, until the server says what was.

        `failed`: part of the transaction was rolled back, or all of it.
        """
        self.doubtful |= self.tentative and failed
        if not self.doubtful:
            self.tentative = False
            self.client.news.messages.extend(self.early)
            self.early.clear()

    def conclude(self, findings: Findings, effects: int) -> None:
        """Take over what the server listens to now, with the channels of before where an UNLISTEN was rolled back."""
        found = findings.channels
        if found is None:
            return
        kept = findings.named.get(MARK) == self.mark or bool(effects & DISCARDED)
        self.wanted.clear()
        self.unwanted.clear()
        self.tentative = self.doubtful = False
        if self.hub is None and not found:
            return
        self.channels = found if kept else self.channels | found
        hub = self.find_hub()
        before = hub.channels_of(self.client)
        hub.subscribe(self.client, self.channels - before, late=True)
        hub.unsubscribe(self.client, before - self.channels)
        held = [*self.early, *self.late]
        self.early, self.late = [], []
        for message in held:
            if channel_of(message) in self.channels:
                self.client.notify(message)
