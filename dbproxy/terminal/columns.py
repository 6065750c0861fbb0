"""The columns of what `dbproxy top` shows, and what is told by a colour: late, full, away.

What clients say of themselves is shown as text, without control characters and markup of theirs.
"""

from collections.abc import Callable
from dataclasses import dataclass

from rich.text import Text

from dbproxy.observe.printable import clean
from dbproxy.terminal.quantity import show_bytes, show_duration
from dbproxy.terminal.result import Cell, Record

LAG_WARNING, LAG_CRITICAL = 5.0, 30.0  # seconds
FULL, ALMOST_FULL = 0.95, 0.8  # of a pool
LONG = 5.0  # seconds idle in a transaction
TITLE, WARNING, CRITICAL, QUIET = "bold", "yellow", "bold red", "dim"


@dataclass(frozen=True, slots=True)
class Column:
    """`show` makes a cell of a row; numbers stand to the right; the last one takes what room there is."""

    title: str
    show: Callable[[Record], Text]
    right: bool = True


def plain(name: str) -> Callable[[Record], Text]:
    return lambda row: text(row.get(name))


def text(value: Cell, style: str = "") -> Text:
    return Text("" if value is None else clean(str(value)), style=style, overflow="ellipsis", no_wrap=True)


def number(value: Cell) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def count(name: str, style: str = "") -> Callable[[Record], Text]:
    """0 is shown quietly."""
    return lambda row: text(row.get(name), style if number(row.get(name)) else QUIET)


def duration(name: str, unit: float = 1.0) -> Callable[[Record], Text]:
    return lambda row: text(show_duration(number(row[name]) / unit) if row.get(name) is not None else "")


def waited(name: str, quiet: str = "") -> Callable[[Record], Text]:
    """Of two columns, seconds and the microseconds beyond; quietly if the column `quiet` is 0."""

    def show(row: Record) -> Text:
        seconds = number(row.get(name)) + number(row.get(f"{name}_us")) / 1e6
        return text(show_duration(seconds), QUIET if quiet and not row.get(quiet) else WARNING)

    return show


# --- sections ---


STATES = {"up": "green", "unknown": QUIET}


def show_state(row: Record) -> Text:
    """Without replicas nobody asks how the primary is: unknown."""
    return text(row.get("state"), STATES.get(str(row.get("state")), CRITICAL))


def show_lag(row: Record) -> Text:
    if row.get("role") != "replica" or row.get("lag_seconds") is None:
        return text("")
    seconds = number(row["lag_seconds"])
    style = CRITICAL if seconds > LAG_CRITICAL else WARNING if seconds > LAG_WARNING else ""
    behind = number(row.get("lag_bytes"))
    return text(show_duration(seconds) + (f" {show_bytes(behind)}" if behind else ""), style)


HOSTS = (
    Column(
        "host", lambda row: text(row.get("name"), TITLE if row.get("role") == "primary" else ""), right=False
    ),
    Column("address", lambda row: text(f"{row.get('host')}:{row.get('port')}"), right=False),
    Column("role", plain("role"), right=False),
    Column("state", show_state, right=False),
    Column("lag", show_lag),
    Column("reads %", plain("share")),
    Column("active", count("active")),
    Column("latency", duration("latency_us", 1e6)),
    Column("servers", plain("servers")),
    Column(
        "last error",
        lambda row: text(row.get("last_error"), CRITICAL if row.get("failures") else QUIET),
        right=False,
    ),
)


def show_use(row: Record) -> Text:
    used, size = number(row.get("sv_active")), number(row.get("pool_size"))
    share = used / size if size else 0.0
    style = CRITICAL if share > FULL else WARNING if share > ALMOST_FULL else ""
    return text(f"{used:.0f}/{size:.0f}" if size else f"{used:.0f}", style)


def show_others(row: Record) -> Text:
    """Servers that are nobody's for a moment."""
    return text(
        int(sum(number(row.get(name)) for name in ("sv_tested", "sv_used", "sv_being_canceled"))), QUIET
    )


POOLS = (
    Column("database", plain("database"), right=False),
    Column("user", plain("user"), right=False),
    Column("host", plain("host"), right=False),
    Column("mode", plain("pool_mode"), right=False),
    Column("clients", plain("cl_active")),
    Column("waiting", count("cl_waiting", CRITICAL)),
    Column("longest wait", waited("maxwait", quiet="cl_waiting")),
    Column("lent", show_use),
    Column("idle", count("sv_idle")),
    Column("logging in", count("sv_login")),
    Column("others", show_others),
)


def show_holder_state(row: Record) -> Text:
    state = str(row.get("state"))
    late = "transaction" in state and number(row.get("state_seconds")) > LONG
    return text(state, WARNING if late or state == "stalled" else "")


HOLDERS = (
    Column("client", plain("client")),
    Column("application", plain("application_name"), right=False),
    Column("database", plain("database"), right=False),
    Column("host", plain("host"), right=False),
    Column("pid", plain("server_pid")),
    Column("state", show_holder_state, right=False),
    Column("for", duration("state_seconds")),
    Column("held", duration("held_seconds")),
    Column("pins", lambda row: text(row.get("pins"), WARNING), right=False),
    Column("waiting", count("waiting", CRITICAL)),
    Column("statement", plain("statement"), right=False),
)
WAITS = (
    Column("client", plain("client")),
    Column("application", plain("application_name"), right=False),
    Column("database", plain("database"), right=False),
    Column("waits for", plain("waits_for"), right=False),
    Column("place", plain("position")),
    Column("since", waited("wait")),
    Column("held by", plain("holder")),
    Column("of", plain("holders")),
    Column("statement", plain("statement"), right=False),
)


QUERIES = (
    Column("calls", count("calls")),
    Column("errors", count("errors", WARNING)),
    Column("total", duration("total_us", 1e6)),
    Column("mean", duration("mean_us", 1e6)),
    Column("p95", duration("p95_us", 1e6)),
    Column("wait", duration("wait_us", 1e6)),
    Column("run", duration("run_us", 1e6)),
    Column("stall", duration("stall_us", 1e6)),
    Column("database", plain("database"), right=False),
    Column("role", plain("role"), right=False),
    Column("statement", plain("text"), right=False),
)
