"""The words of a command line, and what is said of bad ones: never the password that may be in them."""

import re
from pathlib import Path
from typing import Annotated

import typer

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
NamedFile = Annotated[
    Path | None,
    typer.Option(
        "--config", help="The same, as other commands take it.", show_default=False, callback=judge_path
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="SECTION.KEY=VALUE", help="One setting, over file and environment; repeatable."
    ),
]


def choose_file(given: Path | None, named: Path | None) -> Path | None:
    if given is not None and named is not None:
        raise typer.BadParameter("there is one settings' file, and two are given", param_hint="--config")
    return named if given is None else given


def is_stray_url(word: str, before: str) -> bool:
    """Whether no option takes this word, which a message of bad usage would repeat with its password."""
    taken = before == "--set" or word.startswith("--set=")
    return not taken and re.match(r"[a-z]+:/|\w*host\w*=|.*password", word, re.IGNORECASE) is not None


def is_url(word: str, before: str) -> bool:
    """The same of what may be SQL, such as EXPLAIN ROUTE SELECT password, and of commands to which a URL is given."""
    given = before in ("--url", "--proxy", "--to", "--from")
    return not given and re.match(r"[a-z]+:/", word, re.IGNORECASE) is not None


def parse_overrides(
    words: list[str], form: str = "section.key=value, such as pool.size=10"
) -> dict[str, str]:
    """`section.key=value` words as a mapping. A bad word is not repeated: it may hold a password."""
    pairs = [word.partition("=") for word in words]
    if not all(equals and re.fullmatch(r"[^\s:@]+", key) for key, equals, _ in pairs):
        raise typer.BadParameter(f"must be {form}", param_hint="--set")
    return {key: value for key, _, value in pairs}


def read_duration(word: str, option: str) -> float:
    """In seconds."""
    from dbproxy.config.units import parse_duration

    try:
        return parse_duration(word)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
