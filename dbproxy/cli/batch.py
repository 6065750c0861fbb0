"""`dbproxy batch`: change millions of rows in chunks beside live traffic, each row once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbproxy.cli.exits import BAD_CONFIGURATION, FAILED, reporting
from dbproxy.cli.job import (
    WITH_ERRORS,
    Database,
    Execute,
    Given,
    Name,
    NoThrottle,
    Proxy,
    Settled,
    Url,
    Workers,
    add_options,
    carry_out,
    find,
    make_batch,
    read_changes,
    run_loop,
)

if TYPE_CHECKING:
    from dbproxy.config import Settings
    from dbproxy.jobs.batch.job import Batch
    from dbproxy.jobs.batch.ledger import Job
    from dbproxy.jobs.batch.retry import Outcome
    from dbproxy.jobs.primary import Connection, Primary

From = Annotated[
    str,
    typer.Option(
        "--from", help="The URL that a copy reads from, if that is another database.", show_default=False
    ),
]
batch_app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@batch_app.callback()
def batch() -> None:
    """Batches: millions of rows changed in chunks, beside live traffic, each row once."""
    import dbproxy.observe.logs  # noqa: F401  # ahead of all that imports structlog, which becomes smaller by that


@batch_app.command()
def run(
    statement: Annotated[str, typer.Argument(metavar="SQL", help="With {chunk} in its WHERE, in quotes.")],
    table: Annotated[str, typer.Option("--table", help="The table whose rows are gone through.")],
    key: Annotated[
        str,
        typer.Option(
            "--key", help="The columns of a unique key: id, or tenant,id; the primary key by default."
        ),
    ] = "",
    name: Annotated[
        str, typer.Option("--id", help="What it is called; made of the table's name if not given.")
    ] = "",
    execute: Execute = False,
    workers: Workers = None,
    given: Given = None,
    proxy: Proxy = "",
    unthrottled: NoThrottle = False,
    url: Url = "",
    database: Database = "",
    config: Settled = None,
) -> None:
    """Carry out an UPDATE, DELETE, INSERT … SELECT or SELECT f(id) chunk after chunk."""
    with reporting():
        from dbproxy.jobs.batch.rows import Rows
        from dbproxy.jobs.batch.statement import read_statement

        given = add_options(given, proxy, unthrottled, workers)
        settings, primary = find(config, given, url, database)
        columns = tuple(column.strip() for column in key.split(",") if column.strip())
        source = Rows(table, columns, read_statement(statement), settings.batch.sweep)
        carry_out(
            make_batch(settings, primary, source, name, given, alone=bool(url), database=database), execute
        )


@batch_app.command()
def resume(
    name: Name,
    given: Given = None,
    proxy: Proxy = "",
    unthrottled: NoThrottle = False,
    origin: From = "",
    url: Url = "",
    database: Database = "",
    config: Settled = None,
) -> None:
    """Go on with a batch that was interrupted, or let go one that is paused."""
    with reporting():
        from dbproxy.jobs.batch import ledger
        from dbproxy.jobs.batch.changes import refuse_late
        from dbproxy.jobs.batch.kinds import restore
        from dbproxy.jobs.batch.likeness import refuse_finished

        given = add_options(given, proxy, unthrottled)
        settings, primary = find(config, given, url, database)
        job = ask(primary, lambda connection: get(connection, name))
        refuse_late(job, list(read_changes(given)))
        if job.state in ("running", "paused"):
            if given:
                ask(primary, lambda connection: ledger.change(connection, name, read_changes(given)))
            ask(primary, lambda connection: ledger.order(connection, name, ""))
            waited = job.state == "paused" or job.wanted
            typer.echo(
                f"batch {name} goes on"
                if waited
                else f"batch {name} runs already (pid {job.pid}, host {job.host})"
            )
            return
        if job.state in ("done", "done with errors"):
            raise refuse_finished(job)
        source = restore(job, settings.batch, find_origin(job, config, origin, database))
        alone = bool(url or origin)
        batch = make_batch(settings, primary, source, name, given, alone=alone, database=database)
        carry_out(batch, execute=True)


@batch_app.command()
def status(
    name: Annotated[str, typer.Argument(metavar="[ID]")] = "",
    url: Url = "",
    database: Database = "",
    config: Settled = None,
) -> None:
    """Show batches and how far they are."""
    with reporting():
        from dbproxy.jobs.batch import ledger
        from dbproxy.jobs.batch.status import tell

        _, primary = find(config, None, url, database)
        one = ask(primary, lambda connection: get(connection, name)) if name else None
        listed = tell([one] if one else ask(primary, ledger.list_jobs))
        for line in listed:
            typer.echo(line)
        if not listed:
            typer.echo("there are no batches in this database", err=True)


@batch_app.command()
def pause(name: Name, url: Url = "", database: Database = "", config: Settled = None) -> None:
    """Have a batch wait after its chunk, until `resume`."""
    order(name, "pause", url, database, config)


@batch_app.command()
def cancel(name: Name, url: Url = "", database: Database = "", config: Settled = None) -> None:
    """Have a batch end after its chunk, or give up one that was to be resumed; what was done stays."""
    order(name, "cancel", url, database, config)


@batch_app.command()
def errors(
    name: Name,
    again: Annotated[bool, typer.Option("--retry", help="Try these rows once more.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many are shown.")] = 1000,
    origin: From = "",
    url: Url = "",
    database: Database = "",
    config: Settled = None,
) -> None:
    """Show the rows that were left out, and why; or try them again."""
    with reporting():
        from dbproxy.jobs.batch import omissions
        from dbproxy.jobs.batch.status import tell_error

        settings, primary = find(config, None, url, database)
        job = ask(primary, lambda connection: get(connection, name))
        if again and job.kind == "load":
            from dbproxy.jobs.batch.load import read_filled, refuse_retry

            raise refuse_retry(read_filled(job.options), name)
        if again:
            reads = find_origin(job, config, origin, database)
            outcome = run_loop(try_again(remake(primary, job, settings, reads)))
            typer.echo(f"rows changed now: {outcome.mended}; still left out: {outcome.left}")
            raise typer.Exit(WITH_ERRORS if outcome.left else 0)
        found = ask(primary, lambda connection: omissions.list_errors(connection, name, limit))
        for bad in found:
            typer.echo(tell_error(bad))
        if not found:
            typer.echo(f"batch {name} has left nothing out", err=True)


@batch_app.command()
def verify(name: Name, url: Url = "", database: Database = "", config: Settled = None) -> None:
    """Count the rows that a run is still for, or tell what a load or a copy has left out; any is exit code 1."""
    with reporting():
        from dbproxy.jobs.batch.status import is_whole, tell_account

        settings, primary = find(config, None, url, database)
        job = ask(primary, lambda connection: get(connection, name))
        if job.kind != "run":
            typer.echo("\n".join(tell_account(job)))
            raise typer.Exit(0 if is_whole(job) else FAILED)
        left = run_loop(count_left(remake(primary, job, settings)))
        if left is None:
            typer.echo(
                f"what is left for batch {name} cannot be counted: no condition of its own says which rows are done"
            )
            raise typer.Exit(BAD_CONFIGURATION)
        typer.echo(f"rows left for batch {name} to change: {left}")
        raise typer.Exit(FAILED if left else 0)


# --- what they share ---


def find_origin(job: "Job", config: Path | None, url: str, database: str) -> "Primary | None":
    """What a copy from another database may read: as --from says, or else the settings."""
    from dbproxy.errors import ConfigurationError

    if not job.options.get("origin"):
        return None
    try:
        return find(config, None, url, database, "--from")[1]
    except ConfigurationError:  # they name none
        return None


def remake(primary: "Primary", job: "Job", settings: "Settings", origin: "Primary | None" = None) -> "Batch":
    """Of the ledger's words."""
    from dbproxy.jobs.batch.job import Batch
    from dbproxy.jobs.batch.kinds import restore

    return Batch(primary, restore(job, settings.batch, origin), settings.batch, name=job.id)


