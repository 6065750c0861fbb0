"""The sections of the settings: every key with its unit (by its type), its default and one sentence.

A class's docstring and its keys' sentences are the text of docs/configuration.md. `restart=True` marks what a
reload cannot change.
"""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    model_validator,
)

from dbproxy.config.reset import check_reset
from dbproxy.config.routing import RoutingKeys
from dbproxy.config.secrecy import HIDDEN, may_hold_secret
from dbproxy.config.section import Section, setting
from dbproxy.config.units import Count, Duration, FileMode, Names, Port, Size, Unit
from dbproxy.config.url import Host, parse_url

PoolMode = Literal["transaction", "session", "statement"]
AuthType = Literal["scram-sha-256", "md5", "trust"]
EventLoop = Literal["dbproxy", "uvloop"]
Level = Literal["debug", "info", "warning", "error"]
AreaLevel = Literal["", "debug", "info", "warning", "error"]
AREAS = ("admin", "app", "cluster", "net", "observe", "pool", "routing", "session")  # packages that log
Explain = Literal["off", "reads", "all"]


PINS = ("temp", "lock", "cursor", "load", "seed", "sequence", "set_config", "function")


def check_pins(names: tuple[str, ...]) -> tuple[str, ...]:
    unknown = next((name for name in names if name not in PINS), None)
    if unknown is not None:
        shown = HIDDEN if may_hold_secret(unknown) else unknown
        raise ValueError(f"no such pin: {shown}; one of {', '.join(PINS)}")
    return names


PinNames = Annotated[Names, AfterValidator(check_pins)]


def find_file(value: object) -> Path | None:
    """The file's path, checked to be there: a missing one is a mistake, to be told with its line."""
    if value is None or value == "":
        return None
    if not isinstance(value, str | Path):
        raise ValueError("must be the path of a file, in quotes")  # pydantic hears no TypeError
    if not Path(value).is_file():
        raise ValueError("no such file; relative paths start at the configuration file's folder")
    return Path(value)


def check_token(token: SecretStr) -> SecretStr:
    """What an HTTP header can carry as one word."""
    text = token.get_secret_value()
    if not text.isascii() or any(character <= " " or character == "\x7f" for character in text):
        raise ValueError("must be ASCII without blanks, such as `openssl rand -hex 32` writes")
    return token


def show_secret(secret: SecretStr) -> str:
    return HIDDEN if secret.get_secret_value() else ""


def show_url(host: Host | None) -> str:
    return str(host) if host else ""


ServerUrl = Annotated[
    Host | None, PlainValidator(parse_url), PlainSerializer(show_url), Unit("URL", show_url)
]
Secret = Annotated[SecretStr, AfterValidator(check_token), Unit("text", show_secret)]
ExistingFile = Annotated[Path | None, BeforeValidator(find_file), Unit("path", str)]


class ListenSettings(Section):
    """Where applications connect."""

    host: Names = setting(
        "127.0.0.1", "Addresses to listen on, separated by commas; empty for no TCP at all.", restart=True
    )
    port: Port = setting(
        6432, "TCP port, also part of the Unix socket's name; 0 takes any free port.", restart=True
    )
    read_only_port: Port = setting(
        0,
        "TCP port, or 0 for none, of an entry that takes no writes: as `read_only` of every database.",
        restart=True,
    )
    unix_socket_dir: str = setting("", "Folder for the Unix socket; empty for none.", restart=True)
    unix_socket_mode: FileMode = setting("0777", "Permissions of the Unix socket.", restart=True)
    backlog: Count = setting(
        1024, "Connections that the kernel may hold until they are accepted.", restart=True, ge=1
    )
    event_loop: EventLoop = setting(
        "dbproxy",
        "What waits for the sockets: `dbproxy` serves them while it waits; `uvloop` needs more CPU time for a query.",
        restart=True,
    )
    max_message_size: Size = setting(
        "16MiB",
        "Largest client message that must be held whole, such as Parse; rows and COPY data are not limited.",
        ge=1024,
        le=1024**3,
    )

    @model_validator(mode="after")
    def listens_somewhere(self) -> Self:
        if not self.host and not self.unix_socket_dir:
            raise ValueError("nothing to listen on: set listen.host or listen.unix_socket_dir")
        return self


