"""The command line: `dbproxy serve`, `check`, `explain`, `queries`, `limits`, `cache`, `batch`, `admin`, `top`, `demo`.

Exit codes: 0 done, 1 failed, 2 bad usage or configuration. What a command needs is imported when it runs, so
that `--help` and a mistyped option answer at once.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbproxy.cli.asking import admin, queries_app, top
from dbproxy.cli.batch import batch_app
from dbproxy.cli.cache import cache_app
from dbproxy.cli.exits import BAD_CONFIGURATION, reporting
from dbproxy.cli.limits import limits_app
from dbproxy.cli.load import copy, load
from dbproxy.cli.words import (
    NO_FILE,
    ConfigFile,
    NamedFile,
    Overrides,
    choose_file,
    is_stray_url,
    is_url,
    parse_overrides,
)
from dbproxy.errors import ConfigurationError

if TYPE_CHECKING:
    from dbproxy.config import Settings

# Neither may show local variables: they hold passwords.
app = typer.Typer(
    name="dbproxy",
    help="A PostgreSQL sidecar: point DATABASE_URL at it and change nothing else.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    words = sys.argv[1:]
    strays = is_url if words[:1] in (["admin"], ["batch"]) else is_stray_url
    explains = words[:1] == ["explain"] or words[:2] == ["cache", "explain"]
    if not explains and any(map(strays, words, ["", *words])):
        typer.echo(f"dbproxy: the configuration {NO_FILE}", err=True)
        sys.exit(BAD_CONFIGURATION)
    app()


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
def serve(config: ConfigFile = None, named: NamedFile = None, set_: Overrides = None) -> None:
    """Serve clients until SIGTERM; SIGHUP reads the settings again."""
    path, overrides = choose_file(config, named), parse_overrides(set_ or [])
    with reporting():
        load_settings(path, overrides)  # a mistake is told before anything heavier is imported
        from dbproxy.app.lifecycle import serve as serve_clients

        raise typer.Exit(serve_clients(lambda: load_settings(path, overrides)))


@app.command()
def check(config: ConfigFile = None, named: NamedFile = None, set_: Overrides = None) -> None:
    """Judge the settings: list the mistakes, or show what differs from the defaults."""
    path, overrides = choose_file(config, named), parse_overrides(set_ or [])
    with reporting():
        settings = load_settings(path, overrides)
        from dbproxy.app.access import list_doubts, read_access
        from dbproxy.app.encryption import Encryption
        from dbproxy.app.tracing import check_tracing
        from dbproxy.routing.plugins import load_plugin

        access = read_access(settings)  # a mistake in the users' file is one, too
        load_plugin(settings.routing.plugin)
        check_tracing(settings)
        Encryption(settings)  # certificates and keys that do not serve
        for line in describe(settings, list_doubts(settings, access)):
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
def demo(
    check: Annotated[bool, typer.Option("--check", help="Verify what it claims, then stop.")] = False,
) -> None:
    """Start an embedded PostgreSQL and the proxy before it, and show what pooling does."""
    with reporting():
        from dbproxy.demo import run

        raise typer.Exit(run(check))


for command in (admin, top):
    app.command()(command)
app.add_typer(queries_app, name="queries")
app.add_typer(limits_app, name="limits")
app.add_typer(cache_app, name="cache")
batch_app.command()(load)
batch_app.command()(copy)
app.add_typer(batch_app, name="batch")


def load_settings(path: Path | None, overrides: dict[str, str]) -> "Settings":
    """The settings as they are now, fit to serve: file and environment are read anew at each call."""
    from dbproxy.config import load
    from dbproxy.config.settings import NO_PRIMARY

    settings = load(path, os.environ, overrides)
    if settings.primary.url is None:
        raise ConfigurationError(NO_PRIMARY)
    return settings


def describe(settings: "Settings", doubts: Iterable[str] = ()) -> list[str]:
    """What `check` says of good settings: what differs from the defaults, then the warnings, `doubts` among them."""
    from dbproxy.config import Settings, list_entries

    usual = {entry.key: entry.value for entry in list_entries(Settings())}
    entries = [entry for entry in list_entries(settings) if entry.value != usual.get(entry.key)]
    found = [f"  {entry.key} = {entry.shown}" for entry in entries]
    warnings = [f"warning: {warning}" for warning in (*settings.warnings(), *doubts)]
    return ["the configuration is good; it differs from the defaults in", *found, *warnings]
