"""Which statements are not carried out, and what their client is told."""

import pytest

from dbproxy.config import PoolSettings
from dbproxy.pool.request import Refusal
from dbproxy.session.refusal import find_refusal
from dbproxy.sql import statement as sql
from dbproxy.wire.startup import parse_error_response
from tests.unit.session.test_state import LOCK, NONE, make_state


def refused(statement: bytes, reasons: str) -> dict[str, str]:
    """The error that refuses the statement; empty if nothing does."""
    state = make_state(refuse_pins=reasons)
    state.pool.tenant.routines.known["takes"] = (sql.LOCKS, NONE)
    refusal = state.refusal(state.classify(statement))
    if refusal is None:
        return {}
    assert isinstance(refusal, Refusal)
    return parse_error_response(refusal.error[5:])


@pytest.mark.parametrize(
    ("reason", "statement"),
    [
        ("temp", b"CREATE TEMP TABLE t ()"),
        ("lock", LOCK),
        ("lock", b"SELECT takes()"),
        ("lock", b"EXECUTE locks"),
        ("cursor", b"DECLARE c CURSOR WITH HOLD FOR SELECT 1"),
        ("load", b"LOAD 'x'"),
        ("seed", b"SELECT setseed(0)"),
        ("sequence", b"SELECT lastval() FROM t"),
        ("set_config", b"SELECT set_config(name, '1', false) FROM t"),
    ],
)
def test_statement_is_refused_for_its_own_reason_only(reason: str, statement: bytes):
    told = refused(statement, reason)
    assert (told["S"], told["C"]) == ("ERROR", "0A000")
    assert told["M"].startswith("refused in transaction pooling: ")
    assert f'"{reason}"' in told["D"]
    assert "pool.refuse_pins" in told["H"]
    others = {"temp", "lock", "cursor", "load", "seed", "sequence", "set_config"} - {reason}
    assert refused(statement, ",".join(others)) == {}
    assert refused(statement, "") == {}


def test_harmless_statement_is_never_refused():
    every = "temp,lock,cursor,load,seed,sequence,set_config"
    assert refused(b"SELECT pg_advisory_xact_lock(1)", every) == {}
    assert refused(b"SET work_mem = '9MB'", every) == {}


def test_wish_that_cannot_be_is_refused():
    statement = make_state().classify(b"SET dbproxy.consistency = 'long'")
    refusal = find_refusal(statement, 0, PoolSettings(), recalls=False)
    assert refusal is not None
    assert b"22023" in refusal.error


@pytest.mark.parametrize("recalls", [True, False])
def test_what_the_proxy_can_answer_does_not_pin(recalls: bool):
    statement = make_state().classify(b"SELECT lastval()")
    settings = PoolSettings(refuse_pins="sequence")
    assert (find_refusal(statement, statement.effects, settings, recalls) is None) is recalls