async def try_again(batch: "Batch") -> "Outcome":
    async with batch:
        return await batch.retry()


async def count_left(batch: "Batch") -> int | None:
    async with batch:
        return await batch.source.verify(batch.connection)


def order(name: str, wanted: Any, url: str, database: str, config: Path | None) -> None:
    with reporting():
        from dbproxy.errors import JobFailed
        from dbproxy.jobs.batch import ledger

        _, primary = find(config, None, url, database)
        job = ask(primary, lambda connection: get(connection, name))
        if job.state in ("running", "paused"):
            ask(primary, lambda connection: ledger.order(connection, name, wanted))
            typer.echo(f"batch {name}: it {'waits' if wanted == 'pause' else 'ends'} after its chunk")
        elif wanted == "cancel" and ask(primary, lambda connection: ledger.give_up(connection, name)):
            typer.echo(f"batch {name} is given up")
        else:
            raise JobFailed(f"batch {name} does not run: it is {job.state}")


def ask(primary: "Primary", question: "Any") -> Any:
    """Of the ledger, by a connection for that alone."""

    async def asking() -> Any:
        connection = await primary.connect("dbproxy batch")
        try:
            return await question(connection)
        finally:
            await connection.close()

    return run_loop(asking())


async def get(connection: "Connection", name: str) -> "Job":
    from dbproxy.errors import JobRefused
    from dbproxy.jobs.batch import ledger

    job = await ledger.find(connection, name) if await ledger.exists(connection) else None
    if job is None:
        raise JobRefused(f"there is no batch {name}", hint="dbproxy batch status lists them.")
    return job
