"""The console: a database that is not there, whose statements show and steer the proxy, as PgBouncer's does.

PostgreSQL: "Simple Query". The extended protocol is refused as PgBouncer refuses it. Commands are carried out
one after the other in a task beside the data path; while one is under way (PAUSE waits) what comes is queued,
so that we notice when the administrator leaves.
"""

import asyncio
from collections.abc import Iterable

import structlog

from dbproxy import __version__
from dbproxy.admin.actions import ACTIONS, ARGUMENTS
from dbproxy.admin.assignment import assign
from dbproxy.admin.batch_command import BatchOrder, BatchReport
from dbproxy.admin.batches import order_batch, show_batches
from dbproxy.admin.cache_command import CacheOrder, CacheQuestion, CacheReport
from dbproxy.admin.cache_explain import explain_cache
from dbproxy.admin.caches import invalidate, show_report
from dbproxy.admin.command import (
    Assignment,
    Command,
    LimitOrder,
    Limits,
    Question,
    Report,
    invalid,
    parse,
    split,
)
from dbproxy.admin.house import House
from dbproxy.admin.limits import MOST, explain_limit, reset_limit, set_limit, show_limits
from dbproxy.admin.queries import show_queries, show_query
from dbproxy.admin.question import explain
from dbproxy.admin.show import FAKES, FOR_ADMINISTRATORS, SHOWS, fake
from dbproxy.errors import CommandFailed, ProtocolViolation, ProxyError, QueryCanceled
from dbproxy.net.link import PARKED, Link
from dbproxy.session.startup import Login
from dbproxy.wire import build
from dbproxy.wire.codes import HEADER
from dbproxy.wire.framer import Framer, Rules
from dbproxy.wire.messages import decode

log = structlog.get_logger(__name__)

QUEUE_LIMIT = 16  # messages that may wait for the one under way before the connection is no longer read
READY = build.ready_for_query(ord("I"))
PARAMETERS = {
    "server_version": f"{__version__}/bouncer",
    "client_encoding": "UTF8",
    "server_encoding": "UTF8",
    "DateStyle": "ISO",
    "TimeZone": "GMT",
    "standard_conforming_strings": "on",
    "is_superuser": "on",
}
HELP = """
\tSHOW CLIENTS|CONFIG|DATABASES|HELP|LISTENS|LISTS|PINS|POOLS|PREPARED|SERVERS|STATE|USERS|VERSION
\tSHOW HOSTS|HOST_POOLS|ROUTES|RESCUES|SHAPES|FEATURES|WAITS|HOLDERS
\tSHOW QUERIES [WINDOW '1m|5m|15m|1h|reset'] [ORDER BY <column>] [LIMIT <number>]
\tSHOW QUERY <id>
\tSHOW LIMITS [LIMIT <number>]
\tSHOW LIMIT_TIERS|LIMIT_SOURCES
\tSHOW CACHE
\tSHOW CACHE TABLES|QUERIES|BYPASS [LIMIT <number>]
\tSHOW BATCHES
\tSHOW STATS|STATS_AVERAGES|STATS_TOTALS|TOTALS
\tSHOW SOCKETS|ACTIVE_SOCKETS|MEM|PEERS|PEER_POOLS|DNS_HOSTS|DNS_ZONES
\tSET key = arg
\tRELOAD
\tPAUSE [<db>]
\tRESUME [<db>]
\tRECONNECT [<db>]
\tKILL [<db>]
\tKILL_CLIENT <client_id>
\tDISABLE <db>
\tENABLE <db>
\tWAIT_CLOSE [<db>]
\tSHUTDOWN
\tSHUTDOWN WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS
\tDISABLE|DRAIN|ENABLE HOST <host>
\tPROBE
\tRESET QUERIES
\tSET routing = off|observe|on
\tSET routing.percent = <number>
\tSET log[.<area>] = debug|info|warning|error
\tSET limits = off|observe|on
\tSET limits.percent = <number>
\tSET LIMIT <rule> '<key>' = '<limit>|<tier>' [FOR '<duration>']
\tRESET LIMIT <rule> '<key>'
\tEXPLAIN LIMIT <rule> '<key>'
\tSET cache = off|observe|on
\tSET cache.percent = <number>
\tPAUSE|RESUME|CANCEL BATCH <id> [<db>]
\tSET BATCH <id> [<db>] <key> = <arg>
\tINVALIDATE CACHE [ALL|TABLE <table>|QUERY <id>|TAG <tag>] [<db>]
\tWARM CACHE
\tEXPLAIN CACHE [FOR <db>] <statement>
\tEXPLAIN ROUTE [FOR <db>] <statement>"""


