"""What follows from a stream of everybody's writes: what is told of them, and what the server is told in return.

A logical replication slot gives each transaction that commits, whoever ran it and by whatever way: with what triggers
and cascades have changed, in the order of the commits. It is temporary: it goes with its connection, so that a proxy
that is gone keeps no WAL on the server's disk. Its price is that a new connection begins anew: what was committed in
between is never told, and all that was known before is void (`Follower.lost`).

How far the stream has come (`Follower.position`) tells what it cannot have missed: all that committed before. The
server tells it at each commit; in between by keepalives, whenever we have not said yet that we are so far, which we do
every STATUS seconds only.

A commit is in the WAL before others see it, long before where it waits for a synchronous standby. So a transaction that
committed ahead of the slot's first position, and is never told, may still be unseen by who reads now: a stream begins
only when all that were running once the slot was there have left (RUNNING). PostgreSQL: "Streaming Replication
Protocol", "Logical Decoding Concepts".
"""

from typing import Protocol

from dbproxy.errors import ProxyError, ServerLost, ServerUnavailable
from dbproxy.wire import build
from dbproxy.wire.codes import Backend
from dbproxy.wire.pgoutput import Commit, Reader, status_update
from dbproxy.wire.startup import parse_error_response

# The oldest transaction that is running, or will be next; and the next. As PostgreSQL 10 to 18 understand it.
RUNNING = (
    "SELECT pg_catalog.txid_snapshot_xmin(s), pg_catalog.txid_snapshot_xmax(s)"
    " FROM pg_catalog.txid_current_snapshot() s"
)
STATUS = 10.0  # seconds between two status updates
SILENCE = 60.0  # seconds without a word, after which the server is taken for gone (PostgreSQL's wal_receiver_timeout)
SKIPPED = (
    "55000"  # of a warning: the publication is not there any more, its changes are left out (PostgreSQL 18)
)
FIRST, LONGEST = 0.25, 5.0  # seconds to the next try: while nothing is heard, nothing is kept
HINTS = {  # by what the server's message names, or by its SQLSTATE
    "wal_level": "Set wal_level = logical there, and restart PostgreSQL.",
    "max_wal_senders": "Raise max_wal_senders there, and restart PostgreSQL.",
    "max_replication_slots": "Raise max_replication_slots there, and restart PostgreSQL.",
    "53400": "Raise max_replication_slots there, and restart PostgreSQL.",
    "42501": "ALTER ROLE … REPLICATION: only such a user, or a superuser, may be told of everybody's writes.",
}


class Follower(Protocol):
    """Who is told. `position`: all that has committed before it was told; the stream sets it."""

    position: int

    def began(self, lsn: int) -> None:
        """From this position on it hears everything."""

    def committed(self, xid: int, lsn: int, tables: frozenset[int] | None) -> None:
        """A transaction that has changed these, None: any; its commit record ends at `lsn`. Then `position` moves."""

    def lost(self, reason: str) -> None:
        """It hears nothing any more until it began again: what it knew is void."""


class Following:
    """One stream, which begins at `lsn`. `now`: monotonic seconds."""

    def __init__(self, follower: Follower, lsn: int) -> None:
        self.follower = follower
        self.lsn = lsn
        self.reader = Reader()
        self.flows = False
        self.began_at = self.heard_at = self.told_at = 0.0

    def begin(self, now: float) -> None:
        self.flows = True
        self.began_at = self.heard_at = self.told_at = now
        self.follower.position = self.lsn
        self.follower.began(self.lsn)

    def hear(self, kind: int, payload: bytes, now: float) -> bool:
        """Tell the follower; whether the server wants a status update at once. Raises what ends the stream."""
        self.heard_at = now
        if kind == Backend.COPY_DATA:
            return self.take(payload)
        if kind == Backend.PARAMETER_STATUS:
            return False
        if kind not in (Backend.ERROR_RESPONSE, Backend.NOTICE_RESPONSE):
            raise ServerLost("the server has ended the stream")
        fields = parse_error_response(payload)
        if kind == Backend.ERROR_RESPONSE or fields.get("C") == SKIPPED:
            raise ServerLost(fields.get("M", ""), hint=fields.get("H", ""))
        return False

    def take(self, payload: bytes) -> bool:
        news = self.reader.feed(payload)
        if isinstance(news, Commit):
            self.follower.committed(news.xid, news.end_lsn, None if news.everything else news.tables)
            self.advance(news.end_lsn)
        elif news is not None:
            self.advance(news.wal_end)
            return news.reply_wanted
        return False

    def advance(self, position: int) -> None:
        self.follower.position = max(self.follower.position, position)

    def claim_status(self, now: float) -> bool:
        """Whether a status update is due; whoever asks sends it, and has the server answer."""
        if now - self.told_at < STATUS:
            return False
        self.told_at = now
        return True

    def spell_status(self, clock: float, *, reply_wanted: bool = False) -> bytes:
        """`clock`: seconds since 1970."""
        return build.copy_data(status_update(self.follower.position, clock, reply_wanted=reply_wanted))

    def is_silent(self, now: float) -> bool:
        return now - self.heard_at >= SILENCE

    def end(self, reason: str) -> None:
        """Tell the follower, once."""
        if self.flows:
            self.flows = False
            self.follower.lost(reason)


def spell_slot(slot: str) -> str:
    """As all of PostgreSQL 10 to 18 understand it; its answer has the position where the slot begins."""
    return f"CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT"


def spell_start(slot: str, publication: str) -> str:
    return f"START_REPLICATION SLOT {slot} LOGICAL 0/0 (proto_version '1', publication_names '{publication}')"


def find_delay(failures: int, chance: float) -> float:
    """Seconds to wait after so many failures in a row; `chance`: 0 to 1, so that proxies do not come together."""
    return min(LONGEST, FIRST * 2.0 ** min(failures, 10)) * (0.5 + chance / 2)


def explain(error: ProxyError, address: str) -> ProxyError:
    """For the log: where it happened, and what to do."""
    message = error.message if error.message.startswith(address) else f"{address}: {error.message}"
    hints = [hint for sign, hint in HINTS.items() if sign == error.sqlstate or sign in error.message]
    return ServerUnavailable(message, detail=error.detail, hint=hints[0] if hints else error.hint)
