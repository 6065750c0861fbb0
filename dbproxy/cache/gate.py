"""The gate that answers from what is kept (dbproxy.gates), and has what is not kept yet be listened to.

Of a request that it could answer it decides, in this order: is the feature on for this session; is it a whole read of
one statement; is the statement one whose answer can be kept (cache.case); is it kept and current. A miss goes to a
server, and its answer is kept if nothing was committed to its tables since before it was asked for. Equal misses wait
for the first, for a while.

A share of what could be answered is carried out all the same, and compared: a difference is a mistake of ours, is
logged, and the statement is not answered from here any more (`Cases.quarantined`).
"""

import asyncio
import random
from collections.abc import Callable

import structlog

from dbproxy.cache.asked import Asked, Session, Settings, is_momentary
from dbproxy.cache.case import Case, is_ordered
from dbproxy.cache.cases import Cases
from dbproxy.cache.entry import Entry, Moment
from dbproxy.cache.fence import BY_SETTINGS, Fence
from dbproxy.cache.fill import RACED, TOO_LARGE, TOO_OLD, Fill, end_wait, wait_for
from dbproxy.cache.key import PREFIX
from dbproxy.cache.keyring import REFUSALS, Keyring
from dbproxy.cache.memory import Memory
from dbproxy.cache.reading import MOMENT
from dbproxy.cache.shelf import Shelf
from dbproxy.cache.table import Table
from dbproxy.cache.tally import COALESCED, HIT, MISS, VERIFIED, WOULD_HIT, Tally
from dbproxy.cache.value import Value, is_same_set, read_answer
from dbproxy.config.cache import CacheKeys, CacheRuleSettings
from dbproxy.features.mode import OFF, ON, Feature
from dbproxy.gates import GO, Answer, Await, Verdict
from dbproxy.sql.identity import Shape
from dbproxy.sql.settings import TOKEN

log = structlog.get_logger(__name__)

NOT_WHOLE = "not one whole request"
NOT_FOLLOWED = "a table whose writes are not told"
AHEAD = "writes up to its causal token are not told yet"
HOLDING = "its session keeps a server"
HEARSAY = 2.0  # seconds that a write, which the server's answer had, may take to be told
SPREAD = 0.1  # of the time that an entry lives


