"""What the gate says to a request, and what it keeps of an answer."""

import asyncio
from collections.abc import Mapping

import pytest

from dbproxy.cache import gate
from dbproxy.cache.asked import is_momentary
from dbproxy.cache.cases import NO_READ, QUARANTINED, STARTING
from dbproxy.cache.fence import Fence
from dbproxy.cache.fill import RACED, TOO_LARGE, TOO_OLD, Fill
from dbproxy.cache.gate import (
    AHEAD,
    HOLDING,
    NOT_WHOLE,
    CacheGate,
)
from dbproxy.cache.keyring import SERIALIZABLE
from dbproxy.cache.memory import Memory
from dbproxy.cache.tally import COALESCED, HIT, MISS, VERIFIED, WOULD_HIT
from dbproxy.cache.writes import Writes
from dbproxy.config.cache import CacheKeys
from dbproxy.features.mode import Feature
from dbproxy.gates import GO, Answer, Await
from dbproxy.wire import build
from tests.support.speech import (
    BIND_COMPLETE,
    IDLE,
    PARSE_COMPLETE,
    SYNC,
    bind,
    columns,
    complete,
    error,
    execute,
    parse,
    row,
    rows,
)
from tests.unit.cache.fakes import ITEMS, Knowledge, shape_of

READ = "SELECT a FROM items"
TOLD = columns("a") + row("1") + complete("SELECT 1")
INSERT = shape_of("INSERT INTO items VALUES (1)")


class Settings:
    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.cache_key = b""


class Session:
    def __init__(self, **settings: str) -> None:
        self.settings = Settings(settings)
        self.id = 1
        self.server: object = None


class Asked:
    def __init__(self, text: str = READ, *, named: bool = False, whole: bool = True) -> None:
        self.shape = shape_of(text)
        messages = [parse("", text), bind(), execute(), SYNC] if named else [build.query(text)]
        self.kinds = b"".join(message[:1] for message in messages)
        self.messages = self.chunk = b"".join(messages)
        self.text = text
        self.whole = whole
        self.waited = False
        self.browses_by = 0.0
        self.fill: Fill | None = None

    def read_text(self) -> bytes:
        return self.text.encode()


class House:
    """A gate with all that it needs; `now` is what the clock says."""

    def __init__(self, mode: str = "on", **keys: object) -> None:
        self.fence = Fence()
        self.fence.learn(Knowledge(), self.fence.alterations)
        self.memory = Memory(100_000)
        settings = CacheKeys.model_validate({"mode": mode, "verify": 0, **keys})
        self.gate = CacheGate("h/d", "d", "u", self.fence, self.memory, Feature("cache", mode, 100), settings)
        self.now = 100.0

    def ask(self, asked: Asked | None = None, session: Session | None = None) -> object:
        return self.gate.before(asked or Asked(), session or Session(), self.now)

    def fill(self, asked: Asked, *heard: bytes, replica: bool = False) -> None:
        assert asked.fill is not None
        asked.fill.begin(not replica)
        for data in heard:
            asked.fill.hear(data)
        asked.fill.end(0.5, self.now)
        self.gate.after(asked)

    def keep(self, asked: Asked | None = None, session: Session | None = None) -> None:
        asked = asked or Asked()
        assert self.ask(asked, session) is GO
        self.fill(asked, TOLD, IDLE)

    def outcomes(self, *names: str) -> list[int]:
        return [self.gate.tally.outcomes[name] for name in names]

    def write(self) -> None:
        writes = Writes(self.fence)
        writes.note(INSERT, stays_open=False)
        writes.end()


def test_what_was_answered_once_is_answered_again():
    house = House()
    house.keep()
    assert house.ask() == Answer(TOLD)
    told = PARSE_COMPLETE + BIND_COMPLETE + row("1") + complete("SELECT 1")
    assert house.ask(Asked(named=True)) == Answer(told)
    assert house.outcomes(HIT, MISS) == [2, 1]
    assert house.gate.tally.saved == 1.0


def test_nothing_is_answered_while_a_write_is_under_way_or_after_it():
    house, asked = House(), Asked()
    house.keep()
    writes = Writes(house.fence)
    writes.note(INSERT, stays_open=False)
    assert house.ask(asked) is GO
    house.gate.after(asked)
    writes.end()
    assert house.ask() is GO


