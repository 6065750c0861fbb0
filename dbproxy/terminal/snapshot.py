"""What a console tells at one moment: the tables of its SHOW commands, as far as it knows them.

PgBouncer's console can be asked, too, and an older proxy's: what it does not know is not asked for again, nor shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from dbproxy.errors import ServerRefused
from dbproxy.terminal.connection import Connection
from dbproxy.terminal.result import Record

TABLES = [
    "version",
    "state",
    "lists",
    "hosts",
    "databases",
    "pools",
    "host_pools",
    "stats",
    "queries",
    "holders",
    "waits",
]


MANY = 1000  # clients that wait: nobody reads a list of more, and to send it costs the proxy


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`at`: monotonic seconds; `tables`: by the name of its SHOW command, those that the console knows."""

    at: float
    tables: dict[str, list[Record]] = field(default_factory=dict)

    def rows(self, name: str) -> list[Record]:
        return self.tables.get(name, [])


def count_waiting(snapshot: Snapshot) -> int:
    return sum(int(row.get("cl_waiting") or 0) for row in snapshot.rows("pools"))


class Observer:
    """Asks one console after another, if the first is lost, for the same."""

    def __init__(self, wanted: Sequence[str] = TABLES) -> None:
        self.known = list(wanted)

    def look(self, console: Connection, now: float) -> Snapshot:
        snapshot = Snapshot(now)
        for name in list(self.known):
            if name == "waits" and count_waiting(snapshot) > MANY:
                continue
            try:
                (result,) = console.ask(f"SHOW {name.upper()}")
            except ServerRefused as error:
                if not error.message.startswith("invalid command"):
                    raise
                self.known.remove(name)
            else:
                snapshot.tables[name] = result.records()
        return snapshot
