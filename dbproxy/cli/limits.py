"""`dbproxy limits`: who uses most of its limit, why it has it, another one for a while, and who was refused."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dbproxy.cli.asking import ConsoleHost, ConsolePort, ConsoleUser, Settled, find_console
from dbproxy.cli.exits import reporting
from dbproxy.terminal.format import Format

limits_app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
Rule = Annotated[str, typer.Argument(help="The rule's name, such as tenant (SHOW LIMITS, limits.rules).")]
Key = Annotated[str, typer.Argument(help="Whose limit it is, such as acme.")]
Chosen = Annotated[Format, typer.Option("--format", help="How tables are printed.")]


@limits_app.callback()
def limits() -> None:
    """Rate limits of a running proxy."""


@limits_app.command()
def top(
    number: Annotated[int, typer.Option("--limit", min=1, max=100000, help="Keys.")] = 20,
    chosen: Chosen = Format.TABLE,
    config: Settled = None,
    host: ConsoleHost = "",
    port: ConsolePort = 0,
    user: ConsoleUser = "",
) -> None:
    """Who uses most of its limit, and what was decided by tier."""
    commands = [f"SHOW LIMITS LIMIT {number}"]
    if chosen is Format.TABLE:
        commands.append("SHOW LIMIT_TIERS")
    order(commands, chosen, config, host, port, user)


@limits_app.command()
def explain(
    rule: Rule,
    key: Key,
    chosen: Chosen = Format.TABLE,
    config: Settled = None,
    host: ConsoleHost = "",
    port: ConsolePort = 0,
    user: ConsoleUser = "",
) -> None:
    """Which limit a key has, by whose word, what it has used, and when its next request may go."""
    order([f"EXPLAIN LIMIT {quote(rule)} {quote(key)}"], chosen, config, host, port, user)


@limits_app.command(name="set")
def set_limit(
    rule: Rule,
    key: Key,
    limit: Annotated[str, typer.Argument(help="'500/min', '500/min burst 50', or a tier's name.")],
    duration: Annotated[str, typer.Option("--for", help="30min, 1h, 7d; else until it is reset.")] = "",
    config: Settled = None,
    host: ConsoleHost = "",
    port: ConsolePort = 0,
    user: ConsoleUser = "",
) -> None:
    """Hold a key to another limit or tier, in this proxy, until then, RESET LIMIT, or a restart."""
    words = f" FOR {quote(duration)}" if duration else ""
    command = f"SET LIMIT {quote(rule)} {quote(key)} = {quote(limit)}{words}"
    order([command], Format.CSV, config, host, port, user)


@limits_app.command()
def reset(
    rule: Rule,
    key: Key,
    config: Settled = None,
    host: ConsoleHost = "",
    port: ConsolePort = 0,
    user: ConsoleUser = "",
) -> None:
    """Take back what `set` has said."""
    order([f"RESET LIMIT {quote(rule)} {quote(key)}"], Format.CSV, config, host, port, user)


@limits_app.command()
def report(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Logs of the proxy (JSON lines); standard input without any.", exists=True, dir_okay=False
        ),
    ] = None,
    chosen: Chosen = Format.TABLE,
) -> None:
    """Who was refused how often, by hour, tier and key, as the proxy's log tells it."""
    with reporting():
        from dbproxy.errors import ProxyError
        from dbproxy.observe.refused import Refused
        from dbproxy.terminal.printing import show
        from dbproxy.terminal.result import INT8, Result

        found = Refused()
        for path in files or []:
            with path.open(encoding="utf-8", errors="replace") as file:
                found.add(file)
        if not files:
            found.add(sys.stdin)
        if found.lines and found.foreign == found.lines:
            raise ProxyError(
                "there is no JSON line in it", hint="The proxy writes them with log.format = json."
            )
        names = [(name, 25) for name in ("hour", "tier", "rule", "key")]
        rows: list[list[str | None]] = [[str(value) for value in row] for row in found.list_rows()]
        typer.echo(show(Result([*names, ("refused", INT8)], rows), chosen), nl=False)
        if found.foreign:
            typer.echo(f"{found.foreign} of {found.lines} lines are not the proxy's", err=True)


def order(commands: list[str], chosen: Format, config: Path | None, host: str, port: int, user: str) -> None:
    """To the console; what it tells beside tables is printed, too."""
    with reporting():
        from dbproxy.terminal.command import run_commands

        for text, notices in run_commands(find_console(config, host, port, user), commands, chosen):
            typer.echo(text, nl=False)
            for notice in notices:
                typer.echo(notice.removeprefix("NOTICE: "))


def quote(word: str) -> str:
    return "'" + word.replace("'", "''") + "'"