class HttpSettings(Section):
    """Where metrics and health are served over HTTP."""

    host: str = setting(
        "127.0.0.1", "Address to listen on; one that others reach, too, needs a `token`.", restart=True
    )
    port: Port = setting(9127, "TCP port; 0 turns the HTTP endpoints off.", restart=True)
    token: Secret = setting(
        "",
        "What `Authorization: Bearer …` must carry for everything but `/health` and `/health/ready`; empty asks for "
        "nothing.",
    )
    detailed_health: bool = setting(
        default=True,
        description="Whether there is `/health/detailed`; also `DETAILED_HEALTH_CHECK_ENABLED`.",
    )

    @model_validator(mode="after")
    def is_guarded(self) -> Self:
        if self.port and not is_loopback(self.host) and not self.token.get_secret_value():
            raise ValueError(
                "HTTP beyond this machine needs a token: set http.token (DBPROXY_HTTP__TOKEN) to a long random text, "
                "or http.host to 127.0.0.1, or http.port to 0"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches what listens there; a name other than localhost may be any address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class AuthSettings(Section):
    """How clients log in."""

    type: AuthType = setting("scram-sha-256", "How a client proves who it is; `trust` asks for no proof.")
    file: ExistingFile = setting(
        "",
        "Users and passwords in PgBouncer's `userlist.txt` format, beside those in the servers' URLs; "
        "a relative path starts at the configuration file's folder.",
    )
    admin_users: Names = setting(["dbproxy"], "Users who may do everything in the console database.")
    stats_users: Names = setting([], "Users who may only read in the console database.")


class PrimarySettings(Section):
    """The PostgreSQL server that takes writes."""

    url: ServerUrl = setting(
        "",
        "The server and a login there, as `postgresql://user:password@host:5432/db`; also `DATABASE_URL`.",
    )


class ReplicaSettings(Section):
    """A streaming replica, for reads; it may become the primary."""

    name: str = setting("", "Name in logs and metrics; `replica1`, `replica2` and so on where not given.")
    url: ServerUrl = setting("", "The server and a login there; the list is also `DATABASE_READ_REPLICAS`.")
    weight: Count = setting(1, "Its share of reads against the others' weights; 0 gives it none.")

    @model_validator(mode="after")
    def has_a_url(self) -> Self:
        if self.url is None:
            raise ValueError("a replica needs its url")
        return self


class PoolKeys(Section):
    """What can be set for one database or one user: its pools' mode, sizes and times."""

    mode: PoolMode = setting("transaction", "How long a client keeps a server connection.")
    size: Count = setting(50, "Server connections of one pool, that is of one database and user.", ge=1)
    min_pool_size: Count = setting(0, "Server connections that a pool keeps open without clients.")
    reserve_size: Count = setting(5, "Server connections beyond `size` for clients that wait too long.")
    reserve_timeout: Duration = setting(
        "5s", "How long a client waits before the reserve is used; 0 turns the reserve off."
    )
    max_prepared_statements: Count = setting(
        200, "Prepared statements kept on one server connection; 0 turns their support off."
    )
    query_wait_timeout: Duration = setting(
        "120s", "How long a client waits for a server before it gets an error; 0 is for ever."
    )
    max_waiting: Count = setting(
        0,
        "Clients that may wait for a server of one pool, the primary's failover included: those who come later get an "
        "error; 0 is as many as are connected.",
    )
    client_idle_timeout: Duration = setting("0s", "A client idle for longer is disconnected; 0 is never.")
    idle_transaction_timeout: Duration = setting(
        "0s",
        "A client idle inside a transaction, or silent amid a request, for longer is disconnected; 0 is never.",
    )
    server_connect_timeout: Duration = setting(
        "15s", "Longest that connecting and logging in to a server may take; 0 is for ever."
    )
    server_login_retry: Duration = setting("15s", "Longest pause before a failed connect is tried again.")
    server_idle_timeout: Duration = setting(
        "600s", "A server connection unused for longer is closed; 0 is never."
    )
    server_lifetime: Duration = setting(
        "3600s", "A server connection older than this is closed when it is next free; 0 is never."
    )
    server_check_delay: Duration = setting(
        "30s", "A server connection idle for longer is checked before it is lent; 0 checks always."
    )
    cancel_wait_timeout: Duration = setting(
        "10s", "How long a cancel request may wait for its connection to the server; 0 is for ever."
    )
    read_functions: bool = setting(
        default=True,
        description="Whether the sources of a database's functions and views are read, to know which of them change "
        "a session, and which a replica may run; without, only reads that use neither tables nor functions of the "
        "database go to replicas.",
    )
    follow_defaults: bool = setting(
        default=True,
        description="Whether servers are asked what they give new sessions: so that what `ALTER ROLE … SET`, `ALTER "
        "DATABASE … SET` and a changed configuration file say holds for every login after it, and a replica's own "
        "configuration does not show.",
    )
    refuse_pins: PinNames = setting(
        [],
        "Reasons for which no client may keep a server connection beyond its transaction: `temp`, `lock`, `cursor`, "
        "`load`, `seed`, `sequence`, `set_config`, `function`. A statement that would is refused with an error.",
    )
    application_name_add_host: bool = setting(
        default=False,
        description="Whether PostgreSQL sees each client's address behind its `application_name`, as in "
        "`app - 10.0.0.1:5432`; the settings of no two clients are equal then. For those that log in from then on.",
    )
    server_reset_query: Annotated[str, AfterValidator(check_reset)] = setting(
        "DISCARD ALL", "Cleans a server connection that leaves its client in session mode; empty for nothing."
    )


class PoolSettings(PoolKeys):
    """How server connections are lent."""

    max_client_conn: Count = setting(10000, "Most clients connected at once.", ge=1)
    statement_cache_size: Count = setting(
        5000, "Prepared statements' texts remembered for all clients together.", restart=True, ge=1
    )
    client_login_timeout: Duration = setting(
        "60s", "A client that has not logged in by then is disconnected; 0 is for ever."
    )
    shutdown_timeout: Duration = setting(
        "30s", "How long a stop waits for open transactions; 0 waits for none of them."
    )


class SlowQueryKeys(Section):
    """What can be set for one database or one user: which queries are logged as slow, and what with them."""

    enabled: bool = setting(default=True, description="Whether slow queries are logged.")
    threshold: Duration = setting("100ms", "A query that takes longer is logged; 0 logs every query.")
    limit: Count = setting(
        20,
        "Lines a second for one database and user; of more slow queries a sample is logged, and how many there were; 0 "
        "logs all.",
    )
    explain: Explain = setting(
        "off",
        "Whether the plan of a slow query is logged, too, once an hour for each statement: of `reads`, of `all` "
        "(INSERT, UPDATE, DELETE and MERGE, too), or `off`. It is a plain EXPLAIN, which runs nothing, on a server "
        "connection that nobody waits for.",
    )


class SlowQuerySettings(SlowQueryKeys):
    """Which queries are logged as slow."""


class LogSettings(Section):
    """What is logged, and how. `SET log.pool = 'debug'` on the console changes a level until the next RELOAD."""

    level: Level = setting("info", "The least important level that is logged.")
    format: Literal["auto", "json", "console"] = setting(
        "auto",
        "JSON lines, or text for people; `auto` is text on a terminal and JSON elsewhere.",
        restart=True,
    )
    connections: bool = setting(
        default=True, description="Whether each client's login and disconnect is logged."
    )
    flood_limit: Count = setting(
        50, "Lines a second of one kind of event; of more only the number is logged; 0 logs all."
    )
    parameters: bool = setting(
        default=False,
        description="Whether lines about slow queries show the values in them: literals and parameters. What is "
        "known by its form is hidden all the same (passwords, tokens, e-mail and card numbers), the rest is not.",
    )
    admin: AreaLevel = setting("", "The level for the console and HTTP; where empty, `level`.")
    app: AreaLevel = setting("", "The level for start, stop and reload.")
    cluster: AreaLevel = setting("", "The level for hosts: their state, the primary, lag, probes.")
    net: AreaLevel = setting("", "The level for listening.")
    observe: AreaLevel = setting("", "The level for slow queries and their plans.")
    pool: AreaLevel = setting("", "The level for server connections.")
    routing: AreaLevel = setting("", "The level for where reads go.")
    session: AreaLevel = setting("", "The level for clients: logins, pins, refused requests.")

    def areas(self) -> dict[str, str]:
        """The levels of areas that have their own."""
        return {area: level for area in AREAS if (level := getattr(self, area))}


class DatabaseSettings(Section):
    """What differs for one database: `[databases.NAME]`. Databases that are not listed are passed through."""

    dbname: str = setting("", "The database's name on the server, where it is another.")
    read_only: bool = setting(
        default=False,
        description="Whether its sessions begin with `default_transaction_read_only = on`, and replicas answer all "
        "that they can.",
    )
    primary: PrimarySettings = Field(default_factory=PrimarySettings)
    pool: PoolKeys = Field(default_factory=PoolKeys)
    routing: RoutingKeys = Field(default_factory=RoutingKeys)
    slow_query: SlowQueryKeys = Field(default_factory=SlowQueryKeys)


class UserSettings(Section):
    """What differs for one user: `[users.NAME]`, over what the database says."""

    pool: PoolKeys = Field(default_factory=PoolKeys)
    routing: RoutingKeys = Field(default_factory=RoutingKeys)
    slow_query: SlowQueryKeys = Field(default_factory=SlowQueryKeys)
