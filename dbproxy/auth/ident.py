r"""Which database users somebody may be who is known by another name: pg_ident.conf, in the format of PostgreSQL 18.

Each line has a map's name, the system's name for somebody (of a certificate, of a Unix user) and a database user, which
may be `all`, `+role` or a regular expression. A system's name `/pattern` is a regular expression, too; what its first
parentheses held stands for `\1` in the database user.
"""

from dataclasses import dataclass, replace

from dbproxy.auth.hba import Caller, names_user, parse_all
from dbproxy.auth.lines import Line, Source, Token

_BACK = "\\1"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line."""

    where: str
    map: str
    system: Token
    user: Token

    def expand(self, system: str) -> Token | None:
        """The database user that this name may be; None if the line is not for it."""
        pattern = self.system.pattern
        if pattern is None:
            return self.user if self.system.text == system else None
        match = pattern.search(system)
        if match is None:
            return None
        if self.user.group or self.user.pattern is not None or _BACK not in self.user.text:
            return self.user
        return replace(self.user, text=self.user.text.replace(_BACK, match[1] or "", 1), quoted=True)


Maps = tuple[Entry, ...]


def parse_maps(source: Source) -> Maps:
    """ConfigurationError lists every mistake, each with its file and line."""
    return tuple(parse_all(source, _parse_entry))


def _parse_entry(line: Line) -> Entry:
    """ValueError in PostgreSQL's words."""
    if len(line.fields) < 3:
        raise ValueError("missing entry at end of line")
    if any(len(field) > 1 for field in line.fields[:3]):
        raise ValueError("multiple values in ident field")
    name, system, user = (field[0] for field in line.fields[:3])
    user.pattern  # noqa: B018 - a bad one raises
    if system.pattern is not None and _BACK in user.text and not system.pattern.groups:
        told = "has no subexpressions as requested by backreference in"
        raise ValueError(f'regular expression "{system.text[1:]}" {told} "{user.text}"')
    return Entry(line.where, name.text, system, user)


def may_be(maps: Maps, name: str, system: str, caller: Caller) -> bool:
    """Whether `system` may log in as the caller's user by this map; without a map, if the two are the same.

    The caller's roles have to be known where the map has a `+role`.
    """
    if not name:
        return bool(system) and system == caller.user
    found = (entry.expand(system) for entry in maps if entry.map == name)
    return any(token is not None and names_user(token, caller) for token in found)


def needs_roles(maps: Maps, name: str) -> bool:
    """Whether this map asks whose member somebody is."""
    return any(entry.user.group for entry in maps if entry.map == name)
