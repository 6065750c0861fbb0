"""The sections of the settings: every key with its unit (by its type), its default and one sentence.

A class's docstring and its keys' sentences are the text of docs/configuration.md. `restart=True` marks what a
reload cannot change.
"""

import re
import shlex
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
    ValidationInfo,
    model_validator,
)

from dbproxy.config.cache import CacheKeys
from dbproxy.config.limits import LimitKeys
from dbproxy.config.monitoring import SlowQueryKeys
from dbproxy.config.reset import check_query, check_reset
from dbproxy.config.routing import RoutingKeys
from dbproxy.config.secrecy import HIDDEN, may_hold_secret
from dbproxy.config.section import Section, setting
from dbproxy.config.template import PLAIN, Template, parse_template
from dbproxy.config.units import Count, Duration, FileMode, Names, Port, Size, Unit
from dbproxy.config.url import NO_FILES, Host, parse_url

PoolMode = Literal["transaction", "session", "statement"]
EventLoop = Literal["dbproxy", "uvloop"]
TOKEN_NEEDED = "HTTP beyond this machine needs a token: set http.token"  # noqa: S105  # no password

_STORED = re.compile(r"md5[0-9a-f]{32}|SCRAM-SHA-256\$.*", re.DOTALL)

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


def check_command(command: str) -> str:
    """A command's words, quoted as in a shell."""
    try:
        words = shlex.split(command)
    except ValueError:
        raise ValueError(
            "has a quote or a backslash that nothing follows; words are quoted as in a shell"
        ) from None
    if command and not words:
        raise ValueError("must be a program and its arguments")
    return command


def show_command(command: str) -> str:
    """Its program: an argument may be a secret."""
    words = shlex.split(command)
    return " ".join([shlex.quote(words[0]), *([HIDDEN] if words[1:] else [])]) if words else ""


def check_token(token: SecretStr) -> SecretStr:
    """What an HTTP header can carry as one word."""
    text = token.get_secret_value()
    if not text.isascii() or any(character <= " " or character == "\x7f" for character in text):
        raise ValueError("must be ASCII without blanks, such as `openssl rand -hex 32` writes")
    return token


def show_secret(secret: SecretStr) -> str:
    return HIDDEN if secret.get_secret_value() else ""


def read_url(value: object, info: ValidationInfo) -> Host | None:
    """`info.context`: the environment that says where libpq's files are."""
    return parse_url(value, info.context or NO_FILES)


def show_url(host: Host | None) -> str:
    return str(host) if host else ""


ServerUrl = Annotated[Host | None, PlainValidator(read_url), PlainSerializer(show_url), Unit("URL", show_url)]
Secret = Annotated[SecretStr, AfterValidator(check_token), Unit("text", show_secret)]


def check_password(password: SecretStr) -> SecretStr:
    """PostgreSQL, too, takes what looks stored for that, never for a password."""
    if _STORED.fullmatch(password.get_secret_value()):
        raise ValueError(
            "must be the password itself; what PostgreSQL stores of it (SCRAM-SHA-256$…, md5…) belongs into auth.file"
        )
    return password


Password = Annotated[SecretStr, AfterValidator(check_password), Unit("text", show_secret)]
ExistingFile = Annotated[Path | None, BeforeValidator(find_file), Unit("path", str)]


def read_fair_by(value: object) -> Template | None:
    if value is None or value == "":
        return None
    return parse_template(f"{{{value}}}" if value in PLAIN else value)


FairBy = Annotated[
    Template | None,
    BeforeValidator(read_fair_by),
    Unit("`user` or a template", lambda template: str(template or "")),
]


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
    unix_socket_dir: str = setting(
        "",
        "Folder for the Unix socket; empty for none; `@name` is one in the abstract namespace.",
        restart=True,
    )
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
                f"{TOKEN_NEEDED} (DBPROXY_HTTP__TOKEN) to a long random text, "
                "or http.host to 127.0.0.1, or http.port to 0"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches what listens there; a name other than localhost may be any address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class PrimarySettings(Section):
    """The PostgreSQL server that takes writes."""

    url: ServerUrl = setting(
        "",
        "The server and a login there, as `postgresql://user:password@host:5432/db` or in any other form that libpq "
        "takes; of several hosts the one that takes writes is found. Also `DATABASE_URL`.",
    )


