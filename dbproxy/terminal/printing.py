"""A result as text: a table for people, JSON and CSV for scripts."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator

from dbproxy.observe.printable import clean
from dbproxy.terminal.format import Format
from dbproxy.terminal.result import NUMBERS, Result


def show(result: Result, chosen: Format) -> str:
    """Lines, each with its end; "" if there is nothing to show."""
    return FORMATS[chosen](result)


def show_table(result: Result) -> str:
    """As psql has it; numbers stand to the right."""
    if not result.columns:
        return f"{result.tag}\n"
    names = [name for name, _ in result.columns]
    cells = [["" if value is None else clean(value) for value in row] for row in result.rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    rights = [oid in NUMBERS for _, oid in result.columns]
    head = " | ".join(name.center(width) for name, width in zip(names, widths, strict=True))
    rule = "-+-".join("-" * width for width in widths)
    rows = (" | ".join(_align(row, widths, rights)) for row in cells)
    return "".join([f" {head.rstrip()}\n", f"-{rule}-\n", *(f" {row.rstrip()}\n" for row in rows)])


def _align(row: Iterable[str], widths: Iterable[int], rights: Iterable[bool]) -> Iterator[str]:
    for text, width, right in zip(row, widths, rights, strict=True):
        yield text.rjust(width) if right else text.ljust(width)


def show_json(result: Result) -> str:
    found: object = result.records() if result.columns else {"command": result.tag}
    return json.dumps(found, ensure_ascii=False) + "\n"


def show_csv(result: Result) -> str:
    """NULL is empty; a command that shows nothing writes nothing."""
    if not result.columns:
        return ""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow([name for name, _ in result.columns])
    writer.writerows(result.rows)
    return written.getvalue()


FORMATS: dict[Format, Callable[[Result], str]] = {
    Format.TABLE: show_table,
    Format.JSON: show_json,
    Format.CSV: show_csv,
}
