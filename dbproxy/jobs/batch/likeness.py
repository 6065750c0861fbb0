"""Whether a batch of the ledger is the one that is meant, and whether it can be gone on with.

A place in the order of its key is one in no other order, and the rest of a file's values go where the first ones went.
"""

import re

from dbproxy.errors import JobRefused
from dbproxy.jobs.batch import ledger
from dbproxy.jobs.batch.ledger import Job
from dbproxy.jobs.batch.load import FIELDS, read_identity, read_order, spell_load
from dbproxy.jobs.batch.source import Source
from dbproxy.jobs.primary import Connection

WORD = re.compile(r"[\w.$+-]+")  # as admin.batch_command has it
ORDER = "order"  # the option that has what decides it; not there of what an older version began


async def find_unfinished(connection: Connection, source: Source) -> Job | None:
    """The latest of the same words."""
    listed = await ledger.list_unfinished(connection, source.kind, source.target)
    return next((job for job in listed if is_same(job, source)), None)


def is_same(job: Job, source: Source) -> bool:
    """Whether it was begun by the same words. A load's are its options: an older version's statement has less."""
    if (job.kind, job.target) != (source.kind, source.target):
        return False
    if job.kind == "load":
        return read_identity(job.options) == read_identity(source.options)
    return job.statement == source.statement


def check_name(name: str) -> None:
    """JobRefused if the console, where batches are paused and set, would not take it as one word."""
    if not WORD.fullmatch(name):
        raise JobRefused(
            f"{name!r} cannot be a batch's id: it is to be one word on the console",
            hint="Letters, digits, and . _ $ + - besides.",
        )


def make_word(table: str) -> str:
    """Of a table's name, what an id may begin with."""
    return re.sub(r"[^\w.$+-]+", "_", table)


def refuse(job: Job) -> JobRefused:
    """It is another one than what is asked for."""
    statement = spell_load(job.options) if job.kind == "load" else job.statement
    return JobRefused(
        f"batch {job.id} is another one: {job.kind} {job.target}: {statement}", hint="Another --id."
    )


def refuse_finished(job: Job, besides: str = "") -> JobRefused:
    """It is done; `besides`: what else may be meant."""
    retry = "lists" if job.kind == "load" else "--retry tries again"
    errors = f"dbproxy batch errors {job.id} {retry} what was left out." if job.totals.errors else ""
    return JobRefused(
        f"batch {job.id} is {job.state} already", hint=" ".join(filter(None, (errors, besides)))
    )


def check_fields(job: Job, source: Source) -> None:
    """Of a load. JobRefused if its values would go to others than those before them, or nobody knows."""
    before, now = job.options.get(FIELDS), source.options[FIELDS]
    seen = job.totals.seen
    behind = f"what is behind its first {seen} lines (and the header), with --header none and --columns"
    rest = f"give it up (dbproxy batch cancel {job.id}), and load {behind if seen else 'the file anew'}."
    if before is None and seen and not read_order(job.options).says_columns:
        raise JobRefused(
            f"batch {job.id} is an older version's, which has not noted the columns that its lines go to",
            hint=f"It cannot be resumed: {rest}",
        )
    if before is not None and before != now:
        raise JobRefused(
            f"the lines of batch {job.id} went to ({', '.join(before)}), and would go to ({', '.join(now)}) now",
            hint=f"Have the table or the first line as it was, and resume; or {rest}",
        )


def check_key(job: Job, source: Source, *, goes_on: bool = True) -> None:
    """JobRefused if rows would be passed over, or met twice; if it does not go on, single rows alone are looked for."""
    if goes_on and job.kind == "load":
        check_fields(job, source)
    before, now = job.options.get(ORDER, []), source.options.get(ORDER, [])
    if goes_on and sorted(job.key) == sorted(source.key) and before and before != now:
        raise JobRefused(
            f"the key of {job.target} was changed while batch {job.id} was stopped: it was ({', '.join(before)}), "
            f"and is ({', '.join(now)}) now, so that rows would be left out",
            hint="Change it back, and resume. Or give the batch up, and begin another, which goes through all rows: "
            f"dbproxy batch cancel {job.id}",
        )
    if job.key != source.key:
        raise JobRefused(
            f"batch {job.id} goes by ({', '.join(job.key)}): how far it is says nothing of "
            f"({', '.join(source.key)})",
            hint=f"That --key; or another --id, once it is cancelled: dbproxy batch cancel {job.id}",
        )
