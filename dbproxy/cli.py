"""The command line: `dbproxy serve`, `check`, `explain`, `demo`.

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

if TYPE_CHECKING:
    from dbproxy.config import Settings

FAILED, BAD_CONFIGURATION = 1, 2

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
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="SECTION.KEY=VALUE", help="One setting, over file and environment; repeatable."
    ),
]


def main() -> None:
    words = sys.argv[1:]
    if words[:1] != ["explain"] and any(map(is_stray_url, words, ["", *words])):
        typer.echo(f"dbproxy: the configuration {NO_FILE}", err=True)
        sys.exit(BAD_CONFIGURATION)
    app()


def is_stray_url(word: str, before: str) -> bool:
    """Whether no option takes this word, which a message of bad usage would repeat with its password."""
    taken = before == "--set" or word.startswith("--set=")
    return not taken and re.match(r"[a-z]+:/|\w*host\w*=|.*password", word, re.IGNORECASE) is not None


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
        from dbproxy.routing.plugins import load_plugin

        read_users(settings)  # a mistake in the users' file is one, too
        load_plugin(settings.routing.plugin)
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
def demo(
    check: Annotated[bool, typer.Option("--check", help="Verify what it claims, then stop.")] = False,
) -> None:
    """Start an embedded PostgreSQL and the proxy before it, and show what pooling does."""
    with reporting():
        from dbproxy.demo import run

        raise typer.Exit(run(check))


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
        typer.echo(f"dbproxy: {error.message}" + (f"\n{indent(error.hint)}" if error.hint else ""), err=True)
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
