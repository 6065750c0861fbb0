"""What the primary tells of itself: one statement for each look, by a connection for that alone.

A role that is no member of pg_read_all_stats sees neither the transactions nor the replicas of others.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import asyncpg
import structlog

from dbproxy.cluster.lag import PAGE, History, settle
from dbproxy.cluster.rotation import ReplicaLag
from dbproxy.config.throttle import ThrottleSettings
from dbproxy.errors import ServerUnavailable
from dbproxy.jobs.pressure.looks import Server
from dbproxy.jobs.pressure.query import QUERIES, NoAnswer, ask, check
from dbproxy.jobs.primary import LOST, Connection, Primary, answered

log = structlog.get_logger(__name__)

APPLICATION_NAME = "dbproxy batch looks"
TIMEOUT = 5.0  # seconds, for all that is asked at one look
MOMENT = 1.0  # seconds at least over which the rate of WAL is measured
TOLD_AGAIN = 60.0  # seconds until it is told anew of a query that says nothing
# A job's own connections are left out, as is VACUUM, whose snapshot keeps no dead rows.
QUESTION = """
SELECT (pg_current_wal_lsn() - '0/0')::int8 AS lsn,
    pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') OR NOT (EXISTS (SELECT FROM pg_stat_replication)
        OR EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND usesysid IS NOT NULL
            AND query = '<insufficient privilege>')) AS sees,
    (SELECT json_build_object('name', slot_name, 'lsn', (restart_lsn - '0/0')::int8)
        FROM pg_replication_slots WHERE restart_lsn IS NOT NULL ORDER BY restart_lsn LIMIT 1) AS slot,
    (SELECT json_build_object('done', last_archived_wal, 'failed', last_failed_wal,
            'fails', coalesce(last_failed_time > last_archived_time, last_failed_time IS NOT NULL),
            'segment', pg_size_bytes(current_setting('wal_segment_size')))
        FROM pg_stat_archiver WHERE current_setting('archive_mode') <> 'off') AS archive,
    (SELECT json_agg(json_build_object('name', application_name, 'address', client_addr,
            'lsn', (replay_lsn - '0/0')::int8)) FROM pg_stat_replication r
        WHERE state IN ('streaming', 'catchup') AND NOT EXISTS (
            SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')) AS replicas,
    (SELECT coalesce(a.backend_type, 'maintenance') || ' (pid ' || l.pid || ')'
        FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'relation' AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
            AND l.database = a.datid AND a.datname = current_database() AND a.application_name NOT LIKE 'dbproxy batch%'
            AND (l.relation = to_regclass($1)
                OR l.relation IN (SELECT relid FROM pg_partition_tree(to_regclass($1)))) LIMIT 1) AS maintenance,
    (SELECT json_build_object('who', who, 'seconds', extract(epoch FROM clock_timestamp() - since)) FROM (
        SELECT 'pid ' || pid AS who, xact_start AS since FROM pg_stat_activity a
        WHERE backend_xmin IS NOT NULL AND datname = current_database() AND application_name NOT LIKE 'dbproxy batch%'
            AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = a.pid)
        UNION ALL SELECT 'prepared transaction ' || gid, prepared FROM pg_prepared_xacts
        WHERE database = current_database()) held WHERE since IS NOT NULL ORDER BY since LIMIT 1) AS snapshot"""


class ServerLooks:
    """`table`: of the job, once that is known."""

    def __init__(self, primary: Primary, table: Callable[[], str]) -> None:
        self.primary = primary
        self.table = table
        self.connection: Connection = None
        self.rate = WalRate()
        self.replays = Replays()
        self.blind = ""  # why the question is not answered
        self.told: dict[str, float] = {}  # when

    async def look(self, settings: ThrottleSettings) -> Server:
        """ServerUnavailable if there is no primary, or it does not answer."""
        async with self._reaching():
            return await self._ask(settings)

    async def check(self, settings: ThrottleSettings) -> None:
        """JobRefused if a query of the user's is wrong in itself, whatever the data are; else as `look`."""
        wanted = {name: query for name in QUERIES if (query := getattr(settings, name))}
        if wanted:
            async with self._reaching():
                for name, query in wanted.items():
                    await check(self.connection, name, query)

    @asynccontextmanager
    async def _reaching(self) -> AsyncIterator[None]:
        try:
            if self.connection is None or self.connection.is_closed():
                self.connection = await self.primary.connect(APPLICATION_NAME)
                self.blind = ""
            with answered(self.connection, TIMEOUT):
                yield
        except LOST as error:
            self._drop()
            raise ServerUnavailable(f"the primary does not answer: {error or 'no answer'}") from None

    async def _ask(self, settings: ThrottleSettings) -> Server:
        row = None if self.blind else await self._fetch()
        wait = await self._judge("query", settings.query)
        end = await self._judge("critical_query", settings.critical_query)
        seen = {} if row is None else self._read(row, monotonic())
        return Server(**seen, told_to_wait=wait, told_to_end=end)

    async def _fetch(self) -> Any:
        """The row; None from a server that does not answer such questions."""
        try:
            return await self.connection.fetchrow(QUESTION, self.table())
        except asyncpg.PostgresError as error:
            if _is_absence(error):
                raise ConnectionResetError(str(error)) from None
            self.blind = str(error)
            if self._is_news(self.blind):
                log.warning("batch cannot see the server's pressure", error=self.blind)
            return None

    async def _judge(self, name: str, query: str) -> bool:
        """Whether a query of the user's says so; one that fails says nothing, and that is told."""
        if not query:
            return False
        try:
            return await ask(self.connection, query)
        except (asyncpg.PostgresError, NoAnswer) as error:
            if _is_absence(error) and not isinstance(error, asyncpg.QueryCanceledError):
                raise ConnectionResetError(str(error)) from None
            if self._is_news(f"{name}: {query}", TOLD_AGAIN):
                log.warning(
                    "batch does not heed a query that fails", setting=f"throttle.{name}", error=str(error)
                )
            return False

    def _read(self, row: Mapping[str, Any], now: float) -> dict[str, Any]:
        if not row["sees"] and self._is_news("sees"):
            log.warning(
                "batch sees no replicas and no snapshots of others",
                hint="GRANT pg_monitor to its role.",
            )
        slot, archive, replicas, snapshot = (
            json.loads(row[name] or "null") for name in ("slot", "archive", "replicas", "snapshot")
        )
        lsn = row["lsn"]
        backlog, holder = find_backlog(lsn, slot, archive)
        return {
            "wal": self.rate.note(lsn, now),
            "backlog": backlog,
            "holder": holder,
            "replicas": self.replays.note(lsn, replicas or (), now),
            "maintenance": row["maintenance"] or "",
            "snapshot": float(snapshot["seconds"]) if snapshot else 0.0,
            "snapshot_of": snapshot["who"] if snapshot else "",
        }

    def _is_news(self, what: str, again: float = float("inf")) -> bool:
        """Whether it is told: each once, or after so many seconds."""
        now = monotonic()
        news = what not in self.told or now - self.told[what] >= again
        if news:
            self.told[what] = now
        return news

    def _drop(self) -> None:
        if self.connection is not None:
            self.connection.terminate()
            self.connection = None
        self.rate, self.replays = WalRate(), Replays()

    async def close(self) -> None:
        self._drop()


def _is_absence(error: Exception) -> bool:
    """Whether it is the server that is not there, or not what it was (a replica now), rather than the question."""
    code = str(getattr(error, "sqlstate", ""))
    return code[:2] in ("08", "53", "57") or code == "55000"


class WalRate:
    """Bytes a second; None until it was measured."""

    def __init__(self) -> None:
        self.mark: tuple[float, int] | None = None
        self.rate: float | None = None

    def note(self, lsn: int, now: float) -> float | None:
        if self.mark is None:
            self.mark = (now, lsn)
        elif now - self.mark[0] >= MOMENT:
            self.rate = max(0, lsn - self.mark[1]) / (now - self.mark[0])
            self.mark = (now, lsn)
        return self.rate


class Replays:
    """How late replicas are that the primary sends WAL to (cluster.lag says how that is told)."""

    def __init__(self) -> None:
        self.history = History()

    def note(self, lsn: int, replicas: Iterable[Mapping[str, Any]], now: float) -> list[ReplicaLag]:
        if lsn % PAGE:  # else the rest of its last record may not be written yet
            self.history.note(settle(lsn), now)
        return [
            ReplicaLag(
                f"{one['name']} ({one['address'] or 'local'})", self.history.seconds(settle(one["lsn"]), now)
            )
            for one in replicas
            if one["lsn"] is not None
        ]


def find_backlog(
    lsn: int, slot: Mapping[str, Any] | None, archive: Mapping[str, Any] | None
) -> tuple[int, str]:
    """The most WAL that something holds back, in bytes, and what that is."""
    found = [(0, "")]
    if slot:
        found.append((lsn - slot["lsn"], f"replication slot {slot['name']}"))
    if archive:
        reached = find_archived(archive)
        if reached is not None:
            found.append((lsn - reached, "the archive"))
    return max(found)


def find_archived(archive: Mapping[str, Any]) -> int | None:
    """Up to where WAL is archived; None if nothing was, nor has failed."""
    segment = archive["segment"]
    if archive["fails"]:
        return _find_segment(archive["failed"], segment)
    start = _find_segment(archive["done"], segment)
    return None if start is None else start + segment


def _find_segment(name: str | None, segment: int) -> int | None:
    """Where a WAL file begins: its name is timeline, upper half and number of the segment, in 8 hex digits each."""
    digits = (name or "")[:24]
    try:
        return (int(digits[8:16], 16) << 32) + int(digits[16:24], 16) * segment
    except ValueError:  # a timeline's history
        return None
