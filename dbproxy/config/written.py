"""What was written before it is judged: a tree of raw values, and where each came from."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Assignment:
    """One value for one key from the environment or the command line; `origin` says where to change it."""

    path: Path
    value: object = field(repr=False)  # may hold a password
    origin: str


@dataclass
class Written:
    values: dict[str, Any] = field(default_factory=dict, repr=False)  # as above
    origins: dict[Path, str] = field(default_factory=dict)

    def put(self, assignment: Assignment) -> None:
        """Take a value over what was there; a section that is no table keeps its mistake to be reported."""
        *sections, name = assignment.path
        table: Any = self.values
        for section in sections:
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                return
        table[name] = assignment.value
        self._forget(assignment.path)
        self.origins[assignment.path] = assignment.origin

    def origin_of(self, path: Path) -> str:
        """Where to change this key: its own place, or else something below it, or the nearest above it."""
        if path in self.origins:
            return self.origins[path]
        below = (origin for known, origin in self.origins.items() if known[: len(path)] == path)
        above = (self.origins[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.origins)
        return next(below, None) or next(above, "default")

    def value_of(self, path: Path, otherwise: object) -> object:
        """What was written there; `otherwise` where the tree does not reach that far."""
        value: Any = self.values
        for part in path:
            if isinstance(value, list):
                value = dict(enumerate(value))
            if not isinstance(value, dict) or part not in value:
                return otherwise
            value = value[part]
        return value

    def _forget(self, path: Path) -> None:
        for known in [known for known in self.origins if known[: len(path)] == path]:
            del self.origins[known]


def dotted(path: Iterable[str | int]) -> str:
    """`pool.size`, `replicas[0].url`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
