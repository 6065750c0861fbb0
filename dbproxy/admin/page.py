"""The page at `/`: what the proxy does, live.

One HTML text, made at start of what lies in `static`, without a figure in it: those come by `/events`, and what is told
of one statement by `/metrics/queries/ID` and `/plans/ID`. The browser runs and loads nothing but this text (its
Content-Security-Policy has the hashes), and takes no HTML from the script (Trusted Types).
"""

import asyncio
import json
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from hashlib import sha256
from importlib.resources import files
from time import monotonic
from typing import Any

import structlog
from aiohttp import web

from dbproxy.admin.busiest import Busiest
from dbproxy.admin.history import History, Point
from dbproxy.admin.house import House, list_hosts
from dbproxy.admin.snapshot import take_snapshot
from dbproxy.admin.viewers import Viewers
from dbproxy.observe.journal import Journal, journal

log = structlog.get_logger()

INTERVAL = 1.0  # seconds
SCRIPTS = (
    "elements.js",
    "quantities.js",
    "charts.js",
    "sections.js",
    "statement.js",
    "stream.js",
    "keyboard.js",
)


class Page:
    """`start` and `stop`; requests are answered in between."""

    def __init__(self, house: House, events: Journal = journal) -> None:
        self.house = house
        self.journal = events
        self.history = History(monotonic())
        self.viewers = Viewers(self.publish)
        self.busiest = Busiest(house)
        self.rescues: Counter[tuple[str, str]] = Counter()  # by host and reason, as they were told last
        self.told = 0  # the number of the last event that was published
        self.task: asyncio.Task[None] | None = None

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.show),
            web.get("/events", self.viewers.show, allow_head=False),
            web.get("/plans/{id:[0-9a-f]{16}}", self.show_plan),
        ]

    def start(self) -> None:
        self.task = asyncio.create_task(self.run(), name="page")

    async def stop(self) -> None:
        self.viewers.close()
        await self.busiest.stop()
        if self.task is not None:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task

    # --- what is asked ---

    async def show(self, request: web.Request) -> web.Response:
        text, policy = read_page()
        headers = {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-cache",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def show_plan(self, request: web.Request) -> web.Response:
        """The plan of one statement that the log has told last, or null."""
        plan = self.journal.plans.get(request.match_info["id"])
        return web.json_response({"plan": asdict(plan) if plan is not None else None})

    # --- what is told ---

    async def run(self) -> None:
        while True:
            try:
                self.turn(monotonic())
            except Exception:
                log.exception("internal error", during="page")
            await asyncio.sleep(INTERVAL)

    def turn(self, now: float) -> None:
        """A second is over."""
        primaries = list(self.house.pools.values())
        pools = [pool for primary in primaries for pool in list_hosts(self.house, primary)]
        point = self.history.sample(primaries, pools, len(self.house.registry), now)
        self.note_rescues()
        if self.viewers.looking:
            self.busiest.look(now)
            self.publish(point)

    def note_rescues(self) -> None:
        """Those of the last second, which the log does not tell one by one."""
        counts = sum((router.rescues.counts for router in list(self.house.routers.values())), Counter())
        for (host, reason), number in (counts - self.rescues).items():
            self.journal.add(
                "rescue", "info", "reads rescued", {"host": host, "reason": reason, "number": number}
            )
        self.rescues = counts

    def publish(self, point: Point | None = None) -> None:
        """`point`: of the second that is over, if it is."""
        queries = {"queries": self.busiest.found, "columns": Point._fields}
        moment = {**take_snapshot(self.house, monotonic()), **queries}
        events = self.journal.since(0)
        news = [event for event in events if event.number > self.told]
        self.told = events[-1].number if events else 0
        state = write(moment)[:-1]  # which two messages go on in their own way
        self.viewers.publish(
            f'{state},"points":{write([point] if point else [])},"events":{write(map(asdict, news))}}}',
            f'{state},"points":{write(self.history.points)},"events":{write(map(asdict, events))}}}',
        )


def write(value: Any) -> str:
    """JSON in one line."""
    listed = list(value) if isinstance(value, Iterable) and not isinstance(value, dict) else value
    return json.dumps(listed, separators=(",", ":"), allow_nan=False)


@cache
def read_page() -> tuple[str, str]:
    """The page, and its Content-Security-Policy."""
    folder = files("dbproxy.admin") / "static"
    style = (folder / "page.css").read_text(encoding="utf-8")
    script = "".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS)
    text = (folder / "page.html").read_text(encoding="utf-8").replace("/* page.css */", style)
    return text.replace("/* scripts */", script), write_policy(style, script)


def write_policy(style: str, script: str) -> str:
    """Nothing but these two runs, nothing is loaded, and only this proxy is asked."""
    return "; ".join([
        "default-src 'none'",
        f"style-src '{fingerprint(style)}'",
        f"script-src '{fingerprint(script)}'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ])  # fmt: skip


def fingerprint(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()
