"""Whose commits a read must see, as a position in the primary's WAL that a replica must have replayed.

`eventual`: nobody's. `session`: the session's own. `global`: of all that came through this proxy, to the tables
that it reads, as far as these are known (cache.fence); if not, to any. After a transaction that may have written, the
primary is asked where its WAL ends (pool.audit); the answer is at or behind the commit. As long as it is not there, the
position is UNKNOWN, and only the primary is fresh enough.

Where the primary tells no positions (Aurora), there is only time: reads stay on the primary for a while after a write.
"""

from dbproxy.cache.fence import Fence
from dbproxy.cluster.lag import settle
from dbproxy.pool.commits import UNKNOWN, Commits
from dbproxy.routing.reader import Reader
from dbproxy.routing.wishes import SEES_ALL, Wishes
from dbproxy.sql.identity import Shape

NOT_TOLD = -1  # what is read is not known


def needed(wishes: Wishes, reader: Reader, commits: Commits) -> int:
    """The LSN that a replica must have replayed, the token aside."""
    if not wishes.sees:
        return 0
    everybody = wishes.sees == SEES_ALL or not is_placed(reader, commits)
    if everybody and (commits.pending or commits.lost_at):
        return UNKNOWN
    own = own_position(reader, commits)
    return settle(max(own, commits.newest) if everybody else own)


def needed_for(asked: tuple[Shape, ...], fence: Fence, commits: Commits) -> int:
    """The LSN that a replica must have replayed to answer these with all commits to what they read; NOT_TOLD."""
    lsn = fence.whole.last.find(commits.known, commits.known_for)
    if lsn == UNKNOWN:
        return UNKNOWN
    for shape in asked:
        read = fence.find_read(shape)
        if read is None:
            return NOT_TOLD
        for commit in read:
            position = commit.find(commits.known, commits.known_for)
            if position == UNKNOWN:
                return UNKNOWN
            lsn = max(lsn, position)
    return settle(lsn)


def own_position(reader: Reader, commits: Commits) -> int:
    """Behind the session's last commit, as far as it is still there on this timeline."""
    position = reader.position
    if position == UNKNOWN:
        position = commits.newest
    return position if reader.epoch == commits.epoch else min(position, commits.base)


def is_placed(reader: Reader, commits: Commits) -> bool:
    """Whether it is known where the session's last commit is: it was asked for, and answered."""
    wrote_at = reader.wrote_at
    asked = not wrote_at or wrote_at >= commits.since
    return asked and (reader.position != UNKNOWN or reader.epoch != commits.epoch)


def too_soon(wishes: Wishes, reader: Reader, hold: float, now: float) -> bool:
    """Whether the session has to stay on the primary for what it wrote: there are no positions.

    What others wrote is not waited for, also where it is to be seen (`global`).
    """
    return wishes.sees > 0 and now - reader.wrote_at < hold
