"""How late a replica is, in seconds, from where the primary was and when.

A replica's own clock does not tell: pg_last_xact_replay_timestamp() stands still while nobody writes. So the
primary's positions are remembered with the time at which we learned them. A replica that has replayed the newest of
them is not late at all; any other has been late since the first that it has not reached.
"""

from bisect import bisect_right

from dbproxy.config import HealthSettings

RESOLUTION = 0.05  # seconds: samples closer than this are merged, which makes a lag look smaller by no more
MOST = 1024  # samples

PAGE = 8192
HEADER, LONG_HEADER = 24, 40  # of a WAL page, of a segment's first page
_PAGE = PAGE  # compiled, a C number


def settle(lsn: int) -> int:
    """The position without the page header that it may lie behind.

    Where a record ended exactly at a page's end, pg_current_wal_insert_lsn() says where the next one will begin, behind
    the new page's header; a replica that has replayed everything says where the last one ended.
    """
    inside = lsn % _PAGE
    return lsn - inside if inside in (HEADER, LONG_HEADER) else lsn


class Lag:
    """Of one host: behind the primary. Either mark stays until it lags less than half of that."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.bytes = 0
        self.late = False  # over health.lag_warn
        self.over = False  # over health.lag_limit: it gets no reads

    def note(self, seconds: float, limits: HealthSettings) -> bool:
        """The host is so far behind; whether it has just caught up."""
        self.seconds = seconds
        was = self.over
        self.over = seconds >= (limits.lag_limit / 2 if was else limits.lag_limit)
        self.late = seconds >= (limits.lag_warn / 2 if self.late else limits.lag_warn)
        return was and not self.over

    def clear(self) -> None:
        """It is the primary, behind which all others are."""
        self.seconds, self.bytes = 0.0, 0
        self.late = self.over = False


class History:
    """The primary's positions; `now` never goes backwards."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.lsns: list[int] = []

    @property
    def newest(self) -> int:
        return self.lsns[-1] if self.lsns else 0

    def note(self, lsn: int, now: float) -> None:
        """The primary is, or was a moment ago, at `lsn`; what is older than the newest says nothing."""
        if lsn <= self.newest:
            return
        if len(self.times) > 1 and now - self.times[-2] < RESOLUTION:
            self.times[-1], self.lsns[-1] = now, lsn
        else:
            self.times.append(now)
            self.lsns.append(lsn)
        if len(self.times) > MOST:
            self._thin()

    def seconds(self, lsn: int, now: float) -> float:
        """How long ago the primary was already beyond `lsn`; 0 if, as far as we know, it is not."""
        first = bisect_right(self.lsns, lsn)
        return max(0.0, now - self.times[first]) if first < len(self.times) else 0.0

    def size(self, lsn: int) -> int:
        """Bytes from `lsn` to the newest position."""
        return max(0, self.newest - lsn)

    def cut(self, lsn: int) -> None:
        """Forget what lay beyond `lsn`: it was never there, or is on a timeline that was left."""
        end = bisect_right(self.lsns, lsn)
        del self.times[end:], self.lsns[end:]

    def _thin(self) -> None:
        """Drop every second of the older half, but the oldest: the longer ago, the coarser."""
        half = len(self.times) // 2
        del self.times[1:half:2], self.lsns[1:half:2]
