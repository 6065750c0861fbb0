"""A client's login: what happens between connecting and the first query (slow lane).

PostgreSQL: "Start-up". A `Login` is the connection's protocol until the client is let in; then a `Client` (or the
console) takes its place. The login stays registered, with who it is (session.identity).
"""

import asyncio
from dataclasses import replace
from itertools import count
from time import monotonic, time
from typing import Any, Protocol

import structlog

from dbproxy.auth.client_login import Authenticator
from dbproxy.auth.scram import Keys
from dbproxy.auth.users import Users
from dbproxy.errors import (
    AdminShutdown,
    DatabaseDisabled,
    FeatureNotSupported,
    InvalidAuthorization,
    InvalidParameterValue,
    ProxyError,
    TooManyConnections,
    UnreadableStartup,
)
from dbproxy.net.link import Link
from dbproxy.net.listen import describe_peer
from dbproxy.pool.errand import Errand
from dbproxy.pool.insertions import STANDBY
from dbproxy.pool.parameters import Parameters
from dbproxy.pool.pool import Pool
from dbproxy.routing.router import Router
from dbproxy.routing.wishes import complain
from dbproxy.session.application_name import NAME_LIMIT, name_with_host
from dbproxy.session.authentication import authenticate
from dbproxy.session.client import Client
from dbproxy.session.house import House
from dbproxy.session.identity import Identity
from dbproxy.session.inbox import Inbox
from dbproxy.session.registry import Registry
from dbproxy.wire import build
from dbproxy.wire.startup import (
    MINOR,
    CancelRequest,
    GSSENCRequest,
    SSLRequest,
    StartupMessage,
    parse_startup,
    payload_length,
)

log = structlog.get_logger(__name__)
_ids = count(1)

CONSOLES = frozenset({"dbproxy", "pgbouncer"})
# What a session of a read-only entry asks for. libpq's target_session_attrs goes by this one (`read-only`), and by
# in_hot_standby (`standby`): by all that its session can see, the entry is one, if it has replicas behind it.
READ_ONLY = {"default_transaction_read_only": "on"}


class Console(Protocol):
    """Who else may become of a login (admin.console)."""

    @property
    def parameters(self) -> dict[str, str]: ...
    def data_received(self, data: bytes) -> None: ...
    def cancel(self) -> None: ...
    def disconnect(self, reason: str, error: ProxyError | None = None) -> None: ...


class LoginHouse(House, Protocol):
    """What a login needs of the proxy, beyond what its client does."""

    @property
    def users(self) -> Users: ...
    @property
    def authenticator(self) -> Authenticator: ...
    @property
    def registry(self) -> "Registry[Login]": ...
    @property
    def stopping(self) -> bool: ...
    def find_pool(self, database: str, user: str) -> Pool: ...
    async def follow_defaults(self, pool: Pool) -> None: ...
    def find_router(self, database: str, user: str) -> Router | None: ...
    def learn(self, user: str, keys: Keys) -> None: ...
    def open_console(self, login: "Login") -> Console: ...


