"""A user's own Python that says where a statement goes: `routing.plugin = "package.module:route"`.

    from dbproxy.routing.plugins import PRIMARY, REPLICA, Cluster, Route, Session, Statement, replica

    def route(statement: Statement, session: Session, cluster: Cluster) -> Route | None:
        return replica("reports") if session.application_name.startswith("report") else None

None leaves it to the proxy. What is answered counts as a hint: it does not make a read. It is called while everybody
waits, so it must neither wait nor read files, and it is remembered for each kind of statement and settings of a
session, unless it says `route.cacheable = False`. One that fails, or is slow again and again, is switched off.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from time import perf_counter
from types import MappingProxyType
from typing import Any

import structlog

from dbproxy.cluster.member import Member
from dbproxy.errors import ConfigurationError
from dbproxy.pool.parameters import Parameters
from dbproxy.pool.pool import Pool
from dbproxy.sql.hint import read_hint
from dbproxy.sql.statement import Statement as Classified

log = structlog.get_logger(__name__)

GROUP = "dbproxy.routing"  # of entry points
LISTED = 1000  # answers that are remembered
WINDOW = 100  # calls that are timed together
SLOW = 0.001  # seconds that a call may take on the average
STALL = 0.01  # seconds that one call counts at most: a single long one, as the first may be, is no reason


@dataclass(frozen=True, slots=True)
class Route:
    """Where a statement goes: PRIMARY, REPLICA, or `replica(name)`."""

    hint: str


PRIMARY = Route("primary")
REPLICA = Route("replica")


def replica(name: str) -> Route:
    """That replica; the primary if it cannot answer."""
    return Route(f"replica({name})")


@dataclass(frozen=True, slots=True)
class Statement:
    """What is known of the text. Names are without their schemas, and PostgreSQL's own relations are not among them."""

    reads: bool  # a read, by syntax and PostgreSQL's own functions
    begins_read_only: bool
    relations: frozenset[str]  # that a read reads
    functions: frozenset[str]  # and functions and operators that it calls
    hint: str  # "": neither the text nor the session says where to


@dataclass(frozen=True, slots=True)
class Session:
    database: str
    user: str
    application_name: str
    settings: Mapping[str, str]  # that it has set, by lower-case name


@dataclass(frozen=True, slots=True)
class Host:
    name: str
    role: str  # primary, replica, unknown
    state: str  # up, starting, lagging, down, …: docs/failover.md
    lag: float  # seconds


@dataclass(frozen=True, slots=True)
class Cluster:
    hosts: tuple[Host, ...]


Function = Callable[[Statement, Session, Cluster], Route | None]


class Plugin:
    """The function, its answers, and how long it took for them."""

    def __init__(self, name: str, function: Function) -> None:
        self.name = name
        self.function = function
        self.cacheable = bool(getattr(function, "cacheable", True))
        self.off = False
        self.calls = 0
        self.seconds = 0.0
        self.known: dict[tuple[int, int, str, str], tuple[Classified, Parameters, str]] = {}

    def route(
        self, statement: Classified, settings: Parameters, pool: Pool, members: Iterable[Member]
    ) -> str:
        """As a hint spells it; "" if it has nothing to say. `pool`: whose database and user it is."""
        if self.off:
            return ""
        if not self.cacheable:
            return self.ask(statement, settings, pool, members)
        key = id(statement), id(settings), pool.database, pool.user
        known = self.known.get(key)
        if known is not None and known[0] is statement and known[1] is settings:
            return known[2]
        hint = self.ask(statement, settings, pool, members)
        if len(self.known) >= LISTED:
            self.known.clear()
        self.known[key] = statement, settings, hint
        return hint

    def ask(self, statement: Classified, settings: Parameters, pool: Pool, members: Iterable[Member]) -> str:
        begun = perf_counter()
        try:
            route = self.function(view(statement), see(settings, pool), survey(members))
            hint = spell(route)
        except Exception:  # whatever it is, it is not the client's fault
            self.off = True
            log.exception("plugin switched off", plugin=self.name, hint="Mend it, and restart the proxy.")
            return ""
        self.time(perf_counter() - begun)
        return hint

    def time(self, seconds: float) -> None:
        """A call took so long."""
        self.calls += 1
        self.seconds += min(seconds, STALL)
        if self.calls < WINDOW:
            return
        mean = self.seconds / self.calls
        self.calls, self.seconds = 0, 0.0
        if mean > SLOW:
            self.off = True
            log.error("plugin switched off", plugin=self.name, error=f"a call takes {mean * 1000:.1f} ms",
                      hint="It may take 1 ms; restart the proxy once it does.")  # fmt: skip


def spell(route: Route | None) -> str:
    """The answer as a hint; TypeError or ValueError if it is none."""
    if route is None:
        return ""
    if not isinstance(route, Route):
        raise TypeError(f"a plugin answers Route or None, not {type(route).__name__}")
    hint = read_hint(f"/* dbproxy: {route.hint} */".encode())
    if not hint:
        raise ValueError("a Route is primary, replica or replica(name)")
    return hint


def view(statement: Classified) -> Statement:
    called = statement.functions | statement.calls
    return Statement(statement.reads, statement.begins_read_only, statement.relations, called, statement.hint)


def see(settings: Parameters, pool: Pool) -> Session:
    values = settings.values
    name = values.get("application_name", "")
    return Session(pool.database, pool.user, name, MappingProxyType(values))


def survey(members: Iterable[Member]) -> Cluster:
    return Cluster(
        tuple([Host(member.name, member.role, member.state, member.lag.seconds) for member in members])
    )


def load_plugin(name: str) -> Plugin | None:
    """What `routing.plugin` names: `module:function`, or an entry point. ConfigurationError if it cannot be had."""
    if not name:
        return None
    try:
        function = _find(name)
    except Exception as error:  # it runs the module
        raise ConfigurationError(
            f"routing.plugin: {name} cannot be loaded: {type(error).__name__}: {error}",
            hint="Name a function as package.module:function, or an entry point of the group dbproxy.routing. "
            "A module that is not installed is found by PYTHONPATH.",
        ) from error
    if not callable(function):
        raise ConfigurationError(f"routing.plugin: {name} is no function")
    return Plugin(name, function)


def _find(name: str) -> Any:
    module, colon, function = name.partition(":")
    if colon:
        return getattr(import_module(module), function)
    found = tuple(entry_points(group=GROUP, name=name))
    if not found:
        raise LookupError(f"no such entry point of the group {GROUP}")
    return found[0].load()
