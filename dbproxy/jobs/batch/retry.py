"""Rows that were left out, tried once more: `dbproxy batch errors --retry`."""

from dataclasses import dataclass

import asyncpg

from dbproxy.errors import JobFailed
from dbproxy.jobs.batch import omissions
from dbproxy.jobs.batch.control import Control
from dbproxy.jobs.batch.omissions import BadRow
from dbproxy.jobs.batch.retries import Verdict, judge, rest
from dbproxy.jobs.batch.source import Fault, Source
from dbproxy.jobs.batch.worker import describe, failure
from dbproxy.jobs.primary import LOST, Connection, answered

PAGE = 100


@dataclass
class Outcome:
    mended: int = 0
    left: int = 0


async def retry(control: Control, source: Source) -> Outcome:
    """Each in a transaction of its own, with the ledger's row of it. JobFailed if the server cannot go on."""
    outcome = Outcome()
    after: tuple[str, ...] | None = None
    connection = await control.connect()
    try:
        while page := await omissions.page_errors(connection, control.batch, PAGE, after):
            for bad in page:
                if bad.sqlstate == omissions.SKIPPED:  # the batch itself revisits it
                    continue
                mended = await try_one(control, connection, source, bad)
                outcome.mended += mended
                outcome.left += not mended
            after = page[-1].key
    except (asyncpg.PostgresError, *LOST) as error:
        raise failure(error) from None
    finally:
        connection.terminate()
    return outcome


async def try_one(control: Control, connection: Connection, source: Source, bad: BadRow) -> bool:
    """Whether it is changed now."""
    for tries in range(control.settings.retries + 1):
        try:
            with answered(connection, control.timeouts.answer):
                async with connection.transaction():
                    rows = await source.carry_out_one(connection, bad.key)
                    await omissions.forgive(connection, control.batch, bad, rows)
        except Fault as fault:
            await record(connection, control.batch, bad, fault)
            return False
        except asyncpg.PostgresError as error:
            verdict = judge(str(error.sqlstate))
            if verdict is Verdict.DATA:
                await record(connection, control.batch, bad, describe(error))
                return False
            if verdict is not Verdict.AGAIN:
                raise
            await rest(tries)
        else:
            return True
    raise JobFailed(f"the row with key ({', '.join(bad.key)}) is locked by somebody else all the time")


async def record(connection: Connection, batch: str, bad: BadRow, fault: Fault) -> None:
    """What is wrong with it now."""
    now = BadRow(bad.key, fault.sqlstate, fault.message, fault.detail, fault.constraint, bad.part)
    await omissions.record(connection, batch, now)
