"""Which tables each transaction has changed, as a server tells it by logical replication; rows are not looked at.

PostgreSQL: "Streaming Replication Protocol" and "Logical Streaming Replication Protocol". After START_REPLICATION
everything is CopyData, of a kind that its first byte tells: XLogData `w` (where it starts, the end of the WAL, the
server's clock, then one message of the output plugin) and keepalives `k`; what goes back is a status update `r`.
pgoutput, protocol version 1, tells a transaction when it has committed, and whole: Begin, its changes, Commit. Those
that were rolled back are never told, and transactions come in the order in which they committed: at a Commit all that
ends before it has been told. A table is announced by a Relation before its first change, and after it was altered.

Of a row only its table is read, so a payload may be cut off (wire.framer.STREAM_NEED): all that is read lies at its
beginning. Positions are bytes in the WAL (LSN), clocks microseconds since 2000-01-01.
"""

from dataclasses import dataclass
from struct import Struct, error

from dbproxy.errors import ProtocolViolation

MOST_TRUNCATED = (
    1000  # tables in one Truncate that surely lie at its beginning; of more, any may be among them
)
EPOCH = 946_684_800  # 2000-01-01, in seconds since 1970

_XLOG_DATA = Struct("!cQQQ")
_KEEPALIVE = Struct("!cQQB")
_STATUS = Struct("!cQQQQB")
_BEGIN = Struct("!cQQI")  # end of the transaction, when, xid
_COMMIT = Struct("!cBQQQ")  # flags, where it is, where it ends, when
_OID = Struct("!cI")
_TRUNCATE = Struct("!cIB")  # how many, CASCADE and RESTART IDENTITY

_XLOG = ord("w")
_CHANGE = slice(_XLOG_DATA.size, _XLOG_DATA.size + _OID.size)
_INSERT, _UPDATE, _DELETE = b"IUD"
_IGNORED = b"OYM"  # Origin, Type, Message


@dataclass(frozen=True, slots=True)
class Commit:
    """A transaction: `lsn` is its commit record, `end_lsn` where that ends. `everything`: too many tables to name."""

    xid: int
    lsn: int
    end_lsn: int
    tables: frozenset[int]
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Keepalive:
    """All that committed before `wal_end` has been told; `reply_wanted`: or the connection is closed soon."""

    wal_end: int
    reply_wanted: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as it was announced; `identity`: its pg_class.relreplident."""

    schema: str
    name: str
    identity: str


class Reader:
    """Of one stream, from START_REPLICATION on. `feed` raises ProtocolViolation for what is no such message."""

    def __init__(self) -> None:
        self.relations: dict[int, Relation] = {}
        self.xid: int | None = None  # of the transaction that is being told
        self.tables: set[int] = set()
        self.changes: set[bytes] = set()  # kind and table of those that it has had
        self.everything = False

    def feed(self, payload: bytes) -> Commit | Keepalive | None:
        """What one CopyData comes to."""
        if payload[_CHANGE] in self.changes and payload[0] == _XLOG:
            return None  # as nearly all of a bulk load
        try:
            if payload[:1] == b"w":
                return self.read(payload[_XLOG_DATA.size :])
            kind, wal_end, _, reply_wanted = _KEEPALIVE.unpack(payload)
        except (error, ValueError):
            raise malformed(payload) from None
        if kind != b"k":
            raise malformed(payload)
        return Keepalive(wal_end, bool(reply_wanted))

    def read(self, message: bytes) -> Commit | None:
        kind = message[0] if message else 0
        if kind in (_INSERT, _UPDATE, _DELETE):
            self.change(_OID.unpack_from(message)[1])
            self.changes.add(message[: _OID.size])
        elif kind == ord("B"):
            self.begin(message)
        elif kind == ord("C"):
            return self.commit(message)
        elif kind == ord("R"):
            self.announce(message)
        elif kind == ord("T"):
            self.truncate(message)
        elif kind not in _IGNORED or not kind:
            raise ProtocolViolation(f"the server streams an unknown change {message[:1]!r}")
        return None

    def begin(self, message: bytes) -> None:
        if self.xid is not None:
            raise ProtocolViolation("the server streams a transaction inside another")
        self.xid = _BEGIN.unpack(message)[3]

    def change(self, table: int) -> None:
        if self.xid is None:
            raise ProtocolViolation("the server streams a change outside a transaction")
        if table not in self.relations:
            raise ProtocolViolation(
                f"the server streams a change of a table {table} that it has not announced"
            )
        self.tables.add(table)

    def announce(self, message: bytes) -> None:
        """Columns follow, which are nothing to us."""
        _, table = _OID.unpack_from(message)
        schema, name, rest = message[_OID.size :].split(b"\0", 2)
        if not rest:
            raise ValueError
        self.relations[table] = Relation(
            schema.decode(errors="replace") or "pg_catalog", name.decode(errors="replace"), chr(rest[0])
        )

    def truncate(self, message: bytes) -> None:
        _, count, _ = _TRUNCATE.unpack_from(message)
        if count > MOST_TRUNCATED:
            self.everything = True
            return
        for (table,) in Struct("!I").iter_unpack(message[_TRUNCATE.size :]):
            self.change(table)
            count -= 1
        if count:
            raise ValueError

    def commit(self, message: bytes) -> Commit:
        _, _, lsn, end_lsn, _ = _COMMIT.unpack(message)
        if self.xid is None:
            raise ProtocolViolation("the server streams the end of a transaction that has not begun")
        told = Commit(self.xid, lsn, end_lsn, frozenset(self.tables), self.everything)
        self.xid, self.everything = None, False
        self.tables.clear()
        self.changes.clear()
        return told


def malformed(payload: bytes) -> ProtocolViolation:
    return ProtocolViolation(f"malformed {payload[:1]!r} in the server's replication stream")


def status_update(position: int, now: float, *, reply_wanted: bool) -> bytes:
    """All up to `position` is done with: the server may forget it. `now`: seconds since 1970."""
    clock = int((now - EPOCH) * 1e6)
    return _STATUS.pack(b"r", position, position, position, clock, reply_wanted)
