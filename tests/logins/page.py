"""The table of all logins in docs/authentication.md: between two marks, as `python -m tests.logins` writes it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.logins.drivers import DRIVERS, IN
from tests.logins.place import CLIENTS, MODES, SERVERS, Cell, list_cells

PAGE = Path(__file__).parents[2] / "docs" / "authentication.md"
BEGIN, END = "<!-- logins: written by python -m tests.logins -->\n", "<!-- end of logins -->"


def write_page(page: str, found: Mapping[Cell, str]) -> str:
    ahead, _, rest = page.partition(BEGIN)
    _, _, behind = rest.partition(END)
    return ahead + BEGIN + "\n".join(write_tables(found)) + "\n" + END + behind


def write_tables(found: Mapping[Cell, str]) -> Iterator[str]:
    notes: dict[str, int] = {}
    for mode, title in MODES.items():
        names = [name for name in DRIVERS if any(cell.mode == mode and cell.driver == name for cell in found)]
        yield f"**{title[0].upper()}{title[1:]}** ({', '.join(names)})\n"
        yield "| client \\ server | " + " | ".join(SERVERS) + " |"
        yield "|---" * (len(SERVERS) + 1) + "|"
        for client in CLIENTS:
            if (client, SERVERS[0]) in list_cells(mode):
                row = [write_cell(found, notes, mode, client, server, names) for server in SERVERS]
                yield f"| {client} | " + " | ".join(row) + " |"
        yield ""
    yield from (f"{number}. {text}" for text, number in notes.items())


def write_cell(
    found: Mapping[Cell, str], notes: dict[str, int], mode: str, client: str, server: str, names: list[str]
) -> str:
    by: dict[str, list[str]] = {}
    for name in names:
        by.setdefault(found[Cell(mode, client, server, name)], []).append(name)
    told = {
        ", ".join(drivers): IN if outcome == IN else f"out ({notes.setdefault(outcome, len(notes) + 1)})"
        for outcome, drivers in by.items()
    }
    if len(told) == 1:
        return next(iter(told.values()))
    return "; ".join(f"{drivers}: {outcome}" for drivers, outcome in told.items())
