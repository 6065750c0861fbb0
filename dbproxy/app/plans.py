"""Plans of slow queries, asked for beside the path: a plain EXPLAIN, which runs nothing.

On a server connection that nobody waits for, under the settings of the session that was slow, in a transaction that
only reads and gives up soon. One at a time, once an hour for each statement of a database and user.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

import structlog

from dbproxy.errors import ProxyError, ServerRefused
from dbproxy.observe.plans import show_plan
from dbproxy.pool.errand import Errand
from dbproxy.pool.parameters import Parameters
from dbproxy.pool.pool import Pool
from dbproxy.sql.access import READ, WRITE
from dbproxy.sql.comments import cut_comments
from dbproxy.sql.identity import Shape
from dbproxy.sql.parser import find_explainable

log = structlog.get_logger("dbproxy.observe.plans")

PAUSE = 3600.0  # seconds until a statement's plan is asked for again
REMEMBERED = 2000  # statements
QUEUED = 20  # that wait to be asked for
LONGEST = 16_384  # bytes of a text
PATIENCE = 2000  # milliseconds that PostgreSQL may plan
Key = tuple[str, str, int]  # database, user, hash of the shape
KINDS = {"reads": (READ,), "all": (READ, WRITE)}
AHEAD = (
    "SET LOCAL transaction_read_only = on; "
    f"SET LOCAL statement_timeout = {PATIENCE}; SET LOCAL lock_timeout = 100; "
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A statement whose plan is to be asked for; `ids`: of the request that was slow."""

    pool: Pool
    settings: Parameters
    shape: Shape
    text: bytes
    ids: Mapping[str, str]

    def key(self) -> Key:
        return self.pool.database, self.pool.user, self.shape.hash

    def is_ambiguous(self) -> bool:
        """Whether the session reads other tokens in the text than the grammar that says it is one statement."""
        name = "standard_conforming_strings"
        value = self.settings.values.get(name, self.pool.welcome.get(name, "on"))
        return b"\\" in self.text and value != "on"

    def has_room(self) -> bool:
        """Whether nobody needs the server that the question takes."""
        pool = self.pool
        return not pool.waiting and (len(pool.idle) > 0 or pool.size() < pool.settings.size)


class Plans:
    """`spawn` runs a task."""

    def __init__(self, spawn: Callable[[Any], object]) -> None:
        self.spawn = spawn
        self.asked: dict[Key, float] = {}  # when
        self.queue: deque[Wanted] = deque()
        self.busy = False

    def want(self, wanted: Wanted, explain: str, now: float) -> None:
        """Ask for this statement's plan, unless it was asked for, or has none that is to be asked for."""
        key, shape = wanted.key(), wanted.shape
        if len(self.queue) >= QUEUED or now - self.asked.get(key, -PAUSE) < PAUSE:
            return
        if shape.kind not in KINDS[explain] or len(wanted.text) > LONGEST or wanted.is_ambiguous():
            return
        if len(self.asked) >= REMEMBERED:
            self.asked = {key: when for key, when in self.asked.items() if now - when < PAUSE}
        if len(self.asked) >= REMEMBERED:
            return
        self.asked[key] = now
        self.queue.append(wanted)
        if not self.busy:
            self.busy = True
            self.spawn(self.run())

    async def run(self) -> None:
        try:
            while self.queue:
                wanted = self.queue.popleft()
                if wanted.has_room():
                    await tell_plan(wanted)
                else:  # the next slow one asks again
                    log.debug("plan put off", query=wanted.shape.name(), database=wanted.pool.database)
                    self.asked.pop(wanted.key(), None)
        finally:
            self.busy = False


async def tell_plan(wanted: Wanted) -> None:
    """Ask for it, and log it."""
    pool, text = wanted.pool, cut_comments(wanted.text)
    whose = {"query": wanted.shape.name(), "database": pool.database, "user": pool.user, **wanted.ids}
    generic = find_explainable(text)
    if generic is None:
        return
    begun = monotonic()
    try:
        rows = await Errand(pool).explain(AHEAD, text.decode(), wanted.settings, generic=generic)
        plan = show_plan(json.loads(rows[-1][0]))
    except ServerRefused as error:  # its words may quote what is in the statement
        log.info("no plan", sqlstate=error.sqlstate, **whose)
    except ProxyError as error:
        log.info("no plan", sqlstate=error.sqlstate, error=error.message, **whose)
    except (ValueError, LookupError) as error:
        log.info("no plan", error=type(error).__name__, **whose)
    else:
        log.info("slow query plan", plan=plan, explain_ms=round((monotonic() - begun) * 1000, 3), **whose)
