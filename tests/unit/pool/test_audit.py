import json
from typing import Any

import pytest

from dbproxy.pool.audit import (
    CHANNELS,
    CURSORS,
    LOCKS,
    MARK,
    PREPARED,
    SETTINGS,
    TEMP,
    Audit,
    Findings,
    pins_after,
    settings_after,
    sticky_pins,
)
from dbproxy.pool.parameters import NOTHING, Parameters
from dbproxy.pool.recall import Recall
from dbproxy.sql import statement as sql
from dbproxy.wire.build import data_row

QUESTIONS = {
    SETTINGS: "'settings'",
    LOCKS: "'locks'",
    TEMP: "'temp'",
    CURSORS: "'cursors'",
    PREPARED: "'prepared'",
    CHANNELS: "'channels'",
}
CLEAN = Findings(settings={}, locks=False, temp=False, cursors=False, prepared={}, channels=frozenset())
NONE: frozenset[str] = frozenset()


def asked(effects: int) -> set[str]:
    spelled = Audit(effects, ()).spell()
    return {question for question in QUESTIONS.values() if question in spelled}


def read(answer: dict[str, Any], effects: int = sql.UNKNOWN) -> Findings:
    """What an audit makes of this answer."""
    audit = Audit(effects, ())
    audit.read(data_row([json.dumps(answer, ensure_ascii=False).encode().hex().encode()])[5:])
    assert audit.answer is not None
    return audit.answer


# --- the question -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "questions"),
    [
        (sql.SETS, set()),  # by name
        (sql.RESETS, {"'settings'"}),
        (sql.SETS_PARAMETER, {"'settings'"}),
        (sql.SETS_UNKNOWN, {"'settings'"}),
        (sql.LOCKS, {"'locks'"}),
        (sql.UNLOCKS, {"'locks'"}),
        (sql.CREATES_TEMP, {"'temp'"}),
        (sql.DROPS, {"'temp'"}),
        (sql.HOLDS, {"'cursors'"}),
        (sql.CLOSES, {"'cursors'"}),
        (sql.PREPARES, {"'prepared'"}),
        (sql.DEALLOCATES, {"'prepared'"}),
        (sql.LISTENS, {"'channels'"}),
        (sql.SHOWS_NAMES, {"'prepared'"}),
        (sql.SHOWS_CHANNELS, {"'channels'"}),
        (sql.LOADS, set()),  # nothing to ask: it stays
        (sql.RECALLS, set()),
        (sql.UNKNOWN, set(QUESTIONS.values())),
    ],
)
def test_what_an_effect_may_have_left_is_asked_for_and_nothing_else(effect: int, questions: set[str]):
    assert asked(effect) == questions


def test_what_several_effects_may_have_left_is_asked_for_at_once():
    assert asked(sql.LOCKS | sql.HOLDS | sql.SETS) == {"'locks'", "'cursors'"}


def test_what_sequences_gave_out_is_shown_behind_the_block_that_asks():
    recall = Recall(able=True)
    ahead, _, question = Audit(sql.ADVANCES, (), recall).spell().partition("$dbproxy$; ")
    assert ahead.startswith("DO LANGUAGE plpgsql $dbproxy$")
    assert "'recalled', pg_catalog.current_setting('dbproxy.recalled', true)" in question
    assert read({"named": {}, "recalled": "7 16385 7"}, sql.ADVANCES).recalled == (7, 16385, 7)


def test_settings_are_asked_for_by_name_in_order_and_quoted():
    spelled = Audit(sql.SETS, {"work_mem", "o'clock"}).spell()
    assert (
        "'named', pg_catalog.json_build_object("
        "'o''clock', pg_catalog.current_setting('o''clock', true), "
        "'work_mem', pg_catalog.current_setting('work_mem', true))"
    ) in spelled


def test_roles_are_asked_for_wherever_all_settings_are():
    assert Audit(sql.RESETS, {"work_mem"}).names == ["role", "session_authorization", "work_mem"]
    assert Audit(sql.SETS, {"work_mem"}).names == ["work_mem"]


# --- the answer ---------------------------------------------------------------------------------------------


def test_what_was_not_asked_for_is_not_known():
    assert read({"named": {}}) == Findings()


def test_nothing_found_is_not_the_same_as_not_asked():
    found = read(
        {
            "named": {},
            "settings": None,
            "locks": False,
            "temp": False,
            "cursors": False,
            "prepared": None,
            "channels": None,
        }
    )
    assert found == CLEAN


