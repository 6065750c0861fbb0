"""What a client listens to, and which notifications it is to be told.

A LISTEN counts from the end of its transaction on, but its channel must be heard before that: so the hub hears it, and
the client has subscribed to it, ahead of the statement (`ask_hub`, `spell_ahead`). What is not known until then is
`Uncommitted`.
"""

from dbproxy.errors import ProxyError
from dbproxy.pool.audit import MARK, Findings
from dbproxy.pool.insertions import spell_ours
from dbproxy.pool.parameters import literal
from dbproxy.pool.server import Server
from dbproxy.session.channels import channel_of, quote
from dbproxy.session.house import House
from dbproxy.session.hub import Hub
from dbproxy.session.owner import Owner
from dbproxy.session.uncommitted import Uncommitted
from dbproxy.session.wait import HEARD
from dbproxy.sql.statement import DISCARDED, DISCARDS, NOTIFIES, Statement


class Listening:
    """The channels of one client."""

    def __init__(self, client: Owner, house: House) -> None:
        self.client = client
        self.house = house
        self.hub: Hub | None = None  # once it has listened
        self.channels: frozenset[str] = frozenset()  # to which the client listens
        self.uncommitted = Uncommitted()
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
        uncommitted = self.uncommitted
        self.reached = frozenset()
        begun = [listen.channel for listen in statement.listens if listen.begins]
        if uncommitted.listen(begun, self.channels):
            self.find_hub().subscribe(self.client, uncommitted.wanted)
        server.dialogue.traces.touched.add(MARK)
        mark = f"SET {MARK} TO {literal(uncommitted.mark)}"
        ahead = spell_ours(server.dialogue, [mark, *self.spell_channels()], simple)
        uncommitted.unlisten(statement.listens, self.channels)
        return ahead

    def discard(self) -> None:
        """A DISCARD ALL is sent."""
        self.uncommitted.unwanted |= self.channels

    def spell_channels(self) -> list[str]:
        return [f"LISTEN {quote(channel)}" for channel in sorted(self.channels - self.uncommitted.unwanted)]

    def ask_hub(self, statement: Statement, effects: int) -> bool:
        """Have the hub hear what it must ahead of the statement; whether the client waits for it (`heard`).

        A channel that is new to the hub; what has been notified on one that is new to the client; and what the client
        has notified, before it listens or gives a channel up.
        """
        channels, late = self.find_concerned(statement, effects)
        if not channels and not late:
            return False
        hub = self.find_hub()
        heard = hub.keep(channels)
        new = frozenset(channels) - self.channels - self.uncommitted.wanted - self.reached
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

    def find_concerned(self, statement: Statement, effects: int) -> tuple[list[str], bool]:
        """Which channels must be heard ahead of the statement, and whether also what the client has notified."""
        channels = [listen.channel for listen in statement.listens if listen.begins]
        gives_up = bool(self.channels) and bool(statement.listens or effects & DISCARDS)
        late = self.notified and (bool(channels) or gives_up)
        if effects & NOTIFIES:  # one that a function began to listen to is known only since then
            channels += self.channels
        return channels, late

    def heard(self, error: ProxyError | None = None) -> None:
        """The hub hears what this client asked for, or cannot: go on."""
        self.hearing = self.notified = False
        if self.client.closed or not self.client.inbound.wait & HEARD:
            return
        if error is not None:
            self.client.disconnect(error.message, error)
        else:
            self.client.resume(HEARD)

    # --- notifications, and the end of the transaction ---

    def takes(self, message: bytes) -> bool:
        """Keep a notification that is not to be told (yet); False if it is, at once."""
        return self.uncommitted.takes(message, self.channels, self.client.identity.pid)

    def count_early(self, failed: bool) -> None:
        """The transaction is over; `failed`: not all of it was committed."""
        self.client.news.messages.extend(self.uncommitted.end(failed))

    def conclude(self, findings: Findings, effects: int) -> None:
        """Take over what the server listens to now, with the channels of before where an UNLISTEN was rolled back."""
        found = findings.channels
        if found is None:
            return
        kept = findings.named.get(MARK) == self.uncommitted.mark or bool(effects & DISCARDED)
        self.uncommitted.conclude()
        if self.hub is None and not found:
            return
        self.channels = found if kept else self.channels | found
        hub = self.find_hub()
        before = hub.channels_of(self.client)
        hub.subscribe(self.client, self.channels - before, late=True)
        hub.unsubscribe(self.client, before - self.channels)
        for message in self.uncommitted.take_held():
            if channel_of(message) in self.channels:
                self.client.notify(message)
