"""Which statements are not carried out, and what their client is told instead."""

from dbproxy.config import PoolSettings
from dbproxy.errors import FeatureNotSupported, InvalidParameterValue
from dbproxy.pool.request import Refusal
from dbproxy.routing.wishes import complain
from dbproxy.sql import statement as sql
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


def find_refusal(statement: Statement, effects: int, settings: PoolSettings, recalls: bool) -> Refusal | None:
    """Why the statement is refused: it sets a wish that cannot be, or would pin, which `refuse_pins` may forbid.

    `effects`: also those of the functions that it calls; `recalls`: the proxy answers `currval` and `lastval`.
    """
    if statement.wishes:
        for _, why in complain(dict(statement.wishes)):
            return Refusal("", build.error_response(InvalidParameterValue(why)))
    if recalls and (statement.bare or statement.inserts_first):
        effects &= ~sql.RECALLS
    for effect, (reason, what) in CREATES.items():
        if effects & effect and reason in settings.refuse_pins:
            return Refusal(reason, build.error_response(refuse(reason, what, settings.mode)))
    return None


def refuse(reason: str, what: str, mode: str) -> FeatureNotSupported:
    return FeatureNotSupported(
        f"refused in {mode} pooling: {what}",
        detail=f'They would pin a server connection to the client (pin "{reason}").',
        hint='Connect with pool.mode = "session", or take the pin out of pool.refuse_pins.',
    )
