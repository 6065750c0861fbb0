"""What statements cost, over HTTP: `/metrics/queries` as JSON, CSV or text, one of them, and the reset."""

import csv
import io
from ipaddress import ip_address
from time import monotonic
from typing import Any

from aiohttp import web

from dbproxy.admin.house import House
from dbproxy.admin.queries import OFF, OFF_HINT, find_entries, list_rows
from dbproxy.observe.histogram import middle
from dbproxy.observe.printable import clean
from dbproxy.observe.queries import (
    COLUMNS,
    NUMBERS,
    WINDOWS,
    BadQuestion,
    Row,
    ask,
    count,
    current_minute,
    describe,
    measure_window,
    sum_entry,
)
from dbproxy.observe.querystats import Entry, QueryStats
from dbproxy.observe.sums import Sums
from dbproxy.sql.parser import find_fingerprint

FORMATS = ("json", "csv", "text")
TEXT_SHOWN = 100  # characters of a statement in a line of text
LINE = (
    "id",
    "calls",
    "total_us",
    "mean_us",
    "p95_us",
    "max_us",
    "wait_us",
    "run_us",
    "stall_us",
    "rows",
    "errors",
    "database",
    "user",
    "role",
)


class QueryPages:
    """Its handlers answer 404 with the reason where statements are not counted."""

    def __init__(self, house: House) -> None:
        self.house = house

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/metrics/queries", self.list_queries),
            web.get("/metrics/queries/{id:(?!reset$)[^/]+}", self.show_query),
            web.post("/metrics/queries/reset", self.reset),
        ]

    async def list_queries(self, request: web.Request) -> web.Response:
        """The query string is a question (observe.queries.ask), and `format`."""
        stats = self.house.query_stats
        if stats is None:
            return fail(404, f"{OFF}. {OFF_HINT}")
        words = dict(request.query)
        form = words.pop("format", "json")
        try:
            question = ask(words)
        except BadQuestion as error:
            return fail(400, str(error))
        if form not in FORMATS:
            return fail(400, f"format must be one of {', '.join(FORMATS)}")
        rows, seconds = await list_rows(stats, question)
        if form == "csv":
            return tell(write_csv(rows), "text/csv")
        if form == "text":
            return tell(write_text(rows, question.window, seconds), "text/plain")
        answer = {
            "window": question.window,
            "window_s": round(seconds, 3),
            "entries": len(stats.ring),
            "evicted": stats.evicted,
            "memory_bytes": stats.memory,
            "queries": rows,
        }
        return web.json_response(answer)

    async def show_query(self, request: web.Request) -> web.Response:
        stats = self.house.query_stats
        entries = find_entries(stats, request.match_info["id"]) if stats is not None else []
        if stats is None or not entries:
            unknown = f"no such query: {request.match_info['id']}; /metrics/queries lists them by id"
            return fail(404, unknown if stats is not None else f"{OFF}. {OFF_HINT}")
        now = monotonic()
        return web.json_response({"queries": [show_entry(stats, entry, now) for entry in entries]})

    async def reset(self, request: web.Request) -> web.Response:
        """From this host only, and by no web page: who is elsewhere uses the console."""
        if not is_local(request.remote or "") or "Origin" in request.headers:
            return fail(403, "only from this host; RESET QUERIES on the console does the same")
        if self.house.query_stats is None:
            return fail(404, f"{OFF}. {OFF_HINT}")
        self.house.query_stats.reset(monotonic())
        return web.json_response({"status": "ok"})


def tell(text: str, content_type: str) -> web.Response:
    """Names come from clients and need not be valid UTF-8."""
    return web.Response(body=text.encode(errors="replace"), content_type=content_type, charset="utf-8")


def fail(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)


def is_local(address: str) -> bool:
    """Whether whoever asks is on this host."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def show_entry(stats: QueryStats, entry: Entry, now: float) -> dict[str, Any]:
    """All windows of one entry, its minutes, its histogram since reset, and how it is used."""
    current = current_minute(stats, now)
    whole = sum_entry(entry, None, current)
    habits = entry.habits
    return describe(entry, whole) | {
        "pg_fingerprint": find_fingerprint(entry.text),
        "tables": sorted(entry.tables),
        "seen": {
            "first_s_ago": round(now - entry.first_seen, 3),
            "last_s_ago": round(now - entry.last_seen, 3),
        },
        "windows": {
            name: {"window_s": round(measure_window(stats, minutes, now), 3)}
            | count(sum_entry(entry, minutes, current))
            for name, minutes in WINDOWS.items()
        },
        "minutes": list_minutes(stats, entry, now),
        "histogram": [{"us": middle(index), "calls": calls} for index, calls in whole.pairs("total")],
        "habits": {
            "loops": habits.loops,
            "longest_loop": habits.longest_loop,
            "lone_reads": habits.lone_reads,
            "idle_count": habits.idle_count,
            "idle_us": habits.idle_us,
            "longest_idle_us": habits.longest_idle_us,
            "texts": habits.texts,
            "large_results": habits.large_results,
            "largest_result": habits.largest_result,
        },
    }


def list_minutes(stats: QueryStats, entry: Entry, now: float) -> list[dict[str, Any]]:
    """Those in which the entry was used, oldest first, the one that runs last; `began`: seconds since 1970."""
    found = []
    for minute, packed in entry.past:
        sums = Sums()
        sums.unpack(packed)
        found.append((minute, sums))
    if entry.running.calls:
        found.append((entry.minute, entry.running))
    return [{"began": round(stats.label(minute, now))} | count(sums) for minute, sums in found]


def write_csv(rows: list[Row]) -> str:
    sheet = io.StringIO()
    writer = csv.DictWriter(sheet, COLUMNS)
    writer.writeheader()
    writer.writerows([{name: defuse(value) for name, value in row.items()} for row in rows])
    return sheet.getvalue()


def defuse(value: object) -> object:
    """A text that a spreadsheet would take for a formula is none then."""
    return (
        f"'{value}"
        if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r", "\n")
        else value
    )


def write_text(rows: list[Row], window: str, seconds: float) -> str:
    """A table for people."""
    table = [LINE, *([clean(str(row[name])) for name in LINE] for row in rows)]
    widths = [max(len(line[place]) for line in table) for place in range(len(LINE))]
    texts = ["text", *(clean(" ".join(row["text"].split())[:TEXT_SHOWN]) for row in rows)]
    lines = [
        "  ".join(
            cell.rjust(width) if name in NUMBERS else cell.ljust(width)
            for name, cell, width in zip(LINE, line, widths, strict=True)
        )
        + f"  {text}"
        for line, text in zip(table, texts, strict=True)
    ]
    return "\n".join([f"window {window}, {seconds:.0f} s", *lines, ""])
