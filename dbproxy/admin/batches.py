"""SHOW BATCHES, and PAUSE, RESUME, CANCEL and SET BATCH; `/batches`, the same as JSON.

A batch is a process of its own, which may run anywhere: all that is told and asked goes by its ledger.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from dbproxy.admin.batch_command import BatchOrder
from dbproxy.admin.house import House
from dbproxy.admin.table import Table, Value, columns
from dbproxy.errors import CommandFailed
from dbproxy.observe.figures import BatchFigures

BATCHES = columns(
    "id:s kind:s table:s database:s state:s rows:q seen:q estimated:q percent:N rate:N eta:i errors:q chunk_size:i "
    "waits_for:s started:s ended:s host:s pid:i reason:s"
)
DONE = {"pause": "it waits after its chunk", "resume": "it goes on", "cancel": "it ends after its chunk"}


async def show_batches(house: House) -> Table:
    """The latest of each database first; `rate`: rows a second while it works, `eta`: seconds."""
    return Table(BATCHES, list(map(_show, await house.batches.fetch())))


def _show(batch: BatchFigures) -> Sequence[Value]:
    return (
        batch.id,
        batch.kind,
        batch.table,
        batch.database,
        batch.state,
        batch.done.rows,
        batch.done.seen,
        batch.done.estimate,
        f"{100 * batch.ratio:.1f}",
        f"{batch.rate:.0f}",
        None if batch.eta_s is None else round(batch.eta_s),
        batch.done.errors,
        batch.done.chunk_size,
        batch.waits_for,
        show_moment(batch.started),
        show_moment(batch.ended),
        batch.host,
        batch.pid,
        batch.reason,
    )


async def order_batch(house: House, order: BatchOrder) -> str:
    """Carry it out, and say what follows."""
    if order.verb == "set":
        since = await house.batches.change(order.name, order.database, order.key, order.value)
        return f"{order.key} of batch {order.name} is {order.value} {since}"
    await house.batches.order(order.name, order.database, order.verb)
    return f"batch {order.name}: {DONE[order.verb]}"


def show_moment(seconds: float | None) -> str | None:
    """ISO 8601, of seconds since 1970."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


class BatchPages:
    def __init__(self, house: House) -> None:
        self.house = house

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/batches", self.show)]

    async def show(self, request: web.Request) -> web.Response:
        try:
            found = await self.house.batches.fetch()
        except CommandFailed as error:
            return web.json_response({"error": error.message}, status=503)
        return web.json_response({"batches": list(map(describe, found))})


def describe(batch: BatchFigures) -> dict[str, Any]:
    found: dict[str, Any] = asdict(batch)
    return {
        **{name: value for name, value in found.items() if name != "done"},
        **found["done"],
        "ratio": round(batch.ratio, 4),
        "rate": round(batch.rate, 1),
        "eta_s": None if batch.eta_s is None else round(batch.eta_s, 1),
        "started": show_moment(batch.started),
        "ended": show_moment(batch.ended),
    }
