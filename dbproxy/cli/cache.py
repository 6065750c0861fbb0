"""`dbproxy cache`: what is kept and what it saves, why an answer is or is not, have it forgotten, have it proved."""

import os
from typing import Annotated

import typer

from dbproxy.cli.asking import ConsoleHost, ConsolePort, ConsoleUser, Settled, find_console
from dbproxy.cli.exits import FAILED, reporting
from dbproxy.cli.limits import order, quote
from dbproxy.cli.words import read_duration
from dbproxy.terminal.format import Format

cache_app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
Chosen = Annotated[Format, typer.Option("--format", help="How tables are printed.")]
Database = Annotated[str, typer.Option("--database", help="Of this database only.")]


@cache_app.callback()
def cache() -> None:
    """Kept answers of a running proxy."""


@cache_app.command()
def stats(
    number: Annotated[
        int, typer.Option("--limit", min=1, max=100000, help="Tables, statements, reasons.")
    ] = 20,
    chosen: Chosen = Format.TABLE,
    config: Settled = None,
    host: ConsoleHost = "",
    port: ConsolePort = 0,
    user: ConsoleUser = "",
) -> None:
    """What became of requests; as tables also by table and statement, and why some were not looked for."""
    commands = ["SHOW CACHE"]
    if chosen is Format.TABLE:
        commands += [f"SHOW CACHE {what} LIMIT {number}" for what in ("TABLES", "QUERIES", "BYPASS")]
    order(commands, chosen, config, host, port, user)


@cache_app.command()
def explain(
    statement: Annotated[str, typer.Argument(metavar="SQL", help="The statement, in quotes.")],
    database: Database = "",
    config: Settled = None,
    host: ConsoleHost = "",
    port: ConsolePort = 0,
    user: ConsoleUser = "",
) -> None:
    """Say whether its answer can be kept, what it depends on and what ends it, or why it cannot be."""
    with reporting():
        from dbproxy.terminal.connection import Connection

        command = f"EXPLAIN CACHE {for_database(database)}{quote_name(statement)}"
        with Connection(find_console(config, host, port, user)) as console:
            for result in console.ask(command):
                for (line,) in result.rows:
                    typer.echo(line)


@cache_app.command()
def invalidate(
    table: Annotated[str, typer.Option("--table", help="Answers that depend on this table.")] = "",
    tag: Annotated[str, typer.Option("--tag", help="Those with this tag.")] = "",
    query: Annotated[str, typer.Option("--query", help="Those to this statement, by its id.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    database: Database = "",
    config: Settled = None,
    host: ConsoleHost = "",
    port: ConsolePort = 0,
    user: ConsoleUser = "",
) -> None:
    """Have answers not given any more, nor any that proxies share by Redis; nothing else is touched."""
    words = {"TABLE": table, "TAG": tag, "QUERY": query, "ALL": "all" if everything else ""}
    chosen = [(what, name) for what, name in words.items() if name]
    if len(chosen) != 1:
        raise typer.BadParameter("say one of --table, --tag, --query, --all")
    ((what, name),) = chosen
    named = "" if what == "ALL" else f" {quote(name)}"
    behind = f" {quote_name(database)}" if database else ""
    order([f"INVALIDATE CACHE {what}{named}{behind}"], Format.CSV, config, host, port, user)


@cache_app.command()
def warm(
    config: Settled = None, host: ConsoleHost = "", port: ConsolePort = 0, user: ConsoleUser = ""
) -> None:
    """Have the statements of `cache.warm_file`, and those that have saved most, fetched where they are not kept now."""
    order(["WARM CACHE"], Format.CSV, config, host, port, user)
    typer.echo("what is not kept now is being fetched")


@cache_app.command()
def verify(
    duration: Annotated[str, typer.Option("--for", help="How long: 30s, 5m.")] = "30s",
    config: Settled = None,
    host: ConsoleHost = "",
    port: ConsolePort = 0,
    user: ConsoleUser = "",
) -> None:
    """For a while, have all that could be answered carried out, too, and compared; a difference is exit code 1."""
    with reporting():
        from dbproxy.terminal.cache_check import check

        seconds = read_duration(duration, "--for")
        verified, mismatches = check(find_console(config, host, port, user), seconds)
        typer.echo(f"{verified} answers were compared with the server's; {mismatches} were not the same")
        if mismatches:
            typer.echo(
                "SHOW CACHE QUERIES names the statements; they are not answered so any more.", err=True
            )
            raise typer.Exit(FAILED)
        if not verified:
            typer.echo(
                "Nothing that is kept was asked for: is cache.mode on or observe? (SHOW CACHE)", err=True
            )


@cache_app.command()
def install(
    database: Annotated[str, typer.Option("--database", help="As the proxy calls it.")] = "",
    user: Annotated[str, typer.Option("--user", help="Who owns its tables; password: PGPASSWORD.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take it away again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the SQL, and do nothing.")] = False,
    config: Settled = None,
) -> None:
    """Make what `cache.invalidation` needs, triggers or a publication, or have it fit the tables there are now."""
    with reporting():
        import asyncio

        from dbproxy.app import publishing
        from dbproxy.config import load

        settings = load(config, os.environ, {})
        password = os.environ.get("PGPASSWORD", "")
        plan = asyncio.run(
            publishing.install(settings, database, user, password, removes=remove, runs=not dry_run)
        )
        for line in [f"{script};" for script in plan.scripts] if dry_run else plan.told:
            typer.echo(line)


def for_database(name: str) -> str:
    return f"FOR {quote_name(name)} " if name else ""


def quote_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