def test_answer_is_read_in_any_language():
    found = read(
        {
            "named": {"app.näme": "Wert ' \\ \U0001f418"},
            "settings": {"TimeZone": "Asia/Tokyo"},
            "locks": True,
            "prepared": {"s": "PREPARE s AS SELECT 'ß'"},
            "channels": ["a", "ä"],
        }
    )
    assert found.named == {"app.näme": "Wert ' \\ \U0001f418"}
    assert found.settings == {"TimeZone": "Asia/Tokyo"}
    assert (found.locks, found.temp) == (True, None)
    assert found.prepared == {"s": "PREPARE s AS SELECT 'ß'"}
    assert found.channels == {"a", "ä"}


def test_settings_of_a_transaction_that_is_over_are_not_the_sessions():
    found = read({"named": {}, "settings": {"transaction_isolation": "serializable", "jit": "off"}})
    assert found.settings == {"jit": "off"}


# --- settings -----------------------------------------------------------------------------------------------


def after(before: dict[str, str], found: Findings) -> dict[str, str]:
    return settings_after(Parameters(before), found, user="app")


def test_settings_asked_for_by_name_replace_those_and_leave_the_others():
    found = Findings(named={"work_mem": "9MB"})
    assert after({"work_mem": "5MB", "jit": "off"}, found) == {"work_mem": "9MB", "jit": "off"}


def test_our_own_setting_is_none_of_the_sessions():
    assert after({}, Findings(named={MARK: "1"})) == {}


def test_setting_that_does_not_exist_is_none_of_the_sessions():
    assert after({"app.x": "1"}, Findings(named={"app.x": None})) == {}


def test_all_settings_asked_for_are_all_there_are():
    found = Findings(settings={"TimeZone": "UTC"}, named={"work_mem": "4MB"})
    assert after({"work_mem": "9MB", "jit": "off"}, found) == {"timezone": "UTC"}


def test_custom_settings_are_not_listed_and_stay_as_they_were():
    """PostgreSQL does not show those that no extension has declared."""
    found = Findings(settings={"jit": "off"}, named={"app.new": "2"})
    assert after({"app.old": "1"}, found) == {"app.old": "1", "app.new": "2", "jit": "off"}


@pytest.mark.parametrize("all_asked", [None, {}])
def test_role_and_user_are_settings_until_they_are_those_that_logged_in(all_asked: dict[str, str] | None):
    own = {"role": "none", "session_authorization": "app"}
    other = {"role": "auditor", "session_authorization": "alice"}
    assert after({}, Findings(settings=all_asked, named=dict(other))) == other
    assert after(other, Findings(settings=all_asked, named=dict(own))) == {}


def test_role_that_is_named_like_whoever_logged_in_is_a_role_all_the_same():
    assert after({}, Findings(named={"role": "app"})) == {"role": "app"}


def test_answer_leaves_the_settings_of_before_alone():
    before = Parameters({"jit": "off"})
    settings_after(before, Findings(named={"jit": "on", "work_mem": "9MB"}), "app")
    assert before.values == {"jit": "off"}
    assert settings_after(NOTHING, Findings(), "app") == {}


# --- pins ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "pin"),
    [
        (Findings(locks=True), "lock"),
        (Findings(temp=True), "temp"),
        (Findings(cursors=True), "cursor"),
    ],
)
def test_what_was_found_pins_until_it_is_found_gone(found: Findings, pin: str):
    pins = pins_after(NONE, 0, found)
    assert pins == {pin}
    assert pins_after(pins, 0, Findings()) == {pin}  # not asked for
    assert pins_after(pins, 0, CLEAN) == NONE


def test_channels_pin_nothing():
    """They are heard for the client over another connection."""
    assert pins_after(NONE, sql.LISTENS, Findings(channels=frozenset({"a"}))) == NONE


@pytest.mark.parametrize(
    ("effect", "pin"),
    [
        (sql.LOADS, "load"),
        (sql.SEEDS, "seed"),
        (sql.RECALLS, "sequence"),
        (sql.SETS_UNKNOWN, "set_config"),
    ],
)
def test_what_cannot_be_asked_for_stays(effect: int, pin: str):
    assert sticky_pins(effect) == {pin}
    pins = pins_after(NONE, effect, Findings())
    assert pins == {pin}
    assert pins_after(pins, 0, CLEAN) == {pin}


def test_discard_all_takes_away_what_it_resets_and_not_what_was_loaded_or_seeded():
    pins = frozenset({"lock", "temp", "cursor", "sequence", "set_config", "load", "seed"})
    assert pins_after(pins, sql.DISCARDS | sql.DISCARDED, CLEAN) == {"load", "seed"}


def test_discard_sequences_takes_away_what_currval_said():
    pins = frozenset({"sequence", "set_config"})
    assert pins_after(pins, sql.FORGOT, Findings()) == {"set_config"}


def test_discard_all_that_failed_takes_nothing_away():
    found = Findings(settings={"jit": "off"}, locks=True)
    assert pins_after(frozenset({"sequence"}), sql.DISCARDS, found) == {"sequence", "lock"}
