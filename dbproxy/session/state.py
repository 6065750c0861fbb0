"""What a client's session has beyond its transaction, and how it comes along from server to server.

Before a statement that may change the session is sent, `begin` says what has to go ahead of it, and notes on the server
what it may do. After the transaction the server is asked what was left (pool.audit), and `conclude` takes that over:
settings are replayed at the next checkout, statements prepared by SQL are prepared again when they are called, channels
are listened to by the hub, and what cannot be moved pins the server, with a reason, for as long as it is there.
"""

import re
from collections.abc import Iterable, Mapping, Set
from contextlib import suppress
from time import monotonic

from dbproxy.pool.audit import Findings
from dbproxy.pool.insertions import spell_ours, spell_sync
from dbproxy.pool.parameters import NOTHING, ROLES, Parameters
from dbproxy.pool.request import Refusal
from dbproxy.pool.scopes import PATH, READ
from dbproxy.pool.server import Server
from dbproxy.routing.wishes import complain
from dbproxy.session.answers import answer
from dbproxy.session.given import encode
from dbproxy.session.house import House
from dbproxy.session.listening import Listening
from dbproxy.session.names import DEPENDS, USES
from dbproxy.session.owner import Owner
from dbproxy.session.pins import follow_pins
from dbproxy.session.recollection import Recollection
from dbproxy.session.refusal import find_refusal
from dbproxy.session.signals import Values
from dbproxy.session.token import renew_token
from dbproxy.sql import statement as sql
from dbproxy.sql.identity import Shape
from dbproxy.sql.statement import Statement
from dbproxy.wire import build

_SETTING_NAME = re.compile(r"[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$.\x80-\U0010ffff]{0,250}")


