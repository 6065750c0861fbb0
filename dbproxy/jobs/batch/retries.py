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
    "22": Verdict.DATA,
    "23": Verdict.DATA,
    "44": Verdict.DATA,  # WITH CHECK OPTION
    "P0": Verdict.DATA,  # what a trigger or a function raises
    "09": Verdict.DATA,
    "2F": Verdict.DATA,
    "38": Verdict.DATA,
    "39": Verdict.DATA,
    "27": Verdict.DATA,
    "21": Verdict.DATA,
    "54": Verdict.DATA,  # a row too big for its index
}


def judge(sqlstate: str, *, timed_out: bool = False) -> Verdict:
    """`timed_out`: it has taken as long as it may, so that 57014 is no cancel; its words are in any language."""
    if sqlstate == "57014" and timed_out:
        return Verdict.HALVE
    return _VERDICTS.get(sqlstate) or _VERDICTS.get(sqlstate[:2]) or Verdict.STOP


def find_sqlstate(error: Exception) -> str:
    """08006 of a connection that was lost without a word."""
    return str(getattr(error, "sqlstate", None) or "08006")


def backoff(tries: int, chance: float) -> float:
    """Seconds until the next try; `chance`: from 0 to 1, so that two do not meet again and again."""
    return min(LONGEST, SHORTEST * 2.0 ** min(tries, 16)) * (0.5 + chance / 2)


async def rest(tries: int) -> None:
    """A moment, before something is tried again."""
    await asyncio.sleep(backoff(tries, random.random()))  # noqa: S311  # no secret
