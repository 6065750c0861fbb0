"""`dbproxy batch load` and `copy`: rows that come from elsewhere, in chunks, each row once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dbproxy.cli.exits import reporting
from dbproxy.cli.job import (
    Database,
    Execute,
    Given,
    NoThrottle,
    Proxy,
    Settled,
    Url,
    Workers,
    add_options,
    carry_out,
    find,
    make_batch,
    read_changes,
)


class Header(StrEnum):
    MATCH = "match"
    SKIP = "skip"
    NONE = "none"


Id = Annotated[str, typer.Option("--id", help="What it is called; made of the table's name if not given.")]
Upsert = Annotated[
    str, typer.Option("--upsert", help="A unique key's columns, by which rows that are there are replaced.")
]


def load(
    path: Annotated[str, typer.Argument(metavar="FILE", help="CSV or NDJSON, also packed by gzip or zstd; -: stdin.")],
    table: Annotated[str, typer.Option("--table", help="The table that the lines go to.")],
    form: Annotated[str, typer.Option("--format", help="csv or ndjson, if the name does not say it.")] = "",
    header: Annotated[
        Header,
        typer.Option("--header", help="CSV: the first line has names (match), is left out (skip), is data (none)."),
    ] = Header.MATCH,
    columns: Annotated[
        str, typer.Option("--columns", help="What the fields are: a,b,c; else the header or the table says it.")
    ] = "",
    delimiter: Annotated[str, typer.Option("--delimiter", help="CSV: the separator; by default a comma.")] = "",
    null: Annotated[str, typer.Option("--null", help="CSV: what means NULL; an empty field by default.")] = "",
    quote: Annotated[str, typer.Option("--quote", help='CSV: the quote character; " by default.')] = "",
    escape: Annotated[str, typer.Option("--escape", help="CSV: before a quote in quotes; a quote by default.")] = "",
    encoding: Annotated[str, typer.Option("--encoding", help="As PostgreSQL calls it; UTF8 by default.")] = "",
    upsert: Upsert = "",
    bad: Annotated[
        str, typer.Option("--bad", help="Where lines that are left out go; FILE.bad by default.", show_default=False)
    ] = "",
    name: Id = "",
    execute: Execute = False,
    given: Given = None,
    proxy: Proxy = "",
    unthrottled: NoThrottle = False,
    url: Url = "",
    database: Database = "",
    config: Settled = None,
) -> None:  # fmt: skip
    """Load a file or a pipe, chunk after chunk by COPY; what was loaded of it is skipped when it is resumed."""
    with reporting():
        from dbproxy.errors import JobRefused
        from dbproxy.jobs.batch.formats import choose_format
        from dbproxy.jobs.batch.lines import Lines
        from dbproxy.jobs.batch.load import Order
        from dbproxy.jobs.batch.stream import STDIN

        given = add_options(given, proxy, unthrottled)
        settings, primary = find(config, given, url, database)
        if int(read_changes(given).get("workers", "1")) > 1:
            raise JobRefused(
                "a file is loaded by one worker: newlines may be within quotes, and lines are counted from the first",
                hint="Leave workers out; or split the file where lines end, and load the pieces beside each other.",
            )
        options = {
            "delimiter": delimiter,
            "null": null,
            "quote": quote,
            "escape": escape,
            "encoding": encoding,
        }
        chosen = choose_format(path, form, options)
        if chosen.kind == "ndjson" and header is not Header.MATCH:
            raise JobRefused(f"--header is of CSV, and {path} is NDJSON")
        order = Order(
            table, path if path == STDIN else str(Path(path).absolute()), chosen,
            header.value, split(columns), split(upsert), str(Path(bad).absolute()) if bad else "",
        )  # fmt: skip
        source = Lines(order)
        carry_out(
            make_batch(settings, primary, source, name, given, alone=bool(url), database=database), execute
        )


def copy(
    table: Annotated[str, typer.Option("--table", help="The table whose rows are copied.")],
    into: Annotated[
        str, typer.Option("--into", help="The table that they go to; with --to, the same name.")
    ] = "",
    to: Annotated[
        str,
        typer.Option("--to", help="Another database's URL; the batch is known there.", show_default=False),
    ] = "",
    key: Annotated[
        str,
        typer.Option("--key", help="The columns of a unique key of the table; its primary key by default."),
    ] = "",
    columns: Annotated[
        str, typer.Option("--columns", help="The columns that are copied: a,b,c; all by default.")
    ] = "",
    where: Annotated[
        str, typer.Option("--where", help="A condition: only rows for which it holds are copied.")
    ] = "",
    upsert: Upsert = "",
    name: Id = "",
    execute: Execute = False,
    workers: Workers = None,
    given: Given = None,
    proxy: Proxy = "",
    unthrottled: NoThrottle = False,
    url: Url = "",
    database: Database = "",
    config: Settled = None,
) -> None:
    """Copy a table's rows to another table or host, chunk after chunk."""
    with reporting():
        from dbproxy.errors import JobRefused
        from dbproxy.jobs.batch import Transfer, Wish

        given = add_options(given, proxy, unthrottled, workers)
        settings, primary = find(config, given, url, database)
        if not (into or to):
            raise JobRefused("where to? --into says the table, --to the database")
        wish = Wish(table, into or table, split(columns), where, split(key), split(upsert))
        if to:
            _, target = find(config, given, to, "", "--to")
            source = Transfer(wish, primary)
        else:
            target, source = primary, Transfer(wish)
        alone = bool(url or to)
        carry_out(make_batch(settings, target, source, name, given, alone=alone, database=database), execute)


def split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())
