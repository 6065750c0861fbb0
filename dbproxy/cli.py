"""The command line: `dbproxy serve`, `check`, `explain`, `queries`, `admin`, `top`, `demo`.

Exit codes: 0 done, 1 failed, 2 bad usage or configuration. What a command needs is imported when it runs, so
that `--help` and a mistyped option answer at once.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbproxy.errors import ConfigurationError, ProxyError
from dbproxy.terminal.format import Format

if TYPE_CHECKING:
    from rich.console import Console

    from dbproxy.config import Settings
    from dbproxy.terminal.address import Address

FAILED, BAD_CONFIGURATION = 1, 2
PIPE_WIDTH = 160  # characters

# Neither may show local variables: they hold passwords.
app = typer.Typer(
    name="dbproxy",
    help="A PostgreSQL sidecar: point DATABASE_URL at it and change nothing else.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

NO_FILE = "must be the settings' file; a URL belongs in DATABASE_URL, and is not repeated here"


def judge_path(path: Path | None) -> Path | None:
    """A URL in the file's place holds a password: it must not come up as a file that cannot be read."""
    if path is not None and re.search(r":/|@|=", str(path)) and not path.exists():
        raise typer.BadParameter(NO_FILE)
    return path


ConfigFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="[CONFIG]",
        help="The settings' file, such as dbproxy.toml.",
        show_default=False,
        callback=judge_path,
    ),
]
# Of commands that ask a running proxy: where, and as whom.
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
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="SECTION.KEY=VALUE", help="One setting, over file and environment; repeatable."
    ),
]


def main() -> None:
    words = sys.argv[1:]
    strays = is_url if words[:1] == ["admin"] else is_stray_url
    if words[:1] != ["explain"] and any(map(strays, words, ["", *words])):
        typer.echo(f"dbproxy: the configuration {NO_FILE}", err=True)
        sys.exit(BAD_CONFIGURATION)
    app()


def is_stray_url(word: str, before: str) -> bool:
    """Whether no option takes this word, which a message of bad usage would repeat with its password."""
    taken = before == "--set" or word.startswith("--set=")
    return not taken and re.match(r"[a-z]+:/|\w*host\w*=|.*password", word, re.IGNORECASE) is not None


def is_url(word: str, _before: str) -> bool:
    """The same of what may be SQL, such as EXPLAIN ROUTE SELECT password."""
    return re.match(r"[a-z]+:/", word, re.IGNORECASE) is not None


def show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"dbproxy {version('dbproxy')}")
        raise typer.Exit


