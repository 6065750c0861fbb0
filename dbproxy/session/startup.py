"""A client's login: what happens between connecting and the first query (slow lane).

PostgreSQL: "Start-up". A `Login` is the connection's protocol until the client is let in; then a `Client` (or the
console) takes its place. The login stays registered, with who it is (session.identity).
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from itertools import count
from time import monotonic, time
from typing import Any, Protocol

import structlog

from dbproxy.config.units import show_size
from dbproxy.errors import (
    AdminShutdown,
    DatabaseDisabled,
    InvalidAuthorization,
    InvalidParameterValue,
    OutOfMemory,
    ProxyError,
    ServerUnavailable,
    TooManyConnections,
    UnreadableStartup,
)
from dbproxy.net.link import Link
from dbproxy.net.listen import describe_peer
from dbproxy.net.tls import ClientTls
from dbproxy.observe import logs
from dbproxy.observe.floods import kind_of
from dbproxy.pool.backend import Backend
from dbproxy.pool.errand import Errand
from dbproxy.pool.insertions import STANDBY
from dbproxy.pool.parameters import Parameters
from dbproxy.pool.pool import Pool
from dbproxy.routing.router import Router
from dbproxy.routing.wishes import complain
from dbproxy.session.admission import Admitting, admit
from dbproxy.session.application_name import NAME_LIMIT, name_with_host
from dbproxy.session.client import Client
from dbproxy.session.conversation import PAUSE, Conversation
from dbproxy.session.encryption import read_opening
from dbproxy.session.house import House
from dbproxy.session.identity import Identity
from dbproxy.session.inbox import Inbox
from dbproxy.session.registry import Registry, make_long_key
from dbproxy.session.replication import Replication, Walsender
from dbproxy.wire import build
from dbproxy.wire.startup import LONG_KEYS, CancelRequest, StartupMessage, cut_name

log = structlog.get_logger(__name__)
_ids = count(1)

LET_IN = kind_of("session", "info", {"event": "client login"})
CONSOLES = frozenset({"dbproxy", "pgbouncer"})
# What a session of a read-only entry asks for. libpq's target_session_attrs goes by this one (`read-only`), and by
# in_hot_standby (`standby`): by all that its session can see, the entry is one, if it has replicas behind it.
READ_ONLY = {"default_transaction_read_only": "on"}
AUTHENTICATED, READY = build.authentication_ok(), build.ready_for_query(ord("I"))


class Heir(Protocol):
    """Who else may become of a login: the console (admin.console), a replication connection (session.replication)."""

    kind: str  # "console", "replication"

    @property
    def parameters(self) -> dict[str, str]: ...
    def data_received(self, data: bytes) -> None: ...
    def cancel(self) -> Backend | None: ...
    def disconnect(self, reason: str, error: ProxyError | None = None) -> None: ...


class LoginHouse(House, Protocol):
    """What a login needs of the proxy, beyond what its client does."""

    @property
    def admissions(self) -> Admitting: ...
    @property
    def registry(self) -> "Registry[Login]": ...
    @property
    def stopping(self) -> bool: ...
    def find_pool(self, database: str, user: str) -> Pool: ...
    def follow_defaults(self, pool: Pool, then: Callable[[], None]) -> bool: ...
    def check_login(self, pool: Pool, who: Identity) -> None: ...
    def find_router(self, database: str, user: str) -> Router | None: ...
    def find_client_tls(self) -> ClientTls | None: ...
    def open_console(self, login: "Login") -> Heir: ...
    def open_walsender(
        self, identity: Identity, parameters: Mapping[str, str]
    ) -> Coroutine[Any, Any, Walsender]: ...


class Login(Link):
    """One connection from an application, from accept to its end."""

    def __init__(self, house: LoginHouse, *, read_only: bool = False) -> None:
        """`read_only`: it came by the entry that takes no writes."""
        Link.__init__(self)
        self.house = house
        limit = house.settings.listen.max_message_size
        self.identity = Identity(next(_ids), monotonic(), time(), limit, read_only=read_only)
        self.pool: Pool | None = None
        self.router: Router | None = None  # where there are replicas
        self.client: Client | None = None
        self.heir: Heir | None = None
        self.inbox = Inbox(self)
        self.conversation: Conversation | None = None  # from its first bytes on

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.attach(transport)
        who = self.identity
        who.address, who.port = describe_peer(transport)
        who.pid, who.key = self.house.registry.add(self)

    def data_received(self, data: bytes) -> None:
        self.inbox.add(data)
        if self.conversation is None:
            self.conversation = Conversation(self.run())
            self.conversation.go_on()

    def eof_received(self) -> None:
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self.end(self.why_lost())

    def why_lost(self) -> str:
        """For the log, as PostgreSQL has it: nothing of who has said nothing, as health checks do."""
        if self.identity.user:
            return "client closed the connection before it was let in"
        return "incomplete startup packet" if self.inbox.data else ""

    def pause_writing(self) -> None:
        """What a login writes is small."""

    def resume_writing(self) -> None:
        """As above."""

    # --- the conversation ---

    async def run(self) -> None:
        try:
            tls = self.house.find_client_tls()
            opening, self.identity.peer = await read_opening(self, self.inbox, tls)
            if isinstance(opening, CancelRequest):
                await self.forward_cancel(opening)
            else:
                await self.let_in(opening, tls)
        except UnreadableStartup as error:
            self.end(error.message)
        except ProxyError as error:
            self.refuse(error)
        except asyncio.CancelledError:
            raise
        except Exception:  # our own bug costs this client its connection, and nobody else anything
            log.exception("internal error", client=self.identity.id)
            self.refuse(ProxyError("internal error in the proxy"))

    async def forward_cancel(self, request: CancelRequest) -> None:
        """PostgreSQL closes the connection when it has dealt with the request, and so do we."""
        task = self.house.cancel(request.pid, request.key)
        if task is not None:
            await asyncio.wait([task])
        self.end("")

    async def let_in(self, opening: StartupMessage, tls: ClientTls | None) -> None:
        who = self.identity
        who.user, who.database = opening.user, opening.database
        if tls is not None and tls.is_demanded and who.port and not who.peer.encrypted:
            raise InvalidAuthorization("SSL required", hint="Connect with sslmode=require.")
        if opening.needs_negotiation:
            self.write(build.negotiate_protocol_version(opening.served_minor, opening.protocol_options))
        if opening.served_minor >= LONG_KEYS:
            who.key = make_long_key()
        replication = opening.replication
        if not self.house.admissions.access.trusts_all:
            await self.authenticate(physical=replication == "physical")
        console = who.database in CONSOLES and not replication
        self.check_limits(console=console)
        if console:
            self.enter_console()
            return
        self.check_shared_limits()
        self.house.registry.admit(self)
        if replication:
            await self.replicate(opening, replication)
            return
        await self.open_session(opening.settings)

    async def open_session(self, wanted: Mapping[str, str]) -> None:
        """With these settings."""
        who = self.identity
        pool = self.pool = self.house.find_pool(who.database, who.user)
        self.router = self.house.find_router(who.database, who.user)
        asked = self.ask(pool, wanted)
        self.house.check_login(pool, who)
        failure = await self.follow_defaults(pool)
        named, rest = split_name(asked)
        settings: Parameters = pool.tenant.parameter_sets.find(rest)
        if not is_known(pool, settings):
            if failure is not None:
                raise failure
            await judge(pool, settings)
        reported = {**(settings.reported or {}), **named}
        if who.read_only:
            reported |= READ_ONLY | ({STANDBY: "on"} if self.router is not None else {})
        self.enter(pool, reported)

    async def follow_defaults(self, pool: Pool) -> ProxyError | None:
        """Why no server can be had now, if one was opened for this in vain: of the next attempt it would hear late."""
        conversation = self.conversation
        if conversation is not None and self.house.follow_defaults(pool, conversation.go_on):
            await PAUSE
            return pool.last_error if pool.is_shut(monotonic()) and not pool.moves else None
        return None

    def ask(self, pool: Pool, asked: Mapping[str, str]) -> Mapping[str, str]:
        """Note what it asks for; what servers are told of that. InvalidParameterValue if it asks for nonsense."""
        who = self.identity
        listed = self.house.settings.listed(who.database)
        who.read_only = who.read_only or (listed is not None and listed.read_only)
        asked = {**asked, **READ_ONLY} if who.read_only else asked
        for _, why in complain(asked):
            raise InvalidParameterValue(why)
        name = asked.get("application_name", "")
        who.application_name = cut_name(name)
        if pool.settings.application_name_add_host:
            asked = {**asked, "application_name": name_with_host(name, who.address, who.port)}
        who.settings = pool.tenant.parameter_sets.find(asked)
        return asked

    async def authenticate(self, *, physical: bool) -> None:
        """`physical`: it is after the WAL."""
        await admit(
            self.house.admissions,
            self.identity,
            self.inbox,
            lambda data: self.write(data),  # compiled, the method alone would not know whose it is
            replication=physical,
        )

    def check_limits(self, *, console: bool) -> None:
        """`console`: it is to be entered, where who may do so sees why all others are refused."""
        house = self.house
        if house.stopping:
            raise AdminShutdown("the proxy is shutting down")
        if self.identity.database in house.registry.disabled:
            raise DatabaseDisabled(f"database does not allow connections: {self.identity.database}")
        most = house.settings.pool.max_client_conn
        if len(house.registry) > most and not console:
            house.registry.limits["max_client_conn"] += 1
            raise TooManyConnections(f"sorry, too many clients already (max_client_conn is {most})")

    def check_shared_limits(self) -> None:
        """What its database and its user may have, and what all may keep in memory; in PostgreSQL's words."""
        house, user, database = self.house, self.identity.user, self.identity.database
        settings, registry = house.settings, house.registry
        most = settings.connection_limit("max_db_client_connections", database)
        if 0 < most <= registry.databases.get(database, 0):
            registry.limits["max_db_client_connections"] += 1
            raise TooManyConnections(
                f'too many connections for database "{database}" (max_db_client_connections is {most})'
            )
        most = settings.connection_limit("max_user_client_connections", user)
        if 0 < most <= registry.users.get(user, 0):
            registry.limits["max_user_client_connections"] += 1
            raise TooManyConnections(
                f'too many connections for role "{user}" (max_user_client_connections is {most})'
            )
        if registry.crowded:
            registry.limits["max_total_memory"] += 1
            raise OutOfMemory(
                "out of memory",
                detail=f"More than max_total_memory ({show_size(settings.pool.max_total_memory)}) is kept for clients.",
                hint="Try again later.",
            )

    # --- let in, or not ---

    def enter(self, pool: Pool, reported: dict[str, str]) -> None:
        """`reported`: what the settings that it asked for lead to."""
        pool.stats.login_count += 1
        client = self.client = Client(self.identity, self.house, pool, self.router)
        client.news.reported.update({name.lower(): value for name, value in reported.items()})
        assert self.transport is not None
        client.attach(self.transport)
        self.welcome(pool.tenant.parameter_sets.greeting.spell(pool.welcome, reported))
        if self.house.settings.log.connections and not logs.is_flood(LET_IN):
            log.info("client login", **self.identity.describe())
        self.hand_over(client)

    async def replicate(self, opening: StartupMessage, mode: str) -> None:
        """A replication connection, to a server of its own."""
        work = self.house.open_walsender(self.identity, opening.server_parameters())
        walsender = await self.receive(asyncio.get_running_loop().create_task(work))
        replication = self.heir = Replication(self.identity, self.house, walsender, mode)
        assert self.transport is not None
        replication.begin(self.transport)
        self.welcome(build.parameter_statuses(replication.parameters))
        log.info("replication login", mode=mode, **self.identity.describe())
        self.hand_over(replication)

    async def receive(self, opening: "asyncio.Task[Walsender]") -> Walsender:
        """A server that was opened for this client alone: it is closed if the client has gone meanwhile."""
        try:
            walsender = await opening
        except asyncio.CancelledError:
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                opening.result().close("the client has gone")
            raise
        if walsender.closed:  # by now
            raise ServerUnavailable("the server closed the connection during login")
        return walsender

    def enter_console(self) -> None:
        user = self.identity.user
        if not self.house.settings.may_watch(user, local=self.identity.is_local):
            raise InvalidAuthorization(
                f'user "{user}" may not use the console',
                hint="List the user in auth.admin_users or auth.stats_users.",
                sqlstate="42501",
            )
        console = self.heir = self.house.open_console(self)
        self.welcome(build.parameter_statuses(console.parameters))
        log.info("console login", **self.identity.describe())
        self.hand_over(console)

    def welcome(self, told: bytes) -> None:
        """`told`: ParameterStatus messages."""
        key = build.backend_key_data(self.identity.pid, self.identity.key)
        self.write(b"".join([AUTHENTICATED, told, key, READY]))

    def hand_over(self, heir: Any) -> None:
        """From here on the connection is the heir's, with what has come already.

        It does what asyncio asks of a Protocol, and is none (net.link).
        """
        transport = self.transport
        assert transport is not None
        transport.set_protocol(heir)
        data = self.inbox.close()
        self.closed = True  # for this protocol: the heir closes the connection
        if data:
            heir.data_received(data)

    def refuse(self, error: ProxyError) -> None:
        self.house.registry.login_failures[error.sqlstate] += 1
        detail = "; ".join(filter(None, (error.detail, error.detail_log)))
        why = {"detail": detail} if detail else {}
        log.warning(
            "client refused", sqlstate=error.sqlstate, error=error.message, **why, **self.identity.describe()
        )
        if error.severity != "FATAL":
            error.severity = "FATAL"
        self.write(build.error_response(error))
        self.end("")

    def end(self, reason: str) -> None:
        """The one exit of a login that was not let in."""
        if self.closed:
            return
        self.closed = True
        self.house.registry.remove(self.identity.pid)
        if reason:
            log.info("client left", reason=reason, **self.identity.describe())
        if self.transport is not None:
            self.transport.close()
        self.inbox.close()
        if self.conversation is not None:
            self.conversation.cancel()


def split_name(asked: Mapping[str, str]) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The application_name, if it is one of which no server need be asked: it is what the client says. And the rest."""
    name = asked.get("application_name")
    if name is None or not (name.isascii() and name.isprintable() and len(name) <= NAME_LIMIT):
        return {}, asked
    rest = {key: value for key, value in asked.items() if key != "application_name"}
    return {"application_name": name} if name else {}, rest


def is_known(pool: Pool, settings: Parameters) -> bool:
    """Whether a server has said which ParameterStatus values these settings lead to, and what a login is told."""
    return settings.reported is not None and bool(pool.welcome) and pool.tenant.knows_routines()


async def judge(pool: Pool, settings: Parameters) -> None:
    """Have a server say it: once for equal settings, and again if what servers give was altered meanwhile."""
    altered = True
    while altered and not is_known(pool, settings):
        snapshot = pool.defaults.snapshot
        await Errand(pool).judge(settings)
        altered = pool.defaults.snapshot is not snapshot
        if altered:
            pool.tenant.parameter_sets.forget_reports()
