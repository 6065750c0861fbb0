"""SET on the console: settings changed at run time, so that a step that goes wrong is taken back at once.

A RELOAD or a restart brings back what the configuration says. PgBouncer's names are understood where a setting of ours
means the same.
"""

from typing import Any

import structlog
from pydantic import ValidationError

from dbproxy.admin.aliases import SETTABLE
from dbproxy.admin.command import Assignment
from dbproxy.admin.house import House
from dbproxy.config import PoolSettings, RoutingSettings, compare
from dbproxy.config.mistakes import advise
from dbproxy.config.section import Section
from dbproxy.config.sections import SlowQuerySettings
from dbproxy.errors import CommandFailed

log = structlog.get_logger()

SECTIONS: dict[str, type[Section]] = {
    "pool": PoolSettings,
    "routing": RoutingSettings,
    "slow_query": SlowQuerySettings,
}
UNFIT = {"routing.plugin", "routing.rules"}  # they name code, or are no one value
ALIASES = {"routing": "routing.mode"}


def assign(house: House, assignment: Assignment) -> str:
    """Change one setting, and say what was changed. `SET routing` is `SET routing.mode`."""
    section, name = find_setting(assignment.key)
    old = house.settings
    new = old.model_copy(update={section: change(getattr(old, section), name, assignment.value)})
    changes = compare(old, new)
    if not changes:
        return f"{section}.{name} has this value already"
    house.apply(new)
    log.info("setting changed", key=changes[0].key, old=changes[0].old, new=changes[0].new)
    return f"{changes[0].key} is {changes[0].new} until the next RELOAD; it was {changes[0].old}"


def list_settable() -> list[str]:
    """What can be SET, by dotted key: what a reload can change of these sections."""
    return sorted(
        f"{section}.{name}"
        for section, model in SECTIONS.items()
        for name, field in model.model_fields.items()
        if not _needs_restart(field.json_schema_extra) and f"{section}.{name}" not in UNFIT
    )


def _needs_restart(extra: Any) -> bool:
    return bool(extra and extra.get("restart"))


def find_setting(key: str) -> tuple[str, str]:
    """Its section and its name there."""
    found = ALIASES.get(key) or SETTABLE.get(key) or key
    known = list_settable()
    if found not in known:
        raise CommandFailed(
            "SET failed",
            hint=f"{key}: change the configuration and RELOAD. What can be SET: {', '.join(known)}; "
            f"routing is routing.mode; and by PgBouncer's names: {', '.join(SETTABLE)}.",
        )
    section, _, name = found.partition(".")
    return section, name


def change(settings: Section, name: str, value: str) -> Section:
    section = next(section for section, model in SECTIONS.items() if type(settings) is model)
    try:
        judged = SECTIONS[section].model_validate({name: value})
    except ValidationError as error:
        raise CommandFailed(f"SET {section}.{name} failed: {advise(error.errors()[0])}") from error
    return settings.model_copy(update={name: getattr(judged, name)})