class Login(Link):
    """One connection from an application, from accept to its end."""

    def __init__(self, house: LoginHouse, *, read_only: bool = False) -> None:
        """`read_only`: it came by the entry that takes no writes."""
        Link.__init__(self)
        self.house = house
        limit = house.settings.listen.max_message_size
        self.identity = Identity(next(_ids), monotonic(), time(), limit, read_only)
        self.pool: Pool | None = None
        self.router: Router | None = None  # where there are replicas
        self.client: Client | None = None
        self.console: Console | None = None
        self.inbox = Inbox(self)
        self.task: asyncio.Task[None] | None = None

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.attach(transport)
        address, port = describe_peer(transport)
        pid, key = self.house.registry.add(self)
        self.identity = replace(self.identity, pid=pid, key=key, address=address, port=port)
        self.task = asyncio.get_running_loop().create_task(self.run())

    def data_received(self, data: bytes) -> None:
        self.inbox.add(data)

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
            opening = await self.read_opening()
            if isinstance(opening, CancelRequest):
                await self.forward_cancel(opening)
            else:
                await self.let_in(opening)
        except UnreadableStartup as error:
            self.end(error.message)
        except ProxyError as error:
            self.refuse(error)
        except asyncio.CancelledError:
            raise
        except Exception:  # our own bug costs this client its connection, and nobody else anything
            log.exception("internal error", client=self.identity.id)
            self.refuse(ProxyError("internal error in the proxy"))

    async def read_opening(self) -> StartupMessage | CancelRequest:
        while True:
            size = 4 + payload_length(await self.inbox.peek(4))
            opening = parse_startup((await self.inbox.read(size))[4:])
            if isinstance(opening, SSLRequest | GSSENCRequest):
                self.write(b"N")
            else:
                return opening

    async def forward_cancel(self, request: CancelRequest) -> None:
        """PostgreSQL closes the connection when it has dealt with the request, and so do we."""
        task = self.house.cancel(request.pid, request.key)
        if task is not None:
            await asyncio.wait([task])
        self.end("")

    async def let_in(self, opening: StartupMessage) -> None:
        user, database = opening.user, opening.database
        self.identity = replace(self.identity, user=user, database=database)
        if opening.needs_negotiation:
            self.write(build.negotiate_protocol_version(MINOR, opening.protocol_options))
        if opening.parameters.get("replication", "false").lower() not in ("false", "off", "no", "0"):
            raise FeatureNotSupported(
                "replication connections cannot go through the proxy", hint="Connect to the server itself."
            )
        await self.authenticate()
        self.check_limits()
        if database in CONSOLES:
            self.enter_console()
            return
        pool = self.pool = self.house.find_pool(database, user)
        self.router = self.house.find_router(database, user)
        asked = self.ask(pool, {name.lower(): value for name, value in opening.settings().items()})
        await self.house.follow_defaults(pool)
        snapshot = pool.defaults.snapshot
        reported = await self.judge(pool, asked)
        while pool.defaults.snapshot is not snapshot:  # altered meanwhile
            snapshot = pool.defaults.snapshot
            pool.tenant.parameter_sets.forget_reports()
            reported = await self.judge(pool, asked)
        if self.identity.read_only:
            reported |= READ_ONLY | ({STANDBY: "on"} if self.router is not None else {})
        self.enter(pool, reported)

    def ask(self, pool: Pool, asked: dict[str, str]) -> dict[str, str]:
        """Note what it asks for; what servers are told of that. InvalidParameterValue if it asks for nonsense."""
        listed = self.house.settings.databases.get(self.identity.database)
        read_only = self.identity.read_only or (listed is not None and listed.read_only)
        asked = {**asked, **READ_ONLY} if read_only else asked
        for _, why in complain(asked):
            raise InvalidParameterValue(why)
        name = asked.get("application_name", "")
        if pool.settings.application_name_add_host:
            told = name_with_host(name, self.identity.address, self.identity.port)
            asked = {**asked, "application_name": told}
        settings = pool.tenant.parameter_sets.find(asked)
        self.identity = replace(self.identity, application_name=name, read_only=read_only, settings=settings)
        return asked

    async def authenticate(self) -> None:
        house, user = self.house, self.identity.user
        exchange = house.authenticator.begin(house.settings.auth.type, user, house.users.get(user))
        keys = await authenticate(exchange, self.inbox, self.write)
        if keys is not None:
            house.learn(user, keys)

    def check_limits(self) -> None:
        house = self.house
        if house.stopping:
            raise AdminShutdown("the proxy is shutting down")
        if self.identity.database in house.registry.disabled:
            raise DatabaseDisabled(f"database does not allow connections: {self.identity.database}")
        most = house.settings.pool.max_client_conn
        if len(house.registry) > most and self.identity.user not in house.settings.auth.admin_users:
            raise TooManyConnections(f"sorry, too many clients already (max_client_conn is {most})")

    async def judge(self, pool: Pool, asked: dict[str, str]) -> dict[str, str]:
        """The ParameterStatus values that the asked settings lead to; a server says so, once for equal settings.

        An ordinary application_name is what the client says it is: no server need be asked.
        """
        name = asked.get("application_name", "")
        plain = name.isascii() and name.isprintable() and len(name) <= NAME_LIMIT
        rest = {key: value for key, value in asked.items() if not (plain and key == "application_name")}
        settings: Parameters = pool.tenant.parameter_sets.find(rest)
        if settings.reported is None or not pool.welcome or not pool.tenant.knows_routines():
            await Errand(pool).judge(settings)
        reported = dict(settings.reported or {})
        if plain and name:
            reported["application_name"] = name
        return reported

    # --- let in, or not ---

    def enter(self, pool: Pool, reported: dict[str, str]) -> None:
        """`reported`: what the settings that it asked for lead to."""
        pool.stats.login_count += 1
        client = self.client = Client(self.identity, self.house, pool, self.router)
        client.news.reported.update({name.lower(): value for name, value in reported.items()})
        assert self.transport is not None
        client.attach(self.transport)
        self.welcome({**pool.welcome, **reported})
        if self.house.settings.log.connections:
            log.info("client login", **self.identity.describe())
        self.hand_over(client)

    def enter_console(self) -> None:
        auth, user = self.house.settings.auth, self.identity.user
        if user not in (*auth.admin_users, *auth.stats_users):
            raise InvalidAuthorization(
                f'user "{user}" may not use the console',
                hint="List the user in auth.admin_users or auth.stats_users.",
                sqlstate="42501",
            )
        self.console = self.house.open_console(self)
        self.welcome(self.console.parameters)
        log.info("console login", **self.identity.describe())
        self.hand_over(self.console)

    def welcome(self, parameters: dict[str, str]) -> None:
        self.write(
            build.authentication_ok()
            + b"".join(build.parameter_status(name, value) for name, value in parameters.items())
            + build.backend_key_data(self.identity.pid, self.identity.key)
            + build.ready_for_query(ord("I"))
        )

    def hand_over(self, heir: Any) -> None:
        """From here on the connection is the heir's, with what has come already.

        It does what asyncio asks of a Protocol, and is none (net.link).
        """
        transport = self.transport
        assert transport is not None
        self.task = None
        transport.set_protocol(heir)
        data = self.inbox.take_rest()
        self.closed = True  # for this protocol: the heir closes the connection
        if data:
            heir.data_received(data)

    def refuse(self, error: ProxyError) -> None:
        self.house.registry.login_failures[error.sqlstate] += 1
        log.warning(
            "client refused", sqlstate=error.sqlstate, error=error.message, **self.identity.describe()
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
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()
