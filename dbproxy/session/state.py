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

from dbproxy.errors import FeatureNotSupported, InvalidParameterValue
from dbproxy.pool.audit import Findings
from dbproxy.pool.insertions import spell_ours, spell_sync
from dbproxy.pool.parameters import NOTHING, ROLES, Parameters
from dbproxy.pool.request import Refusal
from dbproxy.pool.routines import defined, may_set
from dbproxy.pool.scopes import PATH, READ
from dbproxy.pool.server import Server
from dbproxy.routing.wishes import complain
from dbproxy.session.answers import answer
from dbproxy.session.house import House
from dbproxy.session.listening import Listening
from dbproxy.session.names import DEPENDS, USES, encode
from dbproxy.session.owner import Owner
from dbproxy.session.pins import follow_pins
from dbproxy.session.recollection import Recollection
from dbproxy.session.signals import Values
from dbproxy.session.token import renew_token
from dbproxy.sql import statement as sql
from dbproxy.sql.identity import Shape
from dbproxy.sql.statement import Statement
from dbproxy.wire import build

CREATES = {  # which effects would pin, in the order in which they are refused
    sql.CREATES_TEMP: ("temp", "temporary objects"),
    sql.LOCKS: ("lock", "session advisory locks"),
    sql.HOLDS: ("cursor", "cursors WITH HOLD"),
    sql.LOADS: ("load", "LOAD"),
    sql.SEEDS: ("seed", "setseed"),
    sql.RECALLS: ("sequence", "currval and lastval"),
    sql.KEEPS: ("function", "functions that leave something in the session"),
    sql.SETS_UNKNOWN: ("set_config", "set_config with a computed name"),
}
_SETTING_NAME = re.compile(r"[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$.\x80-\U0010ffff]{0,250}")
REFUSED = "refused by the proxy"  # no SQL: PostgreSQL fails it where the refused statement would have run


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
            more = self.pool.tenant.routines.get(function)
            if more is not None:
                effects |= more[0]
                names |= more[1]
        for prepared in self.executed(statement):
            effects |= prepared.effects
            names |= prepared.settings
        return effects, names

    def executed(self, statement: Statement) -> list[Statement]:
        """What the statement's EXECUTEs may run."""
        names = self.client.prepared.names
        return [prepared for name in encode(statement.executes) for prepared in names.effects_of(name)]

    def refusal(self, statement: Statement) -> Refusal | None:
        """Why the statement is not carried out: it would pin, which may be forbidden, or sets what cannot be."""
        if statement.wishes:
            for _, why in complain(dict(statement.wishes)):
                return Refusal("", build.error_response(InvalidParameterValue(why)))
        refused = self.pool.settings.refuse_pins
        if not refused:
            return None
        effects, _ = self.effects_of(statement)
        if self.pool.tenant.recall.able and (statement.bare or statement.inserts_first):
            effects &= ~sql.RECALLS
        for effect, (reason, what) in CREATES.items():
            if effects & effect and reason in refused:
                return Refusal(
                    reason,
                    build.error_response(
                        FeatureNotSupported(
                            f"refused in {self.pool.settings.mode} pooling: {what}",
                            detail=f'They would pin a server connection to the client (pin "{reason}").',
                            hint='Connect with pool.mode = "session", or take the pin out of pool.refuse_pins.',
                        )
                    ),
                )
        return None

    def must_wait(self, server: Server, statement: Statement, simple: bool) -> bool:
        """Whether the statement depends on answers that are due: what a name means, what a Sync would end, a NOTIFY."""
        prepared = self.client.prepared
        depends = sql.LISTENS if self.listening.notified else 0
        if simple and prepared.executes:
            depends |= sql.LISTENS | sql.RECALLS
        if statement.bare:
            depends |= sql.RECALLS
        depends &= self.effects_of(statement)[0] if depends else 0
        return bool(depends | statement.effects & DEPENDS) and prepared.names.must_wait(server)

    def must_hear(self, statement: Statement) -> bool:
        """Whether the hub must hear something first (`Listening.heard`)."""
        if not (statement.listens or self.listening.channels):
            return False
        return self.listening.must_hear(statement, self.effects_of(statement)[0])

    def begin(self, server: Server, statement: Statement, values: Iterable[bytes], simple: bool) -> bytes:
        """Mark the server for what the statement may do; messages that have to go ahead of it.

        `values`: the Bind's parameters; `simple`: the statement is a Query, which needs a Sync before it.
        """
        listening = self.listening
        effects, names = self.effects_of(statement)
        server.dialogue.traces.touched.update(names)
        if effects & sql.SETS_PARAMETER:
            server.dialogue.traces.touched.update(_setting_names(values))
        if effects & sql.LOCAL:
            server.dialogue.traces.note(sql.LOCAL)
        self.depart(effects, statement, values)
        if effects & sql.NOTIFIES:
            listening.note_notify(server)
        if listening.notifies or effects & sql.LISTENS or (listening.channels and effects & sql.DISCARDS):
            server.loan.keeps_ready = True
        if effects & sql.UNKNOWN:
            server.dialogue.traces.has_unlisted_settings = True
        if effects & sql.CHANGES:
            self.pool.tenant.forget_statements()
        ahead = b""
        if effects & (sql.ADVANCES | sql.RECALLS):
            ahead, effects = self.use_sequences(server, statement, effects, simple)
        if statement.functions or statement.modifies_within or effects & (sql.UNKNOWN | sql.EXECUTES):
            server.dialogue.traces.sequences.advance()
        if statement.databases:
            self.house.vacate(statement.databases)
        if statement.defines:
            self.pool.tenant.routines.update(defined(statement, self.pool.tenant.routines))
            self.pool.tenant.sets_unseen = may_set(self.pool.tenant.routines)
        server.dialogue.traces.note(effects)
        if effects & USES or (effects & sql.UNKNOWN and self.client.prepared.by_sql):
            ahead += self.client.prepared.names.use(server, statement, effects, simple)
        if server.dialogue.status == ord("E"):
            return ahead
        ahead += self.show(server, effects, simple)
        if effects & sql.LISTENS:
            ahead += listening.spell_ahead(server, statement, simple)
        elif effects & sql.SHOWS_CHANNELS and listening.channels and not self.client.prepared.executes:
            ahead += spell_ours(server.dialogue, listening.spell_channels(), simple)
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

    def use_sequences(
        self, server: Server, statement: Statement, effects: int, simple: bool
    ) -> tuple[bytes, int]:
        """Messages ahead of what uses sequences: what currval says is the client's own, or an error. And its effects.

        Who calls nextval claims its server: others are lent it only if they must be. Who recalls what is not known to
        be of the same transaction, in a way that the proxy does not answer (`answer`), keeps its server from then on.
        """
        traces = server.dialogue.traces
        if not effects & sql.RECALLS:
            self.client.lending.claims = True
            traces.sequences.advance()
            return b"", effects
        if (
            statement.bare
            or statement.inserts_first
            or (traces.sequences.advanced and server.dialogue.status == ord("T"))
        ):
            effects &= ~sql.RECALLS
        else:
            self.pool.tenant.recalls = True
        self.pool.tenant.recall.want()
        foreign = (
            traces.sequences.foreign and not traces.sequences.advanced and server.dialogue.status == ord("I")
        )
        if not statement.bare:
            traces.sequences.advance()
        return self.discard_sequences(server, simple) if foreign else b"", effects

    def discard_sequences(self, server: Server, simple: bool) -> bytes:
        """Messages by which the server forgets what sequences gave out."""
        server.dialogue.traces.sequences.forget()
        return spell_ours(server.dialogue, ["DISCARD SEQUENCES"], simple)

    def knows_better(self, server: Server) -> bool:
        """Whether what sequences gave out on the server is not the last that they gave this client."""
        if not (self.pool.tenant.recall.asks or self.pool.tenant.recalls):
            return False
        return server.loan.changed or (
            self.pool.tenant.recall.asks and self.recollection.server is not server
        )

    def answer(self, server: Server, text: bytes, values: Values = ()) -> bytes | Refusal | None:
        """What is sent instead of a *bare* statement, or why not; `values`: the Bind's, and whether they are binary."""
        own = self.client.prepared.executes or self.recollection.is_known_to(server)
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
        client.prepared.readings.conclude(findings.named)
        client.prepared.settle(client.settings.values)
        if self.backslashes != self.reads_backslashes():
            self.backslashes = not self.backslashes
            client.prepared.unnamed_shape = self.find_shape(client.prepared.unnamed or b"")
        if findings.prepared is not None:
            client.prepared.names.conclude(server, findings.prepared)
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
