"""What `dbproxy top` shows: a snapshot as tables. Nothing is asked here, and nothing written."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dbproxy.observe.printable import clean
from dbproxy.terminal.columns import (
    CRITICAL,
    HOLDERS,
    HOSTS,
    POOLS,
    QUERIES,
    QUIET,
    TITLE,
    WAITS,
    WARNING,
    Column,
    number,
    text,
)
from dbproxy.terminal.quantity import draw, show_bytes, show_duration, show_rate
from dbproxy.terminal.result import Cell, Record
from dbproxy.terminal.snapshot import Snapshot
from dbproxy.terminal.traffic import Traffic

HEAD = "dim"


def render(
    snapshot: Snapshot, traffic: Sequence[Traffic], history: list[float], *, where: str, most: int
) -> RenderableType:
    """`history`: queries per second of the last looks; `most` rows of each table."""
    pools = sorted(
        join_pools(snapshot), key=lambda row: (-number(row["cl_waiting"]), -number(row["sv_active"]))
    )
    holders = sorted(
        snapshot.rows("holders"),
        key=lambda row: (-min(1, number(row["waiting"])), -number(row["held_seconds"])),
    )
    sections: list[tuple[str, Sequence[Column], Sequence[Record]]] = [
        ("hosts", HOSTS, snapshot.rows("hosts")),
        ("pools", POOLS, pools),
        ("holders", HOLDERS, holders),
        ("waits", WAITS, first_of_each(snapshot.rows("waits"))),
        ("queries", QUERIES, snapshot.rows("queries")),
    ]
    known = [section for section in sections if section[0] in snapshot.tables]
    parts: list[RenderableType] = [headline(snapshot, traffic, history, where)]
    for name, columns, rows in known:
        parts += [Text(), tabulate(name, columns, rows, most)]
        if name == "pools":
            parts += [Text(), tabulate_traffic(traffic, most)]
    return Group(*parts)


def join_pools(snapshot: Snapshot) -> list[Record]:
    """A row for each pool, with its size: by host where the console tells that, as each host's may be full."""
    sizes = {row.get("name"): row.get("pool_size") for row in snapshot.rows("databases")}
    whole = {(row["database"], row["user"]): row for row in snapshot.rows("pools")}
    rows = snapshot.rows("host_pools") or snapshot.rows("pools")
    told: set[tuple[Cell, Cell]] = set()
    joined = []
    for row in rows:
        key = row["database"], row["user"]
        pool = whole.get(key, {}) if key not in told else {}  # its clients are those of all its hosts
        told.add(key)
        shown = {"pool_mode": pool.get("pool_mode"), "cl_active": pool.get("cl_active")}
        joined.append({**row, **shown, "pool_size": sizes.get(row["database"])})
    return joined


def headline(snapshot: Snapshot, traffic: Sequence[Traffic], history: list[float], where: str) -> Text:
    lists = {str(row["list"]): row["items"] for row in snapshot.rows("lists")}
    states = {str(row["key"]): row["value"] for row in snapshot.rows("state")}
    version = next((row["version"] for row in snapshot.rows("version")), "")
    waiting = sum(number(row.get("cl_waiting")) for row in snapshot.rows("pools"))
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(clean(str(version)), TITLE)
    line.append(f" at {where}   ")
    line.append(
        "paused" if states.get("paused") == "yes" else "active",
        CRITICAL if states.get("paused") == "yes" else "green",
    )
    line.append(
        f"   {lists.get('used_clients', 0)} clients, {waiting:.0f} waiting", WARNING if waiting else ""
    )
    line.append(f"   {lists.get('used_servers', 0)} servers")
    line.append(f"   {show_rate(sum(one.queries for one in traffic))} queries/s ")
    line.append(draw(history), "cyan")
    return line


def tabulate(name: str, columns: Sequence[Column], rows: Sequence[Record], most: int) -> RenderableType:
    if not rows:
        return Text(f"{name.upper()}  none", style=QUIET)
    table = _make_table(name, [(column.title, column.right) for column in columns], len(rows), most)
    for row in rows[:most]:
        table.add_row(*(column.show(row) for column in columns))
    return table


def tabulate_traffic(traffic: Sequence[Traffic], most: int) -> RenderableType:
    heads = [("database", False)]
    heads += [
        (head, True)
        for head in ("queries/s", "transactions/s", "query", "transaction", "wait", "in/s", "out/s")
    ]
    table = _make_table("traffic", heads, len(traffic), most)
    for one in sorted(traffic, key=lambda one: -one.queries)[:most]:
        table.add_row(text(one.database), *(text(shown) for shown in _show_traffic(one)))
    return table if traffic else Text("TRAFFIC  none", style=QUIET)


def _show_traffic(one: Traffic) -> Iterator[str]:
    yield from (show_rate(one.queries), show_rate(one.transactions))
    yield from map(show_duration, (one.query_time, one.transaction_time, one.wait_time))
    yield from map(show_bytes, (one.received, one.sent))


def _make_table(name: str, heads: Iterable[tuple[str, bool]], rows: int, most: int) -> Table:
    title = f"{name.upper()}  {most} of {rows}" if rows > most else name.upper()
    table = Table(
        title=title,
        title_justify="left",
        title_style=TITLE,
        header_style=HEAD,
        box=None,
        pad_edge=False,
        expand=True,
    )
    for head, right in heads:
        table.add_column(head, justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    table.columns[-1].ratio = 1  # the others have what they need first
    table.columns[-1].justify = "left"
    return table


def first_of_each(rows: Iterable[Record]) -> list[Record]:
    """A client that waits for any of several servers has a row for each: the first names who holds one longest."""
    found: dict[Cell, Record] = {}
    for row in rows:
        found.setdefault(row["client"] or f"{row['database']} {row['position']}", row)
    return list(found.values())
