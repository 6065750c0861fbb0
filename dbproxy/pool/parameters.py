"""Session settings that clients ask for at start-up, kept equal on the server that they are lent.

Equal settings are one object per pool, so that "does this server have what this client wants" is one comparison. A
server that has other ones gets exactly the difference, in one Query whose replies are skipped.
"""

from collections.abc import Mapping
from weakref import WeakValueDictionary


class Parameters:
    """Settings by lower-case name. `reported`: the ParameterStatus values that they lead to, once a server said so."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)
        self.reported: dict[str, str] | None = None if values else {}

    def difference(self, current: "Parameters") -> str:
        """SQL that turns a server with `current` settings into one with these.

        `set_config` takes a value as the start-up packet does (`search_path = a, b` is a list of two).
        """
        gone = [f"RESET {_identifier(name)}" for name in current.values if name not in self.values]
        new = [
            f"set_config({_literal(name)}, {_literal(value)}, false)"
            for name, value in self.values.items()
            if current.values.get(name) != value
        ]
        return "; ".join(gone + ([f"SELECT {', '.join(new)}"] if new else []))


NOTHING = Parameters({})


class ParameterSets:
    """One object for equal settings, for as long as a client or a server has them."""

    def __init__(self) -> None:
        self.known: WeakValueDictionary[frozenset[tuple[str, str]], Parameters] = WeakValueDictionary()

    def find(self, values: Mapping[str, str]) -> Parameters:
        if not values:
            return NOTHING
        key = frozenset(values.items())
        parameters = self.known.get(key)
        if parameters is None:
            parameters = self.known[key] = Parameters(values)
        return parameters


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'" if "\\" not in text else _escaped(text)


def _escaped(text: str) -> str:
    """An `E''` literal means the same whatever standard_conforming_strings says."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _identifier(name: str) -> str:
    """A setting's name, quoted part by part (`ext.name` has two)."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))