def test_answer_that_was_asked_for_before_a_write_is_not_kept():
    house, asked = House(), Asked()
    house.ask(asked)
    house.write()
    house.fill(asked, TOLD, IDLE)
    assert house.gate.tally.discarded[RACED] == 1
    assert house.ask() is GO


def test_answer_that_was_asked_for_during_a_write_does_not_outlive_it():
    house, asked = House(), Asked()
    writes = Writes(house.fence)
    writes.note(INSERT, stays_open=False)
    house.ask(asked)
    house.fill(asked, TOLD, IDLE)
    writes.end()
    assert house.ask() is GO


def test_answer_lives_no_longer_than_it_may():
    house = House(ttl="10s")
    house.keep()
    house.now += 8.9
    assert isinstance(house.ask(), Answer)
    house.now += 2.2
    assert house.ask() is GO


def test_answer_lives_no_longer_than_other_settings_let_it():
    for ttl, stays in (("10s", True), ("9s", False), ("20s", True)):
        house = House(ttl="10s")
        house.keep()
        house.gate.apply(CacheKeys.model_validate({"mode": "on", "verify": 0, "ttl": ttl}), ())
        assert isinstance(house.ask(), Answer) == stays


@pytest.mark.parametrize(
    ("asked", "session", "reason"),
    [
        (Asked("INSERT INTO items VALUES (1)"), Session(), NO_READ),
        (Asked("SHOW TimeZone"), Session(), NO_READ),
        (Asked(whole=False), Session(), NOT_WHOLE),
        (Asked(), Session(default_transaction_isolation="Serializable"), SERIALIZABLE),
    ],
)
def test_what_is_not_looked_for(asked: Asked, session: Session, reason: str):
    house = House()
    assert house.ask(asked, session) is GO
    assert asked.fill is None
    assert house.gate.tally.bypassed[reason] == 1


def test_session_that_keeps_a_server_for_a_transaction_that_browses_is_answered():
    house, session, asked = House(), Session(), Asked()
    house.keep()
    session.server, asked.browses_by = object(), float("inf")
    assert house.ask(asked, session) == Answer(TOLD)


def test_transaction_whose_replica_may_be_behind_what_is_kept_is_not_answered():
    """What it reads next would be older."""
    house, session, asked = House(), Session(), Asked()
    house.write()
    house.keep()
    session.server, asked.browses_by = object(), house.fence.find(ITEMS).left_at - 0.001
    assert house.ask(asked, session) is GO
    house.gate.after(asked)
    asked.browses_by = house.fence.find(ITEMS).left_at
    assert house.ask(asked, session) == Answer(TOLD)


def test_what_could_not_be_kept_is_not_harmless():
    gate = House().gate
    assert gate.is_harmless(shape_of(READ))
    assert gate.is_harmless(shape_of("SELECT 1"))
    for text in (
        "SELECT FROM unheard_of",
        "COMMIT",
        "SHOW work_mem",
        "SELECT do_it()",
        "SET LOCAL work_mem = 1",
    ):
        assert not gate.is_harmless(shape_of(text)), text
    assert not gate.is_harmless(None)


def test_session_that_keeps_a_server_is_told_by_that():
    """It may have temporary tables."""
    house, session = House(), Session()
    house.keep()
    session.server = object()
    assert house.ask(session=session) is GO
    assert house.gate.tally.bypassed[HOLDING] == 1


def test_nothing_is_answered_while_nothing_is_known():
    house = House()
    house.keep()
    house.fence.forget()
    assert house.ask() is GO
    assert house.gate.tally.bypassed[STARTING] == 1


def test_other_sessions_are_told_their_own():
    house = House()
    house.keep()
    for session in (Session(role="b"), Session(search_path="b"), Session(**{"app.tenant": "b"})):
        assert house.ask(session=session) is GO
    assert house.ask(session=Session(application_name="b")) == Answer(TOLD)


@pytest.mark.parametrize("heard", [error("22012", "zero") + IDLE, TOLD, b"", TOLD + TOLD + IDLE, rows("1")])
def test_failed_and_half_read_answers_are_not_kept(heard: bytes):
    house, asked = House(), Asked()
    house.ask(asked)
    house.fill(asked, heard)
    assert house.ask() is GO
    assert not house.memory.entries


def test_answer_that_is_too_large_is_not_kept():
    house, asked = House(max_result="1KiB"), Asked()
    house.ask(asked)
    house.fill(asked, columns("a"), row("x" * 2000), complete("SELECT 1") + IDLE)
    assert house.gate.tally.discarded[TOO_LARGE] == 1
    assert not house.memory.entries


