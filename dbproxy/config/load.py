"""From a file, the environment and the command line to one `Settings`, or to a list of all that is wrong."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from dbproxy.config.env import read_environment
from dbproxy.config.exposure import list_exposed
from dbproxy.config.mistakes import explain
from dbproxy.config.settings import Settings
from dbproxy.config.toml import read_file
from dbproxy.config.written import Assignment, Written
from dbproxy.errors import ConfigurationError

NOTHING: Mapping[str, str] = MappingProxyType({})


def load(path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, str] = NOTHING) -> Settings:
    """The settings, in rising precedence: defaults, file, environment, command line (`section.key` to value).

    ConfigurationError lists every mistake on a line of its own: where, key, value, and what would be right.
    """
    written, mistakes = _read(path)
    exposed = list_exposed(path, written.values)
    for assignment in read_environment(environ):
        written.put(assignment)
    for key, value in overrides.items():
        written.put(Assignment(tuple(key.split(".")), value, "--set"))
    try:
        settings = Settings.model_validate(written.values, context=environ)
    except ValidationError as error:
        place = {origin: number for number, origin in enumerate(written.origins.values())}
        details = sorted(
            error.errors(include_url=False),
            key=lambda detail: place.get(written.origin_of(detail["loc"]), len(place)),
        )
        mistakes += [explain(detail, written) for detail in details]
    if mistakes:
        raise ConfigurationError(
            "\n".join(mistakes)
        )  # outside the handler: its traceback would show raw values
    settings.note(exposed)
    return settings


def _read(path: Path | None) -> tuple[Written, list[str]]:
    if path is None:
        return Written(), []
    try:
        return read_file(path), []
    except ConfigurationError as error:
        return Written(), [error.message]
