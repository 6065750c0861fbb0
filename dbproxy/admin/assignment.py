"""SET on the console: settings of routing, changed at run time, so that a step that goes wrong is taken back at once.

A RELOAD or a restart brings back what the configuration says.
"""

import structlog
from pydantic import ValidationError

from dbproxy.admin.command import Assignment
from dbproxy.admin.house import House
from dbproxy.config import RoutingSettings, compare
from dbproxy.config.mistakes import advise
from dbproxy.errors import CommandFailed

log = structlog.get_logger()

SECTION = "routing"
NAMES = sorted(
    RoutingSettings.model_fields.keys() - {"plugin", "rules"}
)  # which name code, or are no one value


def assign(house: House, assignment: Assignment) -> str:
    """Change one setting, and say what was changed. `SET routing` is `SET routing.mode`."""
    name = find_setting(assignment.key)
    old = house.settings
    new = old.model_copy(update={SECTION: change(old.routing, name, assignment.value)})
    changes = compare(old, new)
    if not changes:
        return f"{SECTION}.{name} has this value already"
    house.apply(new)
    log.info("setting changed", key=changes[0].key, old=changes[0].old, new=changes[0].new)
    return f"{changes[0].key} is {changes[0].new} until the next RELOAD; it was {changes[0].old}"


def find_setting(key: str) -> str:
    section, _, name = key.partition(".")
    name = name or "mode"
    if section != SECTION or name not in NAMES:
        known = ", ".join(f"{SECTION}.{name}" for name in NAMES)
        raise CommandFailed(
            "SET failed",
            hint=f"{key}: change the configuration and RELOAD. What can be SET: {known}; {SECTION} is {SECTION}.mode.",
        )
    return name


def change(routing: RoutingSettings, name: str, value: str) -> RoutingSettings:
    try:
        judged = RoutingSettings.model_validate({name: value})
    except ValidationError as error:
        raise CommandFailed(f"SET {SECTION}.{name} failed: {advise(error.errors()[0])}") from error
    return routing.model_copy(update={name: getattr(judged, name)})
