"""Every key by its dotted name (`pool.size`): which there are, and what each one's value is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dbproxy.config.sections import DatabaseSettings, UserSettings
from dbproxy.config.settings import Settings
from dbproxy.config.units import Unit

NAMED: dict[str, type[BaseModel]] = {"databases": DatabaseSettings, "users": UserSettings}


@dataclass(frozen=True)
class Entry:
    """One key of one `Settings`; `shown` and `default` hide passwords, `value` does not."""

    key: str
    value: Any
    shown: str
    default: str
    restart: bool


def walk_keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """All keys of a model, but those under [databases.NAME] and [users.NAME]."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from walk_keys(field.annotation, f"{prefix}{name}.")
        elif name not in NAMED:
            yield prefix + name, field


def list_entries(settings: Settings) -> list[Entry]:
    """Every key and its value; of a database's or a user's keys those that were written."""
    entries = [_read(settings, key, field) for key, field in walk_keys()]
    for section, model in NAMED.items():
        for name, owner in getattr(settings, section).items():
            written = (_read(owner, key, field) for key, field in walk_keys(model) if _is_written(owner, key))
            prefix = f"{section}.{name}."
            entries += [Entry(prefix + e.key, e.value, e.shown, e.default, e.restart) for e in written]
    return entries


def show(field: FieldInfo, value: Any) -> str:
    """The value as an operator would write it, passwords hidden."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return next((unit.show(value) for unit in field.metadata if isinstance(unit, Unit)), str(value))


def show_default(field: FieldInfo) -> str:
    default = field.default
    return ",".join(default) if isinstance(default, list | tuple) else show_plain(default)


def show_plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def needs_restart(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra["restart"])


def name_kind(field: FieldInfo) -> str:
    """What may be written there, in a word or as the list of valid words."""
    for unit in field.metadata:
        if isinstance(unit, Unit):
            return unit.name
    if field.annotation is bool:
        return "true or false"
    return ", ".join(f"`{word}`" for word in get_args(field.annotation)) or "text"


def _read(owner: BaseModel, key: str, field: FieldInfo) -> Entry:
    value: Any = owner
    for name in key.split("."):
        value = getattr(value, name)
    return Entry(key, value, show(field, value), show_default(field), needs_restart(field))


def _is_written(owner: BaseModel, key: str) -> bool:
    *sections, name = key.split(".")
    for section in sections:
        owner = getattr(owner, section)
    return name in owner.model_fields_set
