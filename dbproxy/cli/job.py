"""A batch from the command line, whatever it goes through: found, made, and carried out."""

import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from dbproxy.cli.words import judge_path, parse_overrides

if TYPE_CHECKING:
    from dbproxy.config import Settings
    from dbproxy.jobs.batch.job import Batch
    from dbproxy.jobs.batch.ledger import Job
    from dbproxy.jobs.batch.source import Source
    from dbproxy.jobs.primary import Primary

Result = TypeVar("Result")
WITH_ERRORS, INTERRUPTED = 3, 130
NO = ("false", "off", "no", "0", "f", "n")  # as settings are read

Settled = Annotated[
    Path | None,
    typer.Option("--config", help="The proxy's settings' file: the primary, and \\[batch].", callback=judge_path,
                 show_default=False),
]  # fmt: skip
Url = Annotated[
    str,
    typer.Option(
        "--url", help="The primary, if not the settings'; several hosts: the one that takes writes."
    ),
]
Database = Annotated[
    str, typer.Option("--database", help="Another database than the primary's, as the proxy calls it.")
]
Given = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="A setting of \\[batch], such as chunk_size=500; repeatable."
    ),
]
Name = Annotated[str, typer.Argument(metavar="ID", help="As `dbproxy batch status` shows it.")]
Execute = Annotated[
    bool, typer.Option("--execute", help="Do it; without this, the plan is shown and nothing is done.")
]

Proxy = Annotated[
    str,
    typer.Option(
        "--proxy", metavar="URL", help="Where the proxy answers over HTTP, if not as \\[http] says; or off."
    ),
]
NoThrottle = Annotated[
    bool, typer.Option("--no-throttle", help="Wait for nothing: neither replicas nor the application.")
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, max=8, help="How many parts are gone through at a time; 1 by default."),
]

UNAWARE = (
    "dbproxy: answers that the proxy keeps are not told of what this changes (cache.invalidation is proxy): "
    "dbproxy cache invalidate --table … does it"
)


def find(
    config: Path | None, given: list[str] | None, url: str, database: str, option: str = "--url"
) -> "tuple[Settings, Primary]":
    """The settings with what is given over them, and the primary; `option`: what `url` was given by."""
    from dataclasses import replace

    from dbproxy.app.jobs import find_primary
    from dbproxy.config import load
    from dbproxy.config.url import parse_url
    from dbproxy.observe.logs import configure

    settings = load(config, os.environ, {f"batch.{key}": value for key, value in read_changes(given).items()})
    configure(settings.log.format, "warning", settings.log.areas())
    try:
        host = parse_url(url, os.environ) if url else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
    return settings, replace(find_primary(settings, host, database), option=option)


def read_changes(given: list[str] | None) -> dict[str, str]:
    """What the ledger keeps of this batch alone."""
    return parse_overrides(given or [], "key=value, such as chunk_size=500")


def add_options(
    given: list[str] | None, proxy: str, unthrottled: bool, workers: int | None = None
) -> list[str]:
    """To what is given as settings, unless that says something else."""
    changes = read_changes(given)
    if workers and changes.get("workers", str(workers)) != str(workers):
        raise typer.BadParameter("says another number than --set workers", param_hint="--workers")
    if unthrottled and changes.get("throttle.enabled", "false").lower() not in NO:
        raise typer.BadParameter("says the opposite of --set throttle.enabled", param_hint="--no-throttle")
    if proxy and changes.get("throttle.proxy", proxy) != proxy:
        raise typer.BadParameter("says another one than --set throttle.proxy", param_hint="--proxy")
    words = [f"throttle.proxy={proxy}"] if proxy else []
    words += [f"workers={workers}"] if workers else []
    return [*(given or []), *words, *(["throttle.enabled=false"] if unthrottled else [])]


def make_batch(
    settings: "Settings",
    primary: "Primary",
    source: "Source",
    name: str,
    given: list[str],
    *,
    alone: bool,
    database: str,
) -> "Batch":
    """With its throttle; `alone`: the primary was given by its URL."""
    from dbproxy.app.jobs import make_guard
    from dbproxy.jobs.batch.job import Batch

    if keeps_unaware(settings):
        typer.echo(UNAWARE, err=True)
    throttle = make_guard(settings, primary, lambda: source.target, alone=alone, database=database)
    return Batch(primary, source, settings.batch, name=name, changes=read_changes(given), throttle=throttle)


def keeps_unaware(settings: "Settings") -> bool:
    """Whether the proxy keeps answers, and sees but what passes through it; a batch does not."""
    modes = {keys.mode for keys in settings.caches()}
    return "on" in modes and settings.cache.invalidation == "proxy"


def carry_out(batch: "Batch", execute: bool) -> None:
    """Show the plan, or run it and exit as it ends."""
    from dbproxy.jobs.batch.status import tell

    job = run_loop(work(batch, execute))
    if job is not None:
        for line in tell([job]):
            typer.echo(line)
        if job.totals.errors:
            raise typer.Exit(WITH_ERRORS)


async def work(batch: "Batch", execute: bool) -> "Job | None":
    from dbproxy.jobs.batch.watch import run_watched
    from dbproxy.observe.printable import clean

    async with batch:
        if execute:
            return await run_watched(batch, sys.stderr)
        for line in (*await batch.plan(), "Nothing was done: --execute does it."):
            typer.echo(clean(line))
        return None


def run_loop(work: Coroutine[Any, Any, Result]) -> Result:
    """To its end. One that was told to stop ends by 130; JobFailed if the database does not do what is asked."""
    import asyncio

    from asyncpg import PostgresError

    from dbproxy.errors import JobInterrupted
    from dbproxy.jobs.batch.worker import failure
    from dbproxy.jobs.primary import LOST

    try:
        return asyncio.run(work)
    except JobInterrupted as error:
        typer.echo(f"dbproxy: {error.message}: dbproxy batch resume goes on with it", err=True)
    except (asyncio.CancelledError, KeyboardInterrupt):
        typer.echo("dbproxy: interrupted", err=True)
    except (PostgresError, *LOST) as error:
        raise failure(error) from None
    raise typer.Exit(INTERRUPTED)
