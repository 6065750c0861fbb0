"""The commands that ask a running proxy, at its console or by HTTP: `admin`, `top`, `queries`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbproxy.cli.exits import reporting
from dbproxy.cli.words import judge_path, read_duration
from dbproxy.terminal.format import Format

if TYPE_CHECKING:
    from rich.console import Console

    from dbproxy.terminal.address import Address

PIPE_WIDTH = 160  # characters
queries_app = typer.Typer(invoke_without_command=True, pretty_exceptions_enable=False)
# Where the proxy is, and as whom it is asked.
Settled = Annotated[
    Path | None,
    typer.Option("--config", help="The proxy's settings' file: where it listens, and who may ask.",
                 callback=judge_path, show_default=False),
]  # fmt: skip
ConsoleHost = Annotated[
    str, typer.Option("--host", help="Where the console is; a folder is a Unix socket's.")
]
ConsolePort = Annotated[int, typer.Option("--port", help="Its port.", show_default=False)]
ConsoleUser = Annotated[str, typer.Option("--user", help="Of auth.admin_users or auth.stats_users.")]


def admin(
    commands: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help='In quotes, such as "SHOW POOLS".')
    ],
    chosen: Annotated[Format, typer.Option("--format", help="How tables are printed.")] = Format.TABLE,
    config: Settled = None,
    host: ConsoleHost = "",
    port: ConsolePort = 0,
    user: ConsoleUser = "",
) -> None:
    """Ask the console of a running proxy, or have it do something."""
    with reporting():
        from dbproxy.terminal.command import run_commands

        for text, notices in run_commands(find_console(config, host, port, user), commands, chosen):
            typer.echo(text, nl=False)
            for notice in notices:
                typer.echo(notice, err=True)


def top(
    once: Annotated[bool, typer.Option("--once", help="Show it once, and end.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", min=0.1, help="How often it looks.")
    ] = 2.0,
    config: Settled = None,
    host: ConsoleHost = "",
    port: ConsolePort = 0,
    user: ConsoleUser = "",
) -> None:
    """Show what a running proxy does: hosts, pools, traffic, queries, who holds and who waits. `q` ends it."""
    with reporting():
        from rich.console import Console

        from dbproxy.terminal.top import show_once, watch

        screen = Console(highlight=False)
        address = find_console(config, host, port, user)
        if once:
            show_once(address, wide(screen))
        elif screen.is_terminal:
            watch(address, screen, interval)
        else:
            raise typer.BadParameter("standard output is no terminal", param_hint="without --once")


@queries_app.callback()
def queries(
    context: typer.Context,
    window: Annotated[str, typer.Option(help="1m, 5m, 15m, 1h, or since the last reset.")] = "reset",
    sort: Annotated[
        str,
        typer.Option(help="total_time, calls, mean, p50 … p999, max, wait, run, stall, rows, bytes, errors."),
    ] = "total_time",
    limit: Annotated[int, typer.Option(min=0, help="Lines; 0 for all.")] = 20,
    form: Annotated[str, typer.Option("--format", help="text, json or csv.")] = "text",
    config: Settled = None,
) -> None:
    """What statements cost, as the running proxy counts it."""
    if context.invoked_subcommand is not None:
        return
    with reporting():
        from dbproxy.admin.query_report import fetch
        from dbproxy.config import load
        from dbproxy.observe.queries import BadQuestion

        words = {"window": window, "sort": sort, "limit": str(limit), "format": form}
        try:
            typer.echo(fetch(load(config, os.environ, {}), words).rstrip("\n"))
        except BadQuestion as error:
            raise typer.BadParameter(str(error)) from None


@queries_app.command()
def diff(
    against: Annotated[str, typer.Option(help="How long ago, such as 24h or 7d.")] = "24h",
    config: Settled = None,
) -> None:
    """What is new, gone, slower or more frequent than in a snapshot (query_stats.state_dir)."""
    with reporting():
        from dbproxy.admin.query_report import report_changes
        from dbproxy.config import load

        seconds = read_duration(against, "--against")
        for line in report_changes(load(config, os.environ, {}), seconds):
            typer.echo(line)


def find_console(config: Path | None, host: str, port: int, user: str) -> "Address":
    """The console of the proxy with these settings; what is given counts more than they do."""
    from dbproxy.config import load
    from dbproxy.terminal.address import find_address

    return find_address(load(config, os.environ, {}), os.environ, host=host, port=port, user=user)


def wide(screen: "Console") -> "Console":
    """What is read by a script has no width of its own."""
    if not screen.is_terminal and "COLUMNS" not in os.environ:
        screen.width = PIPE_WIDTH
    return screen
