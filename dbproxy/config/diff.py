"""What a reload changes, and what of it waits for a restart."""

from dataclasses import dataclass

from dbproxy.config.keys import Entry, list_entries
from dbproxy.config.settings import Settings


@dataclass(frozen=True)
class Change:
    """One key that differs; `old` and `new` are shown values (passwords hidden), empty where not written."""

    key: str
    old: str
    new: str
    restart: bool


def compare(old: Settings, new: Settings) -> list[Change]:
    """The keys whose values differ, in the settings' own order."""
    before = {entry.key: entry for entry in list_entries(old)}
    after = {entry.key: entry for entry in list_entries(new)}
    return [
        _describe(key, before.get(key), after.get(key))
        for key in before | after
        if _value(before.get(key)) != _value(after.get(key))
    ]


def _describe(key: str, old: Entry | None, new: Entry | None) -> Change:
    restart = any(entry.restart for entry in (old, new) if entry)
    return Change(key, old.shown if old else "", new.shown if new else "", restart)


def _value(entry: Entry | None) -> object:
    return (entry.value,) if entry else None  # a tuple, as a value may be None itself
