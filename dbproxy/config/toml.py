"""The configuration file: its values, and the line of each key.

tomllib gives no positions, so the lines are found by cutting the text into statements (a header, or one
`key = value` over however many lines) and letting tomllib parse each alone: it stays the only judge of TOML.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dbproxy.config.secrecy import may_hold_secret
from dbproxy.config.written import Path as Key
from dbproxy.config.written import Written
from dbproxy.errors import ConfigurationError

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")

_CAUSES = {  # by the beginning of tomllib's words
    "Invalid value": "text stands in quotes",
    "Illegal character '\\n'": "a quote is not closed",
    "Cannot overwrite a value": "the key is there twice",
}
_PGBOUNCERS = re.compile(r"^\s*\[pgbouncer\]", re.MULTILINE)
FROM_PGBOUNCER = "PgBouncer's settings have other names here: docs/operations.md, Coming from PgBouncer"


def read_file(path: Path) -> Written:
    """The file's values and lines; ConfigurationError where it cannot be read or is no TOML."""
    try:
        text = path.read_bytes().decode()
        values = tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigurationError(f"{path}:{line}: must be UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(_place_error(path, text, str(error))) from None
    lines = locate_keys(text)
    return Written(_anchor(values, path.parent), {key: f"{path}:{line}" for key, line in lines.items()})


def locate_keys(text: str) -> dict[Key, int]:
    """The first line of every key and table in a valid TOML text."""
    lines: dict[Key, int] = {}
    tables: dict[Key, int] = {}  # the last index of each [[array of tables]]
    section: Key = ()
    for line, statement, parsed in _split_statements(text):
        if statement.startswith("["):
            section = _enter(parsed, tables, repeated=statement.startswith("[["))
            lines.setdefault(section, line)
        else:
            for key in _list_keys(parsed):
                lines.setdefault(section + key, line)
    return lines


def _split_statements(text: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    pending, start = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        start = start if pending else number
        pending += line + "\n"
        try:
            parsed = tomllib.loads(pending)
        except tomllib.TOMLDecodeError:
            continue  # a value over several lines: not complete yet
        if parsed:
            yield start, pending.strip(), parsed
        pending = ""


def _enter(header: dict[str, Any], tables: dict[Key, int], *, repeated: bool) -> Key:
    """The full key of a header, with the index of every array of tables on its way."""
    key: Key = ()
    names = [name for name in _longest(header) if isinstance(name, str)]
    for depth, name in enumerate(names, 1):
        key += (name,)
        if repeated and depth == len(names):
            tables[key] = tables.get(key, -1) + 1
        if key in tables:
            key += (tables[key],)
    return key


def _longest(value: object) -> Key:
    return max(_list_keys(value), key=len)


def _list_keys(value: object) -> Iterator[Key]:
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for name, inner in items:
        yield (name,)
        yield from ((name, *key) for key in _list_keys(inner))


def _place_error(path: Path, text: str, message: str) -> str:
    """The words of tomllib itself (they name keys, but no value), with the line where it stumbled."""
    place = _PLACE.search(message)
    line = place[1] if place and place[1] else str(len(text.rstrip().split("\n")))
    if _PGBOUNCERS.search(text):
        return f"{path}:{line}: not TOML; {FROM_PGBOUNCER}"
    words = _PLACE.sub("", message)
    words += next((f" ({why})" for beginning, why in _CAUSES.items() if words.startswith(beginning)), "")
    return f"{path}:{line}: not valid TOML" + ("" if may_hold_secret(words) else f": {words}")


def _anchor(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Files start at the configuration file's folder, not at the process's."""
    owners = [table for name in ("users", "databases") for table in _tables(values.get(name))]
    places = [
        (values.get("auth"), "file"),
        (values.get("tls"), "_file"),
        *((owner, "_file") for owner in owners),
    ]
    for keys, end in places:
        if not isinstance(keys, dict):
            continue
        for key, value in keys.items():
            if key.endswith(end) and isinstance(value, str) and value not in ("", "system"):
                keys[key] = str(folder / value)
    return values


def _tables(value: object) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else []
