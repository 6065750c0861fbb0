"""How the lines of a file are written: CSV as COPY reads it, or a JSON object on each line."""

import codecs
import csv
import io
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any, Literal

from dbproxy.errors import JobRefused
from dbproxy.jobs.batch.records import Splitter

Kind = Literal["csv", "ndjson"]
PACKED = (".gz", ".zst", ".bad")  # of which a name says nothing of the format
BOM = codecs.BOM_UTF8
BLANK = (b" ", b"\t", b"\r")
BLANKS = re.compile(rb"(?<![ \t\r])[ \t\r]++(?=\n|\Z)")
# A JSON text has none of these bytes, so that to COPY each line of it is one value of CSV.
NEVER = {"delimiter": "\x02", "quote": "\x01", "escape": "\x01", "null": ""}


@dataclass(frozen=True, slots=True)
class Format:
    """`delimiter` and the rest are COPY's, of CSV; `encoding`: "" is UTF8."""

    kind: Kind = "csv"
    delimiter: str = ","
    null: str = ""
    quote: str = '"'
    escape: str = '"'
    encoding: str = ""

    @property
    def splitter(self) -> Splitter:
        return Splitter(self.quote, self.escape) if self.kind == "csv" else Splitter()

    @property
    def is_utf8(self) -> bool:
        return find_codec(self.encoding) == "utf-8"

    @property
    def options(self) -> dict[str, Any]:
        """Of COPY, as asyncpg has them."""
        own = {key: getattr(self, key) for key in NEVER} if self.kind == "csv" else NEVER
        return {"format": "csv", **own, **({"encoding": self.encoding} if self.encoding else {})}

    def spell(self, *more: str) -> str:
        """What differs from COPY's own, as its options, and `more` of them."""
        usual = Format(self.kind)
        named = {key: value for key, value in asdict(self).items() if key != "kind"}
        own = [f"{key.upper()} '{value}'" for key, value in named.items() if value != getattr(usual, key)]
        return f"({', '.join([f'FORMAT {self.kind}', *more, *own])})"

    def check_ends(self, record: bytes) -> None:
        """JobRefused if there are lines on it that end by CR alone: they would pass for a part of the header."""
        plain = b"".join(record.rstrip(b"\r\n").split(self.quote.encode())[::2])
        if b"\r" in plain:
            raise JobRefused(
                "the first line has carriage returns (CR) within: lines that end by these alone are not read",
                hint=r"Have them end by newlines: tr '\r' '\n' < FILE | dbproxy batch load - --format csv …",
            )

    def read_header(self, record: bytes) -> list[str]:
        """The names on it. JobRefused if it is none."""
        try:
            text = record.decode(find_codec(self.encoding))
            rows = csv.reader(
                io.StringIO(text.rstrip("\r\n"), newline=""), delimiter=self.delimiter, quotechar=self.quote,
                doublequote=self.escape == self.quote, strict=True,
                escapechar=None if self.escape == self.quote else self.escape,
            )  # fmt: skip
            return next(rows, [])
        except (ValueError, csv.Error) as error:
            raise JobRefused(f"the first line is no header: {error}", hint="--header none?") from None


KINDS: dict[str, Kind] = {
    ".csv": "csv", ".tsv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", "csv": "csv", "ndjson": "ndjson",
    "jsonl": "ndjson",
}  # fmt: skip


def choose_format(name: str, kind: str, options: Mapping[str, str]) -> Format:
    """By the file's name, unless `kind` says it; `options` are those that were given. JobRefused if that cannot be."""
    suffix = find_suffix(name)
    found = KINDS.get(kind or suffix)
    if found is None:
        raise JobRefused(
            f"{kind} is no format that is known" if kind else f"the name of {name} does not say its format",
            hint="--format csv, or --format ndjson.",
        )
    given = {key: value for key, value in options.items() if value}
    if found == "ndjson" and (wrong := sorted(set(given) - {"encoding"})):
        raise JobRefused(f"--{wrong[0]} is of CSV, and {name} is NDJSON")
    if given.get("delimiter", "tab" if suffix == ".tsv" and not kind else "") in ("\\t", "tab"):
        given["delimiter"] = "\t"
    given.setdefault("escape", given.get("quote", '"'))
    for key in ("delimiter", "quote", "escape"):
        if key in given and len(given[key].encode()) != 1:
            raise JobRefused(f"--{key} is one byte, not {given[key]!r}")
    find_codec(given.get("encoding", ""))
    return Format(found, **given)


def trim(lines: bytes) -> bytes:
    """JSON without blanks at the end of lines, which may be all of one: COPY wants them to end alike."""
    found = lines.endswith(BLANK) or any(blank + b"\n" in lines for blank in BLANK)
    return BLANKS.sub(b"", lines) if found else lines


def find_suffix(name: str) -> str:
    """What says the format: of `a.csv.gz` it is `.csv`."""
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes]
    return next((suffix for suffix in reversed(suffixes) if suffix not in PACKED), "")


def find_codec(encoding: str) -> str:
    """Python's name of PostgreSQL's encoding. JobRefused if lines cannot be told in it."""
    name = (encoding or "utf-8").lower().replace("win", "cp", 1) if encoding else "utf-8"
    if name.replace("-", "").startswith(("utf16", "utf32", "ucs")):
        raise JobRefused(
            f"PostgreSQL cannot read {encoding}", hint="iconv -f utf-16 -t utf-8 FILE | dbproxy batch load -"
        )
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "latin-1"  # PostgreSQL judges the name; a header's own names are plain