def name_host(name: str, number: int) -> str:
    """The name of one of several hosts in a URL; the first has that of the URL."""
    return name if number == 1 else f"{name}-{number}"


class ReplicaSettings(Section):
    """A streaming replica, for reads; it may become the primary."""

    name: str = setting("", "Name in logs and metrics; `replica1`, `replica2` and so on where not given.")
    url: ServerUrl = setting("", "The server and a login there; the list is also `DATABASE_READ_REPLICAS`.")
    weight: Count = setting(1, "Its share of reads against the others' weights; 0 gives it none.")

    @model_validator(mode="after")
    def has_a_url(self) -> Self:
        if self.url is None:
            raise ValueError("a replica needs its url")
        if self.url.attrs in ("primary", "read-write"):
            raise ValueError("a replica takes no writes: leave target_session_attrs out of its url")
        return self

    def hosts(self) -> tuple[Host, ...]:
        return self.url.each() if self.url is not None else ()

    def names(self) -> tuple[str, ...]:
        """Of each host of its URL, which are replicas each: `name`, `name-2` and so on."""
        return tuple(name_host(self.name, number) for number in range(1, len(self.hosts()) + 1))


class PoolKeys(Section):
    """What can be set for one database or one user: its pools' mode, sizes and times."""

    mode: PoolMode = setting("transaction", "How long a client keeps a server connection.")
    size: Count = setting(50, "Server connections of one pool, that is of one database and user.", ge=1)
    min_pool_size: Count = setting(0, "Server connections that a pool keeps open without clients.")
    reserve_size: Count = setting(5, "Server connections beyond `size` for clients that wait too long.")
    reserve_timeout: Duration = setting(
        "5s", "How long a client waits before the reserve is used; 0 turns the reserve off."
    )
    max_client_memory: Size = setting(
        "64MiB",
        "A client for which more is kept in memory (what it has sent and waits, answers that it does not read, its "
        "settings, channels and prepared statements) is disconnected; 0 is no limit.",
    )
    max_prepared_statements: Count = setting(
        200, "Prepared statements kept on one server connection; 0 turns their support off."
    )
    query_wait_timeout: Duration = setting(
        "120s", "How long a client waits for a server before it gets an error; 0 is for ever."
    )
    fair_by: FairBy = setting(
        "",
        "Clients that wait for a server are served in turns: one of each `user`, or of each key made of "
        "`{setting.app.tenant_id}` and the like; empty: first come, first served, or by the key "
        "of the first rule of limits.",
    )
    max_waiting: Count = setting(
        0,
        "Clients that may wait for a server of one pool, the primary's failover included: those who come later get an "
        "error; 0 is as many as are connected.",
    )
    query_timeout: Duration = setting(
        "0s",
        "A query that takes longer, its wait for a server included, is cancelled and fails with 57014; its client "
        "stays, unless the server does not obey within `cancel_wait_timeout`; 0 is never.",
    )
    transaction_timeout: Duration = setting(
        "0s",
        "A client whose transaction takes longer is disconnected (25P04), as PostgreSQL 17 does; 0 is never.",
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
        "30s", "A server connection idle for so long is asked whether it still answers; 0 asks never."
    )
    server_check_query: Annotated[str, AfterValidator(check_query)] = setting(
        "<empty>",
        "What it is asked: SQL, or `<empty>`, a Query without a statement. A failure, or no answer within "
        "`server_connect_timeout`, costs the server connection. Empty for no question.",
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


class DatabasePoolKeys(PoolKeys):
    """What can be set for one database: limits that all its pools share."""

    max_db_connections: Count = setting(
        0,
        "Most server connections of one database, over all its users and hosts, which take turns; 0 is no limit but "
        "the pools' own.",
    )
    max_db_client_connections: Count = setting(
        0, "Most clients of one database; others are refused (53300); 0 is no limit."
    )


class UserPoolKeys(PoolKeys):
    """What can be set for one user: limits that all its pools share."""

    max_user_connections: Count = setting(
        0,
        "Most server connections of one user, over all databases and hosts; 0 is as many as pools are allowed.",
    )
    max_user_client_connections: Count = setting(
        0, "Most clients of one user; others are refused (53300); 0 is no limit."
    )


class PoolSettings(DatabasePoolKeys, UserPoolKeys):
    """How server connections are lent."""

    max_client_conn: Count = setting(10000, "Most clients connected at once.", ge=1)
    max_total_memory: Size = setting(
        "1GiB",
        "While more is kept for all clients together, 1 MiB of each one's prepared statements aside, logins are "
        "refused (53200) and the client for which most is kept is disconnected; 0 is no limit.",
    )
    statement_cache_size: Count = setting(
        5000, "Prepared statements' texts remembered for all clients together.", restart=True, ge=1
    )
    client_login_timeout: Duration = setting(
        "60s", "A client that has not logged in by then is disconnected; 0 is for ever."
    )
    shutdown_timeout: Duration = setting(
        "30s", "How long a stop waits for open transactions; 0 waits for none of them."
    )


class PasswordKeys(Section):
    """The password with which a database's or user's servers are logged in to, where it is in no URL."""

    password: Password = setting("", "The password.")
    password_file: ExistingFile = setting(
        "", "A file that holds the password; read for each server connection."
    )
    password_command: Annotated[str, AfterValidator(check_command), Unit("text", show_command)] = setting(
        "", "A command that prints the password, such as a cloud's login token; run without a shell."
    )
    password_lifetime: Duration = setting(
        "10m", "How long what the command printed counts; it is run again also when a server refuses it."
    )

    def has_password(self) -> bool:
        return any(self._passwords())

    def _passwords(self) -> tuple[object, ...]:
        return self.password.get_secret_value(), self.password_file, self.password_command

    @model_validator(mode="after")
    def has_one_password(self) -> Self:
        if sum(map(bool, self._passwords())) > 1:
            raise ValueError("must have one of password, password_file and password_command")
        return self


class DatabaseSettings(PasswordKeys):
    """What differs for one database: `[databases.NAME]`, or `[databases."*"]` for all that are not listed.

    Without the latter they are passed through.
    """

    user: str = setting("", "As whom its servers are logged in to, whoever its clients are.")
    auth_user: str = setting("", "As `auth.user`, for this database.")
    auth_query: str = setting("", "As `auth.query`, for this database.")
    auth_dbname: str = setting("", "As `auth.dbname`, for this database.")
    dbname: str = setting("", "The database's name on the server, where it is another.")
    read_only: bool = setting(
        default=False,
        description="Whether its sessions begin with `default_transaction_read_only = on`, and replicas answer all "
        "that they can.",
    )
    primary: PrimarySettings = Field(default_factory=PrimarySettings)
    pool: DatabasePoolKeys = Field(default_factory=DatabasePoolKeys)
    routing: RoutingKeys = Field(default_factory=RoutingKeys)
    cache: CacheKeys = Field(default_factory=CacheKeys)
    limits: LimitKeys = Field(default_factory=LimitKeys)
    slow_query: SlowQueryKeys = Field(default_factory=SlowQueryKeys)


class UserSettings(PasswordKeys):
    """What differs for one user: `[users.NAME]`, over what the database says."""

    pool: UserPoolKeys = Field(default_factory=UserPoolKeys)
    routing: RoutingKeys = Field(default_factory=RoutingKeys)
    cache: CacheKeys = Field(default_factory=CacheKeys)
    limits: LimitKeys = Field(default_factory=LimitKeys)
    slow_query: SlowQueryKeys = Field(default_factory=SlowQueryKeys)
