"""What a load was asked for, and how to ask for what it has left out."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dbproxy.errors import JobRefused
from dbproxy.jobs.batch.formats import Format
from dbproxy.jobs.batch.stream import STDIN

Header = Literal["match", "skip", "none"]
HEADERS: dict[Header, str] = {
    "match": "HEADER MATCH",
    "skip": "HEADER",
    "none": "HEADER false",
}  # as COPY has them
FIELDS = "fields"  # the option that has the columns which the lines' values went to; not there of an older version's


@dataclass(frozen=True, slots=True)
class Order:
    """What is loaded where, as it was asked for: the ledger keeps it.

    `columns`: what the fields are, in their order; none: the header or the table says it. `upsert`: a unique key by
    which lines replace rows. `bad`: the file that lines go to that are left out.
    """

    table: str
    path: str
    format: Format
    header: Header = "match"
    columns: tuple[str, ...] = ()
    upsert: tuple[str, ...] = ()
    bad: str = ""

    def spell(self, fields: Sequence[str]) -> str:
        """As COPY; `fields`: the columns that the lines' values go to, in their order, as far as that is known."""
        columns = f" ({', '.join(fields)})" if fields else ""
        origin = "STDIN" if self.path == STDIN else f"'{self.path}'"
        header = (HEADERS[self.header],) if self.format.kind == "csv" else ()
        upsert = f" UPSERT ({', '.join(self.upsert)})" if self.upsert else ""
        return f"COPY {self.table}{columns} FROM {origin} {self.format.spell(*header)}{upsert}"

    @property
    def says_columns(self) -> bool:
        """Whether it says itself which value of a line goes where, by names; else the table's own order does."""
        return bool(self.columns) or self.header == "match" or self.format.kind == "ndjson"

    def find_bad(self, batch: str) -> str:
        """Beside the input, unless it was said; of a pipe, by the batch's id."""
        if self.bad or self.path == STDIN:
            return self.bad or f"{batch}.bad"
        return self.path.removesuffix(".gz").removesuffix(".zst") + ".bad"

    def spell_retry(self, batch: str) -> str:
        """The command that loads its bad lines, once they are mended or the table is."""
        form = {key: value for key, value in asdict(self.format).items() if value != getattr(Format(), key)}
        if form.get("delimiter") == "\t":
            form["delimiter"] = "tab"
        given = {
            "table": self.table,
            "format": form.pop("kind", "csv"),
            "header": self.header if self.header != "match" else "",
            "columns": ",".join(self.columns),
            **form,
            "upsert": ",".join(self.upsert),
        }
        words = [word for key, value in given.items() if value for word in (f"--{key}", value)]
        return shlex.join(["dbproxy", "batch", "load", self.find_bad(batch), *words, "--execute"])

    def is_its_own_bad(self) -> bool:
        """Whether bad lines would be written over what is loaded."""
        return Path(self.find_bad("")).resolve() == Path(self.path).resolve()


def read_order(options: Mapping[str, Any]) -> Order:
    """Of the ledger."""
    given = dict(options)
    given.pop(FIELDS, None)
    given["format"] = Format(**given["format"])
    return Order(**{**given, "columns": tuple(given["columns"]), "upsert": tuple(given["upsert"])})


def read_identity(options: Mapping[str, Any]) -> Order:
    """What makes two loads the same: all but where their bad lines go."""
    return replace(read_order(options), bad="")


def read_filled(options: Mapping[str, Any]) -> Order:
    """With the columns by which it went, so that bad lines go to the same even if the table has others by now."""
    order = read_order(options)
    return order if order.says_columns else replace(order, columns=tuple(options.get(FIELDS, ())))


def spell_load(options: Mapping[str, Any]) -> str:
    """The statement, of the ledger."""
    order = read_order(options)
    return order.spell(options.get(FIELDS) or order.columns)


def refuse_retry(order: Order, batch: str) -> JobRefused:
    return JobRefused(
        "lines that were left out are not tried again by themselves: they are in a file, to be mended and loaded",
        hint=order.spell_retry(batch),
    )