@app.callback()
def start(
    _version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """A PostgreSQL sidecar: point DATABASE_URL at it and change nothing else."""


@app.command()
def serve(config: ConfigFile = None, set_: Overrides = None) -> None:
    """Serve clients until SIGTERM; SIGHUP reads the settings again."""
    overrides = parse_overrides(set_ or [])
    with reporting():
        load_settings(config, overrides)  # a mistake is told before anything heavier is imported
        from dbproxy.app.lifecycle import serve as serve_clients

        raise typer.Exit(serve_clients(lambda: load_settings(config, overrides)))


@app.command()
def check(config: ConfigFile = None, set_: Overrides = None) -> None:
    """Judge the settings: list the mistakes, or show what differs from the defaults."""
    overrides = parse_overrides(set_ or [])
    with reporting():
        settings = load_settings(config, overrides)
        from dbproxy.app.proxy import read_users
        from dbproxy.app.tracing import check_tracing
        from dbproxy.routing.plugins import load_plugin

        read_users(settings)  # a mistake in the users' file is one, too
        load_plugin(settings.routing.plugin)
        check_tracing(settings)
        for line in describe(settings):
            typer.echo(line)


@app.command()
def explain(
    statement: Annotated[str, typer.Argument(metavar="SQL", help="The statement, in quotes.")],
) -> None:
    """Say where a statement would go, and why: by the grammar alone, without a server."""
    from dbproxy.routing.explain import explain_text

    for line in explain_text(statement.encode()):
        typer.echo(line)


@app.command()
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


@app.command()
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


@app.command()
def demo(
    check: Annotated[bool, typer.Option("--check", help="Verify what it claims, then stop.")] = False,
) -> None:
    """Start an embedded PostgreSQL and the proxy before it, and show what pooling does."""
    with reporting():
        from dbproxy.demo import run

        raise typer.Exit(run(check))


queries_app = typer.Typer(invoke_without_command=True, pretty_exceptions_enable=False)
app.add_typer(queries_app, name="queries")
SettingsFile = Annotated[
    Path | None, typer.Option("--config", metavar="CONFIG", help="The proxy's settings.", callback=judge_path)
]


@queries_app.callback()
def queries(
    context: typer.Context,
    window: Annotated[str, typer.Option(help="1m, 5m, 15m, 1h or reset.")] = "1h",
    sort: Annotated[
        str, typer.Option(help="total_time, calls, mean, p95, max, wait, rows, errors …")
    ] = "total_time",
    limit: Annotated[int, typer.Option(min=0, help="Lines; 0 for all.")] = 20,
    form: Annotated[str, typer.Option("--format", help="text, json or csv.")] = "text",
    config: SettingsFile = None,
) -> None:
    """What statements cost, as the running proxy counts it."""
    if context.invoked_subcommand is not None:
        return
    with reporting():
        from dbproxy.admin.query_report import fetch
        from dbproxy.config import load

        words = {"window": window, "sort": sort, "limit": str(limit), "format": form}
        typer.echo(fetch(load(config, os.environ, {}), words).rstrip("\n"))


@queries_app.command()
def diff(
    against: Annotated[str, typer.Option(help="How long ago, such as 24h or 7d.")] = "24h",
    config: SettingsFile = None,
) -> None:
    """What is new, gone, slower or more frequent than in a snapshot (query_stats.state_dir)."""
    with reporting():
        from dbproxy.admin.query_report import report_changes
        from dbproxy.config import load
        from dbproxy.config.units import parse_duration

        try:
            seconds = parse_duration(against)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--against") from None
        for line in report_changes(load(config, os.environ, {}), seconds):
            typer.echo(line)


@contextmanager
def reporting() -> Iterator[None]:
    """Turn the proxy's own errors into a message and an exit code; any other is a bug, with its traceback."""
    try:
        yield
    except ConfigurationError as error:
        lines = f"{error.message}\n{error.hint}" if error.hint else error.message
        typer.echo(f"dbproxy: the configuration is wrong\n{indent(lines)}", err=True)
        raise typer.Exit(BAD_CONFIGURATION) from None
    except ProxyError as error:
        more = "".join(f"\n{indent(text)}" for text in (error.detail, error.hint) if text)
        typer.echo(f"dbproxy: {error.message}{more}", err=True)
        raise typer.Exit(FAILED) from None


def parse_overrides(words: list[str]) -> dict[str, str]:
    """`section.key=value` words as a mapping. A bad word is not repeated: it may hold a password."""
    pairs = [word.partition("=") for word in words]
    if not all(equals and re.fullmatch(r"[^\s:@]+", key) for key, equals, _ in pairs):
        raise typer.BadParameter("must be section.key=value, such as pool.size=10", param_hint="--set")
    return {key: value for key, _, value in pairs}


def load_settings(path: Path | None, overrides: dict[str, str]) -> "Settings":
    """The settings as they are now, fit to serve: file and environment are read anew at each call."""
    from dbproxy.config import load
    from dbproxy.config.settings import NO_PRIMARY

    settings = load(path, os.environ, overrides)
    if settings.primary.url is None:
        raise ConfigurationError(NO_PRIMARY)
    return settings


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


def describe(settings: "Settings") -> list[str]:
    """What `check` says of good settings: what differs from the defaults, then the warnings."""
    from dbproxy.config import Settings, list_entries

    usual = {entry.key: entry.value for entry in list_entries(Settings())}
    entries = [entry for entry in list_entries(settings) if entry.value != usual.get(entry.key)]
    found = [f"  {entry.key} = {entry.shown}" for entry in entries]
    warnings = [f"warning: {warning}" for warning in settings.warnings()]
    return ["the configuration is good; it differs from the defaults in", *found, *warnings]


def indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
