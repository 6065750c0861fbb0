"""What a statement does to its client's session, decided without a server."""

from types import SimpleNamespace
from typing import Any

import pytest

from dbproxy.pool.audit import Findings
from dbproxy.pool.parameters import NOTHING
from dbproxy.session.identity import Identity
from dbproxy.session.state import SessionState, _setting_names
from dbproxy.sql import statement as sql
from tests.unit.pool.fakes import FakePool

NONE: frozenset[str] = frozenset()
LOCK = b"SELECT pg_advisory_lock(1)"
PREPARED = {b"locks": LOCK, b"plain": b"SELECT 1"}


def make_state(start: dict[str, str] | None = None, **settings: object) -> SessionState:
    """Of a client that asked for `start` as it logged in, and has PREPARED."""
    pool = FakePool(**settings).pool
    own = pool.tenant.parameter_sets.find(start or {})
    client: Any = SimpleNamespace(pool=pool, settings=own, identity=Identity(1, 0.0, 0.0, 1024, settings=own))
    house: Any = None
    state = SessionState(client, house)
    giver = SimpleNamespace(
        effects_of=lambda name: [state.classify(PREPARED[name])] if name in PREPARED else []
    )
    client.translator = SimpleNamespace(names=SimpleNamespace(giver=giver))
    return state


# --- what it may do -----------------------------------------------------------------------------------------


def test_functions_do_what_is_known_of_them():
    state = make_state()
    state.pool.tenant.routines.known["tune"] = (sql.SETS, frozenset({"jit"}))
    assert state.effects_of(state.classify(b"SELECT tune(), other()")) == (sql.SETS, {"jit"})
    assert state.effects_of(state.classify(b"SELECT other()")) == (0, NONE)


def test_execute_does_what_the_statement_does():
    state = make_state()
    effects, _ = state.effects_of(state.classify(b"EXECUTE locks"))
    assert effects & sql.LOCKS
    effects, _ = state.effects_of(state.classify(b"EXECUTE plain; EXECUTE unheard_of"))
    assert effects == sql.EXECUTES


def test_role_of_the_login_that_was_given_up_does_not_come_back_when_something_else_is_asked():
    state = make_state({"role": "app"})
    server: Any = SimpleNamespace(dialogue=SimpleNamespace(settings=NOTHING))  # which has no role set
    given_up = state.settings_now(server, Findings(named={"role": "none"}))
    assert given_up == {"role": "none"}
    state.client.settings = state.pool.tenant.parameter_sets.find(given_up)
    assert state.settings_now(server, Findings(cursors=False)) == {"role": "none"}


def test_text_with_backslashes_is_read_as_its_session_reads_it():
    assert make_state().classify(rb"SELECT '\'").effects == 0
    off = make_state({"standard_conforming_strings": "off"})
    assert off.classify(rb"SELECT '\'; SELECT pg_advisory_lock(1) --'").effects == sql.UNKNOWN


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (b"work_mem", ["work_mem"]),
        (b"App.Tenant", ["app.tenant"]),
        ("app.ü".encode(), ["app.ü"]),
        (b"9MB", []),
        (b"", []),
        (b"\0\0\0\1", []),  # a number, in binary
        (b"\xff", []),
        (b"a b", []),
        (b"it's", []),
        (b"x" * 1000, []),
    ],
)
def test_parameters_that_are_no_names_of_settings_are_not_taken_for_one(value: bytes, names: list[str]):
    assert _setting_names([value]) == names


# --- given back behind a RESET ------------------------------------------------------------------------------

START = {"work_mem": "5MB", "search_path": "a, b", "role": "r"}


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        (b"RESET work_mem", {"work_mem"}),
        (b"SET work_mem TO DEFAULT", {"work_mem"}),
        (b"RESET jit", set()),
        (b"RESET ALL", {"work_mem", "search_path"}),
        (b"DISCARD ALL", {"work_mem", "search_path", "role"}),
        (b"RESET ALL; SET work_mem = '9MB'", {"search_path"}),
        (b"SET work_mem = '9MB'", set()),
        (b"SELECT 1", set()),
    ],
)
def test_reset_leads_back_to_what_the_client_asked_for_at_its_login(statement: bytes, names: set[str]):
    state = make_state(START)
    restored = state.restored(state.classify(statement))
    assert restored.values == {name: START[name] for name in names}
    assert (restored is NOTHING) == (not names)


def test_client_that_asked_for_nothing_is_given_nothing_back():
    state = make_state()
    assert state.restored(state.classify(b"RESET ALL")) is NOTHING
