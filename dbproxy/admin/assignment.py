"""SET on the console: settings changed at run time, so that a step that goes wrong is taken back at once.

A RELOAD or a restart brings back what the configuration says. PgBouncer's names are understood where a setting of ours
means the same.
"""

from difflib import get_close_matches

import structlog
from pydantic import ValidationError

from dbproxy.admin.aliases import SETTABLE
from dbproxy.admin.command import Assignment
from dbproxy.admin.house import House
from dbproxy.config import Settings, compare
from dbproxy.config.keys import needs_restart, walk_keys
from dbproxy.config.mistakes import advise
from dbproxy.config.section import Section
from dbproxy.errors import CommandFailed

log = structlog.get_logger(__name__)

# And the key that is meant by the section's name alone; "": none is.
SECTIONS = {
    "cache": "mode",
    "log": "level",
    "pool": "",
    "limits": "mode",
    "routing": "mode",
    "slow_query": "threshold",
    "tracing": "mode",
}
EMPTY = "''"
# Which name code, are no one value, or may hold a secret.
UNFIT = frozenset(
    {
        "cache.rules",
        "limits.redis_url",
        "limits.rules",
        "limits.tiers",
        "routing.plugin",
        "routing.rules",
        "tracing.endpoint",
        "tracing.headers",
    }
)


def assign(house: House, assignment: Assignment) -> str:
    """Change one setting, and say what was changed. `SET routing` is `SET routing.mode`."""
    section, name = find_setting(assignment.key)
    old = house.settings
    changed = change(getattr(old, section), f"{section}.{name}", name, assignment.value)
    new = old.model_copy(update={section: changed})
    changes = compare(old, new)
    if not changes:
        return f"{section}.{name} has this value already"
    house.apply(new)
    log.info("setting changed", key=changes[0].key, old=changes[0].old, new=changes[0].new)
    return f"{changes[0].key} is {changes[0].new or EMPTY} until the next RELOAD; it was {changes[0].old or EMPTY}"


def list_settable() -> list[str]:
    """What can be SET, by dotted key: what a reload can change of these sections."""
    fields = (
        (f"{section}.{name}", field)
        for section in SECTIONS
        for name, field in type(getattr(Settings(), section)).model_fields.items()
    )
    return sorted(key for key, field in fields if key not in UNFIT and not needs_restart(field))


def find_setting(key: str) -> tuple[str, str]:
    """Its section and its name there."""
    found = SETTABLE.get(key) or key
    if SECTIONS.get(found):
        found = f"{found}.{SECTIONS[found]}"
    known = list_settable()
    if found not in known:
        raise CommandFailed("SET failed", hint=f"{explain_refusal(found)} {suggest(found, known)}")
    section, _, name = found.partition(".")
    return section, name


def explain_refusal(key: str) -> str:
    """Why it cannot be SET."""
    field = dict(walk_keys()).get(key)
    if field is None:
        return f"{key} is no setting."
    return f"{key} is not changed here: change the configuration and {'restart' if needs_restart(field) else 'RELOAD'}."


def suggest(key: str, known: list[str]) -> str:
    """What may have been meant, or all that can be SET."""
    close = get_close_matches(key, [*known, *SETTABLE], n=1, cutoff=0.8)
    return f"Did you mean {close[0]}?" if close else list_names(known)


def list_names(known: list[str]) -> str:
    alone = ", ".join(f"{section} is {section}.{name}" for section, name in SECTIONS.items() if name)
    return f"What can be SET: {', '.join(known)}; {alone}; and by PgBouncer's names: {', '.join(SETTABLE)}."


def change(section: Section, key: str, name: str, value: str) -> Section:
    try:
        judged = type(section).model_validate({name: value})
    except ValidationError as error:
        raise CommandFailed(f"SET {key} failed: {advise(error.errors()[0])}") from error
    return section.model_copy(update={name: getattr(judged, name)})
