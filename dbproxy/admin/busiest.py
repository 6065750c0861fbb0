"""The statements that cost most, and those that take longest, for the page; taken now and then, and kept."""

import asyncio
from time import monotonic
from typing import Any

from dbproxy.admin.house import House
from dbproxy.admin.queries import list_rows
from dbproxy.observe.queries import NO_LIMIT, Question, Row, arrange

WINDOW = "5m"
LISTED = 20
PAUSE = 5.0  # seconds
SHARE = 20  # the pause is so many times as long as the last look has taken
TEXT_SHOWN = 600  # characters
Json = dict[str, Any]


class Busiest:
    """`found` is what the last look has found; None where statements are not counted."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.found: Json | None = None
        self.due = 0.0
        self.task: asyncio.Task[None] | None = None

    def look(self, now: float) -> None:
        """Have them looked up anew, if that is due."""
        if self.house.query_stats is None:
            self.found = None
        elif self.task is None and now >= self.due:
            self.task = asyncio.create_task(self.find(now), name="busiest")

    async def find(self, now: float) -> None:
        try:
            self.found = await find_busiest(self.house)
        finally:
            taken = monotonic() - now
            self.due = now + max(PAUSE, SHARE * taken)
            self.task = None

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)


async def find_busiest(house: House) -> Json | None:
    """None where statements are not counted."""
    stats = house.query_stats
    if stats is None:
        return None
    rows, seconds = await list_rows(stats, Question(window=WINDOW, limit=NO_LIMIT))
    orders = {"top": "total_time", "slow": "p95", "waiting": "wait", "failing": "errors"}
    lists = {
        name: [cut(row) for row in arrange(rows, Question(window=WINDOW, sort=sort, limit=LISTED))]
        for name, sort in orders.items()
    }
    total = sum(row["total_us"] for row in rows)
    return {"window_s": round(seconds), "entries": len(stats.ring), "total_us": total, "lists": lists}


def cut(row: Row) -> Row:
    text = row["text"]
    return row if len(text) <= TEXT_SHOWN else {**row, "text": text[: TEXT_SHOWN - 1] + "…"}