def test_answer_of_a_replica_that_may_be_behind_is_not_kept():
    house, asked = House(), Asked()
    house.ask(asked)
    house.fill(asked, TOLD, IDLE, replica=True)
    assert house.gate.tally.discarded[TOO_OLD] == 1


def test_what_a_first_server_has_said_is_not_put_before_the_answer_of_the_second():
    house, asked = House(), Asked()
    house.ask(asked)
    assert asked.fill is not None
    asked.fill.begin(fresh=False)
    asked.fill.hear(columns("a"))
    house.fill(asked, TOLD, IDLE)
    assert house.ask() == Answer(TOLD)


def test_request_that_is_given_up_leaves_nothing():
    house, asked = House(), Asked()
    house.ask(asked)
    assert asked.fill is not None
    asked.fill.hear(TOLD + IDLE)
    house.gate.after(asked)
    house.gate.after(asked)
    assert not house.memory.entries
    assert not house.gate.flying


# --- equal misses ---


async def test_equal_misses_wait_for_the_first():
    house, first, second = House(coalesce="5s"), Asked(), Asked()
    assert house.ask(first) is GO
    verdict = house.ask(second)
    assert isinstance(verdict, Await)
    waiting = asyncio.ensure_future(verdict.work)
    house.fill(first, TOLD, IDLE)
    await waiting
    assert house.ask(second) == Answer(TOLD)
    assert house.outcomes(COALESCED, HIT, MISS) == [1, 1, 1]


async def test_who_has_waited_in_vain_goes_itself():
    """Nor is it told what was read before a write that it may have been told of."""
    house, first, second = House(coalesce="5s"), Asked(), Asked()
    house.ask(first)
    verdict = house.ask(second)
    assert isinstance(verdict, Await)
    house.write()
    house.fill(first, TOLD, IDLE)
    await verdict.work
    assert house.ask(second) is GO
    house.fill(second, TOLD, IDLE)
    assert isinstance(house.ask(), Answer)


async def test_what_has_expired_is_told_to_nobody_while_it_is_fetched():
    """As in metabase #78339: while a month-old answer was fetched again, it was given all the while."""
    house, first, second, third = House(ttl="10s", coalesce="5s"), Asked(), Asked(), Asked()
    house.keep()
    house.now += 30 * 86400
    assert house.ask(first) is GO
    verdict = house.ask(second)
    assert isinstance(verdict, Await)
    first.fill.close()  # it has failed
    await verdict.work
    assert house.ask(second) is GO
    assert isinstance(house.ask(third), Await)
    house.fill(second, columns("a") + row("2") + complete("SELECT 1"), IDLE)
    assert house.ask(third) == Answer(columns("a") + row("2") + complete("SELECT 1"))


async def test_nobody_waits_for_ever():
    house, first, second = House(coalesce="1ms"), Asked(), Asked()
    house.ask(first)
    verdict = house.ask(second)
    assert isinstance(verdict, Await)
    await verdict.work
    assert house.ask(second) is GO


# --- measured ---


def test_observe_answers_nothing_and_counts_what_it_could():
    house = House("observe")
    house.keep()
    assert house.ask() is GO
    assert house.outcomes(WOULD_HIT, HIT, MISS) == [1, 0, 1]


def test_off_neither_answers_nor_keeps():
    house, asked = House("off"), Asked()
    assert house.ask(asked) is GO
    assert asked.fill is None


def test_what_is_verified_and_is_as_it_was_stays():
    house, asked = House(), Asked()
    house.keep()
    house.gate.settings = CacheKeys(verify=1)
    assert house.ask(asked) is GO
    house.fill(asked, TOLD, IDLE)
    assert (house.outcomes(VERIFIED), house.gate.tally.mismatches) == ([1], 0)
    house.gate.settings = CacheKeys(verify=0)
    assert house.ask() == Answer(TOLD)


def test_what_is_verified_and_differs_is_answered_no_more():
    house, asked = House(), Asked()
    house.keep()
    house.gate.settings = CacheKeys(verify=1)
    house.ask(asked)
    house.fill(asked, columns("a") + row("2") + complete("SELECT 1"), IDLE)
    assert house.gate.tally.mismatches == 1
    house.gate.settings = CacheKeys(verify=0)
    assert house.ask() is GO
    assert house.gate.tally.bypassed[QUARANTINED] == 1


