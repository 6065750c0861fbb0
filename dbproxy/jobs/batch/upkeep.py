"""Dead rows that a batch leaves behind: vacuumed now and then, so that the next chunks do not wade through them."""

from dataclasses import dataclass
from time import monotonic

import asyncpg
import structlog

from dbproxy.errors import ServerUnavailable
from dbproxy.jobs.primary import LOST, Connection, Primary

log = structlog.get_logger(__name__)
VACUUMED = """
SELECT coalesce(extract(epoch FROM now() - last_autovacuum), 'infinity')::float8 FROM pg_stat_all_tables
WHERE relid = to_regclass($1)"""
GENTLY = "2ms"  # vacuum_cost_delay, autovacuum's own
PATIENCE = "5s"  # lock_timeout


@dataclass
class Upkeep:
    """Of one table, "" for none; `rows`: how many were changed when it was vacuumed last."""

    table: str
    rows: int = 0
    at: float = 0.0

    def __post_init__(self) -> None:
        self.at = monotonic()

    def is_due(self, rows: int, every: int) -> bool:
        return bool(self.table) and every > 0 and rows - self.rows >= every

    async def vacuum(self, primary: Primary, rows: int) -> None:
        """Unless autovacuum has done so in the meantime. It may fail: the batch does not depend on it."""
        since, self.rows, self.at = monotonic() - self.at, rows, monotonic()
        try:
            connection = await primary.connect("dbproxy batch vacuum")
            try:
                if (await connection.fetchval(VACUUMED, self.table) or 0) >= since:
                    await connection.execute(f"SET vacuum_cost_delay = '{GENTLY}'")
                    await self._run(connection, "VACUUM (SKIP_LOCKED)")
            finally:
                connection.terminate()
        except (asyncpg.PostgresError, ServerUnavailable, *LOST) as error:
            log.warning("batch could not vacuum", table=self.table, reason=str(error))

    async def analyze(self, primary: Primary, rows: int) -> None:
        """In the end, if anything was changed. It may fail, too."""
        if not (self.table and rows):
            return
        try:
            connection = await primary.connect("dbproxy batch analyze")
            try:
                await self._run(connection, "ANALYZE (SKIP_LOCKED)")
            finally:
                connection.terminate()
        except (asyncpg.PostgresError, ServerUnavailable, *LOST) as error:
            log.warning("batch could not analyze", table=self.table, reason=str(error))

    async def _run(self, connection: Connection, command: str) -> None:
        await connection.execute(f"SET lock_timeout = '{PATIENCE}'; SET statement_timeout = 0")
        await connection.execute(f"{command} {self.table}")