class Console(Link):
    """An administrator's connection after login; `house.left` hears when it ends."""

    def __init__(self, login: Login, house: House) -> None:
        Link.__init__(self)
        self.identity = login.identity
        self.house = house
        assert login.transport is not None  # it is let in
        self.attach(login.transport)
        self.kind = "console"
        self.parameters = PARAMETERS
        self.framer = console_framer(self.identity.max_message_size)
        self.queue: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self.writable = asyncio.Event()
        self.writable.set()
        self.pausing: str | None = None
        self.ending: str | None = None  # a SHUTDOWN, with what it waits for
        self.action: asyncio.Future[None] | None = None
        self.task = asyncio.get_running_loop().create_task(self.run())

    # --- asyncio.Protocol ---

    def data_received(self, data: bytes) -> None:
        try:
            for mark in self.framer.feed(data):
                self.queue.put_nowait(cut(self.framer.chunk, mark))
        except ProxyError as error:
            self.disconnect(error.message, error)
        if self.queue.qsize() > QUEUE_LIMIT:
            self.hold(PARKED)

    def eof_received(self) -> None:
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self.disconnect("client closed the connection")

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    # --- commands ---

    async def run(self) -> None:
        try:
            while not self.closed:
                await self.writable.wait()
                kind, payload = await self.queue.get()
                self.free(PARKED)
                await self.handle(kind, payload)
        except ProxyError as error:
            self.disconnect(error.message, error)
        except Exception:  # our own bug costs this connection, and nobody else anything
            log.exception("internal error", client=self.identity.id)
            self.disconnect("internal error", ProxyError("internal error in the proxy"))

    async def handle(self, kind: int, payload: bytes) -> None:
        if kind == ord("Q"):
            await self.query(decode(payload.removesuffix(b"\0")))
        elif kind == ord("X"):
            self.disconnect("client closed the connection")
        elif kind in b"PBDECHS":
            raise ProtocolViolation(
                "extended query protocol not supported by admin console",
                hint="Use a driver's simple query protocol, without parameters and prepared statements.",
            )
        else:
            raise ProtocolViolation(f"unsupported packet type for admin console: {kind}")

    async def query(self, text: str) -> None:
        """One Query message; as in PostgreSQL an error ends it."""
        statements = split(text)
        if not statements:
            self.write(build.empty_query_response())
        try:
            for statement in statements:
                for piece in await self.answer(statement):
                    self.write(piece)
                    await self.breathe()
        except ProxyError as error:
            self.write(build.error_response(error))
        self.write(READY)
        if self.ending is not None:
            await ACTIONS["shutdown"](self.house, self.ending)

    async def breathe(self) -> None:
        """Let others have their turn, and the client read what there is."""
        await asyncio.sleep(0)
        await self.writable.wait()

    async def answer(self, statement: str) -> Iterable[bytes]:
        command = parse(statement)
        if isinstance(command, Assignment):
            return self.set(command)
        if isinstance(command, Question):
            return explain(self.house, command).pieces("EXPLAIN")
        if isinstance(command, Report):
            return await report(self.house, command)
        if isinstance(command, Limits):
            return (await show_limits(self.house, command.most or MOST)).pieces()
        if isinstance(command, LimitOrder):
            return self.order_limit(command)
        if isinstance(command, CacheReport):
            return (await show_report(self.house, command)).pieces()
        if isinstance(command, CacheQuestion):
            return explain_cache(self.house, command).pieces("EXPLAIN")
        if isinstance(command, CacheOrder):
            return self.invalidate(command)
        if isinstance(command, BatchReport | BatchOrder):
            return await self.answer_batch(command)
        argument = command.argument.lower()
        if command.verb in ("show", "select"):
            if argument in FOR_ADMINISTRATORS:
                self.require_admin()
            return show(self.house, command)
        if command.verb not in ACTIONS or argument not in ARGUMENTS.get(command.verb, {argument}):
            raise invalid(statement)
        return await self.act(command)

    def set(self, assignment: Assignment) -> Iterable[bytes]:
        if assignment.key in FAKES:
            return build.notice_response("SET ignored"), build.command_complete("SET")
        self.require_admin()
        done = assign(self.house, assignment)
        log.info("console command", command=f"SET {assignment.key}", **self.identity.describe())
        return build.notice_response(done), build.command_complete(f"SET {assignment.key}={assignment.value}")

    def order_limit(self, order: LimitOrder) -> Iterable[bytes]:
        if order.verb == "explain":
            return explain_limit(self.house, order).pieces("EXPLAIN")
        self.require_admin()
        done = (set_limit if order.verb == "set" else reset_limit)(self.house, order)
        verb = f"{order.verb.upper()} LIMIT"
        log.info("console command", command=f"{verb} {order.rule}", **self.identity.describe())
        return build.notice_response(done), build.command_complete(verb)

    def invalidate(self, order: CacheOrder) -> Iterable[bytes]:
        self.require_admin()
        done = invalidate(self.house, order)
        log.info("console command", command=f"INVALIDATE CACHE {order.what}", **self.identity.describe())
        return build.notice_response(done), build.command_complete("INVALIDATE CACHE")

    async def answer_batch(self, order: BatchReport | BatchOrder) -> Iterable[bytes]:
        if isinstance(order, BatchReport):
            return (await show_batches(self.house)).pieces()
        self.require_admin()
        verb = f"{order.verb.upper()} BATCH"
        log.info(
            "console command", command=f"{verb} {order.name} {order.key}".strip(), **self.identity.describe()
        )
        return build.notice_response(await order_batch(self.house, order)), build.command_complete(verb)

    async def act(self, command: Command) -> Iterable[bytes]:
        self.require_admin()
        log.info("console command", command=command.text, **self.identity.describe())
        if command.verb == "shutdown":  # it ends this session, too: answered first
            self.ending = command.argument
            return (build.command_complete("SHUTDOWN"),)
        self.pausing = command.argument if command.verb == "pause" else None
        action = self.action = asyncio.ensure_future(ACTIONS[command.verb](self.house, command.argument))
        try:
            await action
        except asyncio.CancelledError:
            if self.closed:
                raise
            raise QueryCanceled("canceling statement due to user request") from None
        finally:
            self.pausing = self.action = None
        return (build.command_complete(command.verb.upper()),)

    def require_admin(self) -> None:
        identity = self.identity
        if not self.house.settings.may_administer(identity.user, local=identity.is_local):
            raise CommandFailed("admin access needed")

    def cancel(self) -> None:
        """A cancel request, as Ctrl-C in psql sends it: what waits is over, and a PAUSE is taken back."""
        if self.pausing is not None:
            log.info("console command", command="cancel", **self.identity.describe())
            self.house.resume(self.pausing)
        elif self.action is not None:
            self.action.cancel()

    # --- the end ---

    def disconnect(self, reason: str, error: ProxyError | None = None) -> None:
        """The one exit."""
        if self.closed:
            return
        if error is not None:
            self.write(build.error_response(error))
        self.closed = True
        if self.transport is not None:
            self.transport.close()
        if self.task is not asyncio.current_task():
            self.task.cancel()
        self.house.left(self.identity, reason)


def show(house: House, command: Command) -> Iterable[bytes]:
    what = command.argument.lower()
    if what == "help":
        return build.notice_response("Console usage", detail=HELP), build.command_complete("SHOW")
    if what in FAKES:
        return fake(what).pieces()
    if what not in SHOWS:
        raise invalid(command.text)
    return SHOWS[what](house).pieces()


async def report(house: House, asked: Report) -> Iterable[bytes]:
    table = show_query(house, asked.entry) if asked.entry else await show_queries(house, asked.words)
    return table.pieces()


def console_framer(limit: int) -> Framer:
    """Traces every message, and only when it is whole."""
    return Framer(Rules([limit] * 256, [limit] * 256))


def cut(chunk: bytes, mark: int) -> tuple[int, bytes]:
    """Kind and payload of a message."""
    at = mark >> 8
    return mark & 255, chunk[at + HEADER : at + 1 + int.from_bytes(chunk[at + 1 : at + HEADER], "big")]
