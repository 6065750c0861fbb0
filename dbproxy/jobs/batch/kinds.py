"""A batch's source made anew from the ledger, by its kind."""

from dbproxy.config.batch import BatchSettings
from dbproxy.errors import JobRefused
from dbproxy.jobs.batch.ledger import Job
from dbproxy.jobs.batch.source import Source
from dbproxy.jobs.primary import Primary


def restore(job: Job, settings: BatchSettings, origin: Primary | None = None) -> Source:
    """JobRefused if this version does not know the kind, or a copy needs another `origin`."""
    if job.kind == "load":
        from dbproxy.jobs.batch.lines import Lines
        from dbproxy.jobs.batch.load import read_order

        return Lines(read_order(job.options))
    if job.kind == "copy":
        from dbproxy.jobs.batch.transfer import Transfer, choose_origin, read_wish

        return Transfer(read_wish(job.options), choose_origin(job, origin))
    if job.kind == "run":
        from dbproxy.jobs.batch.rows import Rows
        from dbproxy.jobs.batch.statement import read_statement

        return Rows(
            job.target, job.key, read_statement(job.statement), str(job.options.get("sweep", settings.sweep))
        )
    raise JobRefused(f"batch {job.id} is a {job.kind}, which this version of dbproxy does not know")
