"""Batches as `dbproxy batch status` shows them."""

from collections.abc import Iterable

from dbproxy.config.units import show_count
from dbproxy.jobs.batch.ledger import Job
from dbproxy.jobs.batch.omissions import BadRow
from dbproxy.observe.printable import clean

REVISITS = "revisits rows that others had"


def tell(jobs: Iterable[Job]) -> list[str]:
    return [line(job) for job in jobs]


def line(job: Job) -> str:
    done = job.totals
    detail = job.waits_for or (REVISITS if done.revisits and job.state == "running" else "")
    state = job.state if detail in ("", job.state) else f"{job.state} ({detail})"
    rows, chunks = show_count(done.rows, "row"), show_count(done.chunks, "chunk")
    words = f"{rows}, {tell_seen(job)} seen, {chunks}, {show_count(done.errors, 'error')}"
    return clean("  ".join([job.id, state, words, *([job.reason] if job.reason else [])]))


def tell_seen(job: Job) -> str:
    """Of how many, until it is done; of a pipe that is not known."""
    known = job.estimate and not job.state.startswith("done")
    return f"{job.totals.seen} of about {job.estimate}" if known else str(job.totals.seen)


def tell_error(bad: BadRow) -> str:
    words = (f"({', '.join(bad.key)})", bad.sqlstate, bad.message, bad.detail)
    return clean("  ".join(word for word in words if word))


def tell_account(job: Job) -> list[str]:
    """Of a load or a copy."""
    done, (unit, origin) = job.totals, ("lines", "input") if job.kind == "load" else ("rows", "other table")
    more = f" (dbproxy batch errors {job.id} lists them)" if done.errors else ""
    return [
        f"batch {job.id} is {job.state}; {unit} read: {tell_seen(job)}, left out: {done.errors}{more}, "
        f"rows of {job.target} made or changed: {done.rows}",
        f"This is the ledger's account: what {job.target} has by now is not compared with the {origin}.",
    ]


def is_whole(job: Job) -> bool:
    """All of it was read, and nothing left out."""
    return job.state == "done" and not job.totals.errors
