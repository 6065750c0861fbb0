"""Slow queries, from the data path's notice to the log: the line, and the plan behind it."""

from collections.abc import Callable
from time import monotonic, time
from typing import Any

import structlog

from dbproxy.app.plans import Plans, Wanted
from dbproxy.config import Settings
from dbproxy.observe.exemplars import Exemplar, Exemplars
from dbproxy.observe.slowlog import SlowLog, show_statement, show_values
from dbproxy.pool.request import Request
from dbproxy.session.connection import Connection
from dbproxy.session.correlation import name_sent
from dbproxy.sql.identity import Shape
from dbproxy.wire.extended import bind_parameters, length_at, statement_text


class SlowQueries:
    """Of the whole proxy; `spawn` runs a task beside the data path."""

    def __init__(self, settings: Settings, spawn: Callable[[Any], object], exemplars: Exemplars) -> None:
        self.settings = settings
        self.exemplars = exemplars
        self.log = SlowLog(structlog.get_logger("dbproxy.observe.slowlog"))
        self.plans = Plans(spawn)

    def note(self, client: Connection, request: Request, wait: float, run: float) -> None:
        """A query over its threshold; times in seconds."""
        who, now = client.identity, monotonic()
        keys = self.settings.slow_query_for(who.database, who.user)
        text = statement_text(request.chunk, request.at)
        wait_us, run_us = int(wait * 1e6), int(run * 1e6)
        stands_for = self.log.admit(now, who.database, who.user, keys.limit, wait_us + run_us)
        if not stands_for and keys.explain == "off":
            return
        shape: Shape = client.pool.tenant.classifier.find(text)
        ids = name_sent(request, who)
        if stands_for and "trace_id" in ids and not self.settings.tracing.exports():
            self.exemplars.note(who.database, who.user, Exemplar(ids["trace_id"], wait + run, time()))
        if stands_for:
            values = self.settings.log.parameters
            more: dict[str, Any] = {**who.describe(), **ids, "query": shape.identity().name()}
            if values and request.bind is not None:
                more["parameters"] = show_values(bind_parameters(request.bind, 0, len(request.bind)))
            statement = show_statement(text, literals=values)
            self.log.record(statement, wait_us=wait_us, run_us=run_us, stands_for=stands_for, more=more)
        if keys.explain != "off" and is_whole(request):
            wanted = Wanted(client.pool, client.settings, shape.identity(), text, ids)
            self.plans.want(wanted, keys.explain, now)

    def sweep(self, now: float) -> None:
        self.log.sweep(now)


def is_whole(request: Request) -> bool:
    """Whether all of its text is still there."""
    chunk, at = request.chunk, request.at
    return at < 0 or at + length_at(chunk, at) <= len(chunk)