def test_what_is_verified_during_a_write_is_no_mistake():
    house, asked = House(), Asked()
    house.keep()
    house.gate.settings = CacheKeys(verify=1)
    house.ask(asked)
    house.write()
    house.fill(asked, columns("a") + row("2") + complete("SELECT 1"), IDLE)
    assert house.gate.tally.mismatches == 0


@pytest.mark.parametrize("told", [True, False])
async def test_write_that_is_told_behind_the_answer_is_no_mistake(
    told: bool, monkeypatch: pytest.MonkeyPatch
):
    """Where others' writes are told, the server's answer may be ahead of that."""
    monkeypatch.setattr(gate, "HEARSAY", 0.0)
    house, asked = House(), Asked()
    house.gate.cases.fence.followed = frozenset({ITEMS})
    house.keep()
    house.gate.settings = CacheKeys(verify=1)
    house.ask(asked)
    house.fill(asked, columns("a") + row("2") + complete("SELECT 1"), IDLE)
    if told:
        house.gate.cases.fence.invalidate([ITEMS])
    await asyncio.sleep(0.001)
    assert house.gate.tally.mismatches == (not told)


def test_nothing_is_verified_where_only_time_ends_an_answer():
    house = House()
    house.gate.cases.fence.sees = False
    house.keep()
    house.gate.settings = CacheKeys(verify=1)
    assert house.ask() == Answer(TOLD)


def test_rows_in_another_order_are_the_same_unless_an_order_was_asked_for():
    for text, mistakes in ((READ, 0), (READ + " ORDER BY a", 1)):
        house, asked = House(), Asked(text)
        one, other = row("1"), row("2")
        first = Asked(text)
        house.ask(first)
        house.fill(first, columns("a") + one + other + complete("SELECT 2"), IDLE)
        house.gate.settings = CacheKeys(verify=1)
        house.ask(asked)
        house.fill(asked, columns("a") + other + one + complete("SELECT 2"), IDLE)
        assert house.gate.tally.mismatches == mistakes


class Bound(Asked):
    """One that binds this value."""

    def __init__(self, value: str) -> None:
        Asked.__init__(self, "SELECT a FROM items WHERE b > $1")
        messages = [parse("", self.text), bind("", value), execute(), SYNC]
        self.kinds = b"".join(message[:1] for message in messages)
        self.messages = b"".join(messages)


@pytest.mark.parametrize("value", ["now", " NOW ", "today 10:00", "tomorrow", "yesterday", "now".ljust(65)])
def test_value_that_may_be_the_time_is_noticed(value: str):
    assert is_momentary(Bound(value))


def test_literal_that_is_the_time_is_noticed():
    assert is_momentary(Asked("SELECT a FROM items WHERE b > 'now'"))


@pytest.mark.parametrize("value", ["snow", "nowhere", "2024-01-01", "knowledge"])
def test_other_values_are_not(value: str):
    assert not is_momentary(Bound(value))
    assert not is_momentary(Asked(f"SELECT a FROM items WHERE b > '{value}'"))


def read(number: int) -> Asked:
    return Asked(f"SELECT a FROM items WHERE a = {number}")


def test_of_what_is_mostly_asked_for_once_an_answer_is_kept_the_second_time():
    house = House()
    for number in range(200):
        asked = read(number)
        house.ask(asked)
        if asked.fill is not None:
            house.fill(asked, TOLD, IDLE)
    first, second = read(1000), read(1000)
    assert house.ask(first) is GO
    assert first.fill is None
    assert house.ask(second) is GO
    house.fill(second, TOLD, IDLE)
    assert house.ask(read(1000)) == Answer(TOLD)
    assert len(house.memory.entries) < 200


def test_hint_has_what_is_asked_for_once_be_kept():
    house = House()
    for number in range(200):
        asked = Asked(f"/* dbproxy: cache */ SELECT a FROM items WHERE a = {number}")
        house.ask(asked)
        house.fill(asked, TOLD, IDLE)  # which there is
        assert house.ask(asked) == Answer(TOLD)


def test_session_with_a_causal_token_is_answered_once_all_up_to_it_was_told():
    house, heard = House(), set[str]()
    house.gate.has_heard = heard.__contains__
    session = Session(**{"dbproxy.causal_token": "0/5"})
    house.keep()
    assert house.ask() == Answer(TOLD)
    assert house.ask(session=session) is GO
    assert house.gate.tally.bypassed == {AHEAD: 1}
    heard.add("0/5")
    assert house.ask(session=session) == Answer(TOLD)
