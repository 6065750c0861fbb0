"""Whose commits a read must see, as a position in the primary's WAL that a replica must have replayed.

`eventual`: nobody's. `session`: the session's own. `global`: of all that came through this proxy. After a transaction
that may have written, the primary is asked where its WAL ends (pool.audit); the answer is at or behind the commit.
As long as it is not there, the position is UNKNOWN, and only the primary is fresh enough.

Where the primary tells no positions (Aurora), there is only time: reads stay on the primary for a while after a write.
"""

import re
from typing import Protocol

from dbproxy.cluster.lag import settle
from dbproxy.pool.commits import UNKNOWN, Commits

EVENTUAL, SESSION, GLOBAL = "eventual", "session", "global"
_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


class Writer(Protocol):
    """A session, as far as it writes."""

    position: int  # behind its own last commit, in `epoch`; 0: it has none; UNKNOWN: it will not be known
    epoch: int
    wrote_at: float  # when its last transaction ended that may have written (monotonic seconds); 0: never


def needed(consistency: str, writer: Writer, commits: Commits) -> int:
    """The LSN that a replica must have replayed."""
    if consistency == EVENTUAL:
        return 0
    everybody = consistency != SESSION or not is_placed(writer, commits)
    if everybody and (commits.pending or commits.lost_at):
        return UNKNOWN
    own = own_position(writer, commits)
    return settle(max(own, commits.newest) if everybody else own)


def own_position(writer: Writer, commits: Commits) -> int:
    """Behind the session's last commit, as far as it is still there on this timeline."""
    position = writer.position
    if position == UNKNOWN:
        position = commits.newest
    return position if writer.epoch == commits.epoch else min(position, commits.base)


def is_placed(writer: Writer, commits: Commits) -> bool:
    """Whether it is known where the session's last commit is: it was asked for, and answered."""
    wrote_at = writer.wrote_at
    asked = not wrote_at or wrote_at >= commits.since
    return asked and (writer.position != UNKNOWN or writer.epoch != commits.epoch)


def too_soon(consistency: str, writer: Writer, hold: float, now: float) -> bool:
    """Whether the session has to stay on the primary for what it wrote, or others may have: there are no positions."""
    return consistency != EVENTUAL and now - writer.wrote_at < hold


def parse_lsn(text: str) -> int:
    """Of `16/B374D848`; ValueError if it is none."""
    found = _LSN.fullmatch(text)
    if found is None:
        raise ValueError(f"not a position in the WAL: {text}")
    return (int(found[1], 16) << 32) + int(found[2], 16)


def format_lsn(lsn: int) -> str:
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