class SessionState:
    """One client's, in transaction and statement mode. `start`: the settings that it asked for as it logged in."""

    def __init__(self, client: Owner, house: House) -> None:
        self.client = client
        self.house = house
        self.pool = client.pool
        self.mode: str = client.pool.settings.mode
        self.tracks = self.mode != "session"
        self.shares = self.tracks and client.pool.settings.max_prepared_statements > 0  # statements
        self.start = client.identity.settings
        self.pins: dict[str, float] = {}  # reason, and since when (monotonic seconds)
        self.listening = Listening(client, house)
        self.recollection = Recollection(client.pool.tenant)
        self.backslashes = self.reads_backslashes()

    @property
    def owner(self) -> int:
        """Whose statements are its own."""
        return self.client.identity.id

    def reads_backslashes(self) -> bool:
        """Whether a backslash escapes in the client's string constants."""
        name = "standard_conforming_strings"
        welcome: dict[str, str] = self.pool.welcome
        return bool(self.client.settings.values.get(name, welcome.get(name, "on")) == "off")

    def keep(self, values: Mapping[str, str]) -> None:
        """Take these settings as if the client had asked for them as it logged in."""
        if values:
            client, find = self.client, self.pool.tenant.parameter_sets.find
            self.start = find({**values, **self.start.values})
            client.settings = find({**values, **client.settings.values})
            client.prepared.settle(client.settings.values)

    # --- before a statement is sent ---

    def find_shape(self, body: bytes) -> Shape:
        """The shape of a Query's text, or of a Parse's body (what is behind the first NUL does not count)."""
        stop = body.find(b"\0")
        shape: Shape = self.pool.tenant.classifier.find(body if stop < 0 else body[:stop], self.backslashes)
        return shape

    def classify(self, body: bytes) -> Statement:
        """What a text may do."""
        effects: Statement = self.find_shape(body).effects
        return effects

    def effects_of(self, statement: Statement) -> tuple[int, frozenset[str]]:
        """What the statement may do, also by functions of the database that are known, and which settings it names."""
        effects, names = statement.effects, statement.settings
        for function in statement.functions:
            more = self.pool.tenant.routines.known.get(function)
            if more is not None:
                effects |= more[0]
                names |= more[1]
        for prepared in self.executed(statement):
            effects |= prepared.effects
            names |= prepared.settings
        return effects, names

    def executed(self, statement: Statement) -> list[Statement]:
        """What the statement's EXECUTEs may run."""
        giver = self.client.translator.names.giver
        return [prepared for name in encode(statement.executes) for prepared in giver.effects_of(name)]

    def refusal(self, statement: Statement) -> Refusal | None:
        """Why the statement is not carried out: it would pin, which may be forbidden, or sets what cannot be."""
        settings = self.pool.settings
        effects = self.effects_of(statement)[0] if settings.refuse_pins else 0
        return find_refusal(statement, effects, settings, self.pool.tenant.recall.able)

    def must_wait(self, server: Server, statement: Statement, simple: bool) -> bool:
        """Whether the statement depends on answers that are due: what a name means, what a Sync would end, a NOTIFY."""
        translator = self.client.translator
        depends = sql.LISTENS if self.listening.notified else 0
        if simple and translator.series.executes:
            depends |= sql.LISTENS | sql.RECALLS
        if statement.bare:
            depends |= sql.RECALLS
        depends &= self.effects_of(statement)[0] if depends else 0
        return bool(depends | statement.effects & DEPENDS) and translator.names.must_wait(server)

    def ask_hub(self, statement: Statement) -> bool:
        """Have the hub hear what it must ahead of the statement; whether the client waits for it."""
        if not (statement.listens or self.listening.channels):
            return False
        return self.listening.ask_hub(statement, self.effects_of(statement)[0])

    def begin(self, server: Server, statement: Statement, values: Iterable[bytes], simple: bool) -> bytes:
        """Mark the server for what the statement may do; messages that have to go ahead of it.

        `values`: the Bind's parameters; `simple`: the statement is a Query, which needs a Sync before it.
        """
        effects, names = self.effects_of(statement)
        traces, translator = server.dialogue.traces, self.client.translator
        traces.touched.update(names)
        if effects & sql.SETS_PARAMETER:
            traces.touched.update(_setting_names(values))
        if effects & sql.LOCAL:
            traces.note(sql.LOCAL)
        self.depart(effects, statement, values)
        self.note_listening(server, effects)
        self.note_changes(server, statement, effects)
        ahead = b""
        if effects & (sql.ADVANCES | sql.RECALLS):
            if not effects & sql.RECALLS:  # it calls nextval: others are lent the server only if they must be
                self.client.lending.claims = True
            ahead, effects = self.recollection.use(server, statement, effects, simple)
        if statement.functions or statement.modifies_within or effects & (sql.UNKNOWN | sql.EXECUTES):
            traces.sequences.advance()
        traces.note(effects)
        if effects & USES or (effects & sql.UNKNOWN and self.client.prepared.by_sql):
            ahead += translator.names.use(server, statement, effects, simple)
        if server.dialogue.status == ord("E"):
            return ahead
        return ahead + self.show(server, effects, simple) + self.listen(server, statement, effects, simple)

    def note_listening(self, server: Server, effects: int) -> None:
        listening = self.listening
        if effects & sql.NOTIFIES:
            listening.note_notify(server)
        if listening.notifies or effects & sql.LISTENS or (listening.channels and effects & sql.DISCARDS):
            server.loan.keeps_ready = True

    def note_changes(self, server: Server, statement: Statement, effects: int) -> None:
        """What the statement may change for others: databases that it drops, functions that it defines."""
        tenant = self.pool.tenant
        if effects & sql.UNKNOWN:
            server.dialogue.traces.has_unlisted_settings = True
        if effects & sql.CHANGES:
            tenant.forget_statements()
        if statement.databases:
            self.house.vacate(statement.databases)
        if statement.defines:
            tenant.routines.define(statement)

    def listen(self, server: Server, statement: Statement, effects: int, simple: bool) -> bytes:
        """What has to go ahead of LISTEN and UNLISTEN, and of what shows the channels."""
        listening, ahead = self.listening, b""
        if effects & sql.LISTENS:
            ahead = listening.spell_ahead(server, statement, simple)
        elif (
            effects & sql.SHOWS_CHANNELS and listening.channels and not self.client.translator.series.executes
        ):
            ahead = spell_ours(server.dialogue, listening.spell_channels(), simple)
            if not simple:  # only what is committed can be seen
                ahead += spell_sync(server.dialogue)
        if effects & sql.DISCARDS:
            listening.discard()
        return ahead

    def depart(self, effects: int, statement: Statement, values: Iterable[bytes]) -> None:
        """Settings that the statement may change count at once for what is parsed behind it."""
        if not effects & sql.MOVES_SETTINGS:
            return
        prepared = self.client.prepared
        if effects & sql.SETS_UNKNOWN or sql.ALL in statement.resets or "" in statement.local:
            prepared.share_no_more(PATH | READ)
        else:
            _, names = self.effects_of(statement)
            given = _setting_names(values) if effects & sql.SETS_PARAMETER else ()
            prepared.share_no_more({*names, *statement.local, *given})

    def show(self, server: Server, effects: int, simple: bool) -> bytes:
        """What has to go ahead of a statement that shows the causal token, and of its Parse, which fails without."""
        if not effects & sql.SHOWS_TOKEN or server.dialogue.status == ord("E"):
            return b""
        return renew_token(self.client, server, simple)

    def restored(self, statement: Statement) -> Parameters:
        """What a RESET takes away though the client asked for it as it logged in: to be set again behind it."""
        start: Parameters = self.start
        if not start.values or not (statement.resets or statement.executes):
            return NOTHING
        involved = [statement, *self.executed(statement)]
        names = frozenset().union(*(_taken_away(start.values.keys(), one) for one in involved))
        found: Parameters = self.pool.tenant.parameter_sets.find({name: start.values[name] for name in names})
        return found

    def answer(self, server: Server, text: bytes, values: Values = ()) -> bytes | Refusal | None:
        """What is sent instead of a *bare* statement, or why not; `values`: the Bind's, and whether they are binary."""
        own = self.client.translator.series.executes or self.recollection.is_known_to(server)
        recollection = None if own else self.recollection
        return answer(self.client.identity, self.house, recollection, server, text, values)

    # --- after the transaction ---

    def conclude(self, server: Server, findings: Findings, effects: int) -> None:
        """Take over what the server says was left behind."""
        client = self.client
        if effects & sql.CHANGES:
            self.pool.tenant.forget_statements()
        before = client.settings
        client.settings = self.pool.tenant.parameter_sets.find(self.settings_now(server, findings))
        if client.settings is not before:
            self.warn(before.values, client.settings.values)
        client.translator.readings.conclude(findings.named)
        client.prepared.settle(client.settings.values)
        if self.backslashes != self.reads_backslashes():
            self.backslashes = not self.backslashes
            client.prepared.unnamed.shape = self.find_shape(client.prepared.unnamed.body or b"")
        if findings.prepared is not None:
            client.translator.names.conclude(server, findings.prepared)
        self.listening.conclude(findings, effects)
        self.recollection.conclude(server, findings.recalled, effects)
        self.pins = follow_pins(client.identity, server, self.pins, monotonic())

    def warn(self, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """Tell the client of a value that no setting of ours can have, as it was not seen ahead."""
        for name, why in complain(after):
            if after[name] != before.get(name):
                warning = build.notice_response(
                    why, severity="WARNING", sqlstate="22023", hint="The strictest is done instead."
                )
                self.client.notice(warning)

    def settings_now(self, server: Server, findings: Findings) -> dict[str, str]:
        """The session's own, over those that it asked for as it logged in."""
        values = {**self.start.values, **server.dialogue.settings.values}
        for name in ROLES:  # SET SESSION AUTHORIZATION takes the role away, too
            if name in self.start.values:  # and that the server was not asked for it says nothing
                values[name] = findings.named.get(name) or self.client.settings.values.get(name, values[name])
        return values


def _taken_away(names: Set[str], statement: Statement) -> Set[str]:
    """Which of these settings go back to the server's default."""
    found = names & statement.resets
    if sql.ALL in statement.resets:
        roles = set() if statement.effects & sql.DISCARDS else set(ROLES)
        found |= names - statement.stays - roles
    return found


def _setting_names(values: Iterable[bytes]) -> list[str]:
    """Those of a Bind's values that a setting can be called by; others are binary, or text that is no name."""
    names = []
    for value in values:
        with suppress(UnicodeDecodeError):
            name = value.decode()
            if _SETTING_NAME.fullmatch(name):
                names.append(name.lower())
    return names
