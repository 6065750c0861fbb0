"""Whose commits a read must see, as a position in the primary's WAL that a replica must have replayed.

`eventual`: nobody's. `session`: the session's own. `global`: of all that came through this proxy. After a transaction
that may have written, the primary is asked where its WAL ends (pool.audit); the answer is at or behind the commit.
As long as it is not there, the position is UNKNOWN, and only the primary is fresh enough.
"""

from dbproxy.pool.positions import UNKNOWN, Positions

EVENTUAL, SESSION, GLOBAL = "eventual", "session", "global"


def needed(consistency: str, own: int, positions: Positions) -> int:
    """The LSN that a replica must have replayed; `own`: of the session's last commit."""
    if consistency == SESSION:
        return own
    if consistency == GLOBAL:
        return UNKNOWN if positions.pending or positions.lost_at else max(own, positions.newest)
    return 0


def parse_lsn(text: str) -> int:
    """Of `16/B374D848`; ValueError if it is none."""
    high, slash, low = text.partition("/")
    if not slash:
        raise ValueError(f"not a position in the WAL: {text}")
    return (int(high, 16) << 32) + int(low, 16)


def format_lsn(lsn: int) -> str:
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