class CacheGate:
    """Of one database and user; `place` and `user` say which to keys."""

    def __init__(
        self,
        place: str,
        database: str,
        user: str,
        fence: Fence,
        memory: Memory,
        feature: Feature,
        settings: CacheKeys,
        rules: tuple[CacheRuleSettings, ...] = (),
    ) -> None:
        self.place = place
        self.database = database
        self.user = user
        self.memory = memory
        self.feature = feature
        self.settings = settings
        self.tally = Tally()
        self.cases = Cases(database, user, fence, settings.ttl, rules)
        self.shelf: Shelf | None = None  # what is kept outside of this process
        # Whether all up to a causal token was told, where others' writes are.
        self.has_heard: Callable[[str], bool] | None = None
        self.keyring = Keyring(place, user)
        self.flying: dict[bytes, Fill] = {}  # by key, the first that was sent

    def apply(self, settings: CacheKeys, rules: tuple[CacheRuleSettings, ...]) -> None:
        """Other settings: what is kept stays, but where it would for too long."""
        self.feature.switch(settings.mode, settings.percent)
        if settings.ttl < self.settings.ttl:
            self.cases.fence.invalidate(None, BY_SETTINGS)
        self.settings = settings
        self.cases.apply(settings.ttl, rules)

    def is_harmless(self, shape: Shape | None) -> bool:
        """Whether it only reads, and all that it calls, so that nothing is another in its transaction afterwards."""
        return shape is not None and shape.harmless and not self.cases.find(shape).reason

    # --- dbproxy.gates.Gate ---

    def lets_go(self, shape: Shape, session: int) -> bool:
        """Whether a server is to answer a request of this statement, and that is all that matters of it here.

        `session`: its number.
        """
        if self.find_mode(session) == OFF:
            return True
        case = self.cases.find(shape)
        if case.reason:
            self.pass_by(case, case.reason)
            return True
        return False

    def find_mode(self, session: int) -> int:
        feature = self.feature
        return feature.treated.mode if feature.percent >= 100 else feature.arm_of(session).mode

    def before(self, request: Asked, session: Session, now: float) -> Verdict:
        mode = self.find_mode(session.id)
        if mode == OFF:
            return GO
        shape = request.shape
        if shape is None or not request.whole:
            self.tally.bypass(NOT_WHOLE)
            return GO
        case = self.cases.find(shape)
        if case.reason:
            return self.pass_by(case, case.reason)
        if not self.cases.is_followed(case):
            return self.pass_by(case, NOT_FOLLOWED)
        if session.server is not None and not request.browses_by:  # of temporary tables, perhaps
            return self.pass_by(case, HOLDING)
        key = self.keyring.find_key(request, session.settings)
        if len(key) < PREFIX:
            return self.pass_by(case, REFUSALS[key])
        if self.has_heard is not None and not keeps_up(session.settings, self.has_heard):
            return self.pass_by(case, AHEAD)
        return self.look_up(request, case, key, mode, now)

    def pass_by(self, case: Case, reason: str) -> Verdict:
        """A server answers, and nobody listens."""
        case.bypassed += 1
        self.tally.bypass(reason)
        return GO

    def after(self, request: Asked) -> None:
        fill = request.fill
        if fill is not None:
            fill.close()

    # --- kept, or not ---

    def look_up(self, request: Asked, case: Case, key: bytes, mode: int, now: float) -> Verdict:
        entry = self.memory.find(key)
        if entry is not None and entry.expires_at > now and entry.moment.is_current():
            data = entry.value.spell(request.kinds)
            if data is not None and (not request.browses_by or entry.moment.was_over_by(request.browses_by)):
                return self.serve(request, case, entry, data, mode)
        first = self.flying.get(key)
        if first is not None and mode == ON and self.settings.coalesce and not request.waited:
            self.tally.outcomes[COALESCED] += 1
            request.waited = True
            return Await(wait_for(first, self.settings.coalesce))
        if entry is None and not self.is_worth_keeping(case, key, now):
            self.tally.outcomes[MISS] += 1
            case.miss()
            return GO
        return self.miss(request, case, key, mode)

    def is_worth_keeping(self, case: Case, key: bytes, now: float) -> bool:
        """Whether it may be asked for again."""
        return not case.is_choosy() or self.memory.sightings.note(key, now)

    def miss(self, request: Asked, case: Case, key: bytes, mode: int) -> Verdict:
        momentary = is_momentary(request)
        shelf = self.shelf if mode == ON and not momentary else None
        tables = case.find_tables(request)
        if shelf is not None and not request.looked:
            request.looked = True
            found = shelf.look(key, case.shape, tables, self.settings.max_result)
            if found is not None:
                return Await(found)
        self.tally.outcomes[MISS] += 1
        case.miss()
        if momentary:
            self.tally.discarded[MOMENT] += 1
            return GO
        fill = request.fill = self.begin(key, case, tables)
        if shelf is not None:
            fill.origin = shelf.note(tables)
        self.flying.setdefault(key, fill)
        return GO

    def serve(self, request: Asked, case: Case, entry: Entry, data: bytes, mode: int) -> Verdict:
        self.memory.use(entry)
        case.hit()
        verify = self.settings.verify
        if verify and self.cases.fence.sees and random.random() < verify:  # noqa: S311  # no secret
            self.tally.outcomes[VERIFIED] += 1
            request.fill = self.begin(entry.key, case, entry.moment.tables, entry)
            return GO
        if mode != ON:
            self.tally.outcomes[WOULD_HIT] += 1
            return GO
        self.tally.outcomes[HIT] += 1
        self.tally.saved += entry.cost
        case.saved += entry.cost
        return Answer(data)

    def begin(self, key: bytes, case: Case, tables: list[Table], expected: Entry | None = None) -> Fill:
        moment = Moment(self.cases.fence, tables)
        return Fill(key, case.shape, moment, self.settings.max_result, self.land, expected)

    # --- on the way from a server ---

    def land(self, fill: Fill) -> None:
        """An answer has come, or will not."""
        self.finish(fill)
        if self.flying.get(fill.key) is fill:
            del self.flying[fill.key]
        if fill.landed is not None:
            end_wait(fill.landed)

    def finish(self, fill: Fill) -> None:
        if not fill.size:
            return
        found = read_answer(fill.take()) if fill.size <= fill.limit else TOO_LARGE
        if isinstance(found, Value) and not fill.fresh:
            found = TOO_OLD
        if isinstance(found, Value) and not fill.moment.is_unchanged():
            found = RACED
        if not isinstance(found, Value):
            self.tally.discarded[found] += 1
        elif fill.expected is not None:
            self.compare(fill, fill.expected, found)
        else:
            self.keep(fill, found)

    def keep(self, fill: Fill, value: Value) -> None:
        case = self.cases.known.get(fill.shape)
        ttl = self.cases.ttl if case is None else case.ttl
        lives = ttl * (1 + SPREAD * (2 * random.random() - 1))  # noqa: S311  # which is no secret
        self.memory.keep(Entry(fill.key, value, fill.moment, fill.shape, fill.cost, fill.ended_at + lives))
        self.tally.kept += 1
        if self.shelf is not None:
            self.shelf.offer(fill, value, lives)

    def compare(self, fill: Fill, expected: Entry, found: Value) -> None:
        """What is kept with what the server has said just now."""
        if expected.value.rows == found.rows or not expected.moment.is_unchanged():
            return
        if not is_ordered(fill.shape) and is_same_set(expected.value.rows, found.rows):
            return
        if self.cases.fence.followed is None:
            self.accuse(expected)
        else:
            asyncio.get_running_loop().call_later(HEARSAY, self.accuse, expected)

    def accuse(self, expected: Entry) -> None:
        """What is kept is not what the server has said: a mistake, but if a write was told by now."""
        if not expected.moment.is_unchanged():
            return
        shape = expected.shape
        self.tally.mismatches += 1
        self.cases.quarantine(shape)
        self.memory.drop(expected.key)
        told = {"statement": shape.text, "query": shape.name()}
        log.error("cache mismatch", database=self.place, user=self.user, **told)


def keeps_up(settings: Settings, has_heard: Callable[[str], bool]) -> bool:
    """Whether what is kept has seen all that the session's causal token stands for."""
    token = settings.values.get(TOKEN, "") if settings.values else ""
    return not token or has_heard(token)
