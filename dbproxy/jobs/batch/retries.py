"""What follows from an error, by its SQLSTATE (PostgreSQL's documentation, appendix A), and how long until then."""

import asyncio
import random
from enum import Enum


class Verdict(Enum):
    AGAIN = "again"  # the same chunk, a moment later
    HALVE = "halve"  # half of it: it was not done in time
    RECONNECT = "reconnect"  # what became of it is not known: read the ledger, once there is a primary
    WAIT = "wait"  # the server lacks something: until it has it, or somebody stops the job
    PAUSE = "pause"  # somebody has cancelled it
    DATA = "data"  # one of its rows cannot be changed
    STOP = "stop"  # none could: the statement is wrong, or not allowed


SHORTEST, LONGEST = 0.05, 5.0  # seconds between two tries
LACKING = 10.0  # seconds, while the server lacks something
# By SQLSTATE, or by its class.
_VERDICTS = {
    "40": Verdict.AGAIN,
    "40003": Verdict.RECONNECT,
    "55P03": Verdict.AGAIN,
    "55006": Verdict.AGAIN,
    "57014": Verdict.PAUSE,
    "08": Verdict.RECONNECT,
    "57P01": Verdict.RECONNECT,
    "57P02": Verdict.RECONNECT,
    "57P03": Verdict.RECONNECT,
    "57P05": Verdict.RECONNECT,
    "25006": Verdict.RECONNECT,
    "25P03": Verdict.RECONNECT,
    "25P04": Verdict.RECONNECT,
    "53100": Verdict.WAIT,
    "53200": Verdict.WAIT,
    "53300": Verdict.RECONNECT,
    "58": Verdict.WAIT,
}
# PostgreSQL's own classes (appendix A) that are of the statement, the session or the server, and of no row.
_WRONG = {
    "03", "0A", "0B", "0F", "0L", "0P", "0Z", "24", "25", "26", "28", "2B", "2D", "34", "3B", "3D", "3F", "42", "53",
    "55", "57", "72", "F0", "HV", "XX",
}  # fmt: skip


def judge(sqlstate: str, *, timed_out: bool = False) -> Verdict:
    """DATA of what is not known: a function may raise codes of its own.

    `timed_out`: it has taken as long as it may, so that 57014 is no cancel; its words are in any language.
    """
    if sqlstate == "57014" and timed_out:
        return Verdict.HALVE
    group = sqlstate[:2]
    return (
        _VERDICTS.get(sqlstate) or _VERDICTS.get(group) or (Verdict.STOP if group in _WRONG else Verdict.DATA)
    )


def find_sqlstate(error: Exception) -> str:
    """08006 of a connection that was lost without a word."""
    return str(getattr(error, "sqlstate", None) or "08006")


def backoff(tries: int, chance: float) -> float:
    """Seconds until the next try; `chance`: from 0 to 1, so that two do not meet again and again."""
    return min(LONGEST, SHORTEST * 2.0 ** min(tries, 16)) * (0.5 + chance / 2)


async def rest(tries: int) -> None:
    """A moment, before something is tried again."""
    await asyncio.sleep(backoff(tries, random.random()))  # noqa: S311  # no secret
