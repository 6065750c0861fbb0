import pytest

from dbproxy.pool.routines import MOST, NONE, Routines, defined, join, judge_routines, may_set
from dbproxy.sql import statement as sql
from dbproxy.sql.statement import Statement

LOCKS = "BEGIN PERFORM pg_advisory_lock(1); END"


def test_functions_that_do_nothing_to_a_session_are_not_kept():
    assert judge_routines([("plain", "SELECT 1"), ("locks", LOCKS)]) == {"locks": (sql.LOCKS, frozenset())}


def test_settings_are_known_by_name():
    found = judge_routines([("tune", "BEGIN SET work_mem = '9MB'; END")])
    assert found == {"tune": (sql.SETS, frozenset({"work_mem"}))}


@pytest.mark.parametrize("backwards", [False, True])
def test_a_function_does_what_those_that_it_calls_do_however_deep(backwards: bool):
    sources = [
        ("outer", "BEGIN PERFORM middle(); END"),
        ("middle", "SELECT 1 + inner_most()"),
        ("inner_most", LOCKS),
        ("aside", "SELECT other()"),
    ]
    found = judge_routines(reversed(sources) if backwards else sources)
    assert found.keys() == {"outer", "middle", "inner_most"}
    assert {effects for effects, _ in found.values()} == {sql.LOCKS}


def test_functions_that_call_each_other_do_what_any_of_them_does():
    sources = [
        ("ping", "BEGIN PERFORM pong(); SET jit = off; END"),
        ("pong", f"BEGIN PERFORM ping(); {LOCKS}; END"),
        ("itself", "SELECT itself()"),
    ]
    both = (sql.LOCKS | sql.SETS, frozenset({"jit"}))
    assert judge_routines(sources) == {"ping": both, "pong": both}


def test_functions_of_one_name_are_one():
    found = judge_routines([("f", "SELECT 1"), ("f", LOCKS), ("f", "BEGIN SET jit = off; END")])
    assert found == {"f": (sql.LOCKS | sql.SETS, frozenset({"jit"}))}


# --- CREATE FUNCTION ----------------------------------------------------------------------------------------


def test_created_function_is_known_by_what_its_body_does_and_calls():
    known = {"takes": (sql.LOCKS, frozenset[str]())}
    statement = Statement(
        defines=frozenset({"mine"}),
        defined_effects=sql.SETS,
        defined_settings=frozenset({"jit"}),
        defined_calls=frozenset({"takes", "unheard_of"}),
    )
    assert defined(statement, known) == {"mine": (sql.SETS | sql.LOCKS, frozenset({"jit"}))}
    assert known == {"takes": (sql.LOCKS, frozenset())}


def test_replaced_function_keeps_what_it_did_before():
    """The transaction may be rolled back, and there may be others of that name."""
    known = {"mine": (sql.LOCKS, frozenset[str]())}
    statement = Statement(defines=frozenset({"mine"}), defined_effects=sql.SETS)
    assert defined(statement, known) == {"mine": (sql.LOCKS | sql.SETS, frozenset())}


def test_created_function_that_does_nothing_adds_nothing():
    assert defined(Statement(defines=frozenset({"mine"}), defined_calls=frozenset({"lower"})), {}) == {}
    assert defined(Statement(defines=frozenset({""}), defined_effects=sql.SETS), {}) == {}


def test_joined_effects_are_those_of_both():
    one = (sql.SETS, frozenset({"jit"}))
    assert join(one, NONE) == one
    assert join(one, (sql.LOCKS, frozenset({"role"}))) == (sql.SETS | sql.LOCKS, frozenset({"jit", "role"}))


def test_a_function_that_sets_settings_may_be_called_unseen() -> None:
    assert may_set(judge_routines([("f", "BEGIN PERFORM set_config('work_mem', '1MB', false); END")]))
    assert not may_set(judge_routines([("f", "BEGIN PERFORM set_config('work_mem', '1MB', true); END")]))
    assert not may_set(judge_routines([("f", "BEGIN PERFORM pg_advisory_lock(1); END")]))


def test_function_that_is_defined_while_they_are_read_is_known_behind_it() -> None:
    routines = Routines()
    found = judge_routines([("lock", "SELECT pg_advisory_lock(1)")])  # as it was when they were asked for
    settings = frozenset({"jit"})
    routines.define(
        Statement(defines=frozenset({"tune"}), defined_effects=sql.SETS, defined_settings=settings)
    )
    routines.renew(found, 7.0)
    assert routines.known == {"lock": (sql.LOCKS, frozenset()), "tune": (sql.SETS, settings)}
    assert (routines.sets_unseen, routines.read_at) == (True, 7.0)


def test_what_was_defined_is_remembered_of_so_many_names() -> None:
    routines = Routines()
    for number in range(MOST + 1):
        routines.define(Statement(defines=frozenset({f"f{number}"}), defined_effects=sql.LOCKS))
    routines.renew({}, 1.0)
    assert len(routines.known) == MOST
    assert "f0" not in routines.known
