"""Where PostgreSQL servers are, and as whom to log in there: what a connection string means.

dbproxy.config.conninfo says how it is written; libpq's documentation, "Parameter Key Words", what it may say. A host
that is an absolute path is the folder of a Unix socket; one that is not said is localhost. Files that the string leads
to, a service's and one of passwords, are read with it: so a reload reads them again.

No ValueError raised here holds any part of the string.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Self
from urllib.parse import quote

from pydantic import SecretStr

from dbproxy.config.conninfo import NO_URL, read_conninfo
from dbproxy.config.parameters import (
    DEFAULT_HOST,
    DEFAULT_OPTIONS,
    DEFAULT_PORT,
    SocketOptions,
    list_foreign,
    read_attrs,
    read_balancing,
    read_connect_timeout,
    read_minors,
    read_places,
    read_required,
    read_socket_options,
    read_startup,
    refuse_unserved,
)
from dbproxy.config.passfile import explain_unusable, find_passfile, look_up
from dbproxy.config.secrecy import HIDDEN
from dbproxy.config.services import read_service

NO_PASSWORD = SecretStr("")
NO_FILES: Mapping[str, str] = MappingProxyType({})

SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# Drivers' own `ssl` (JDBC, node-postgres, asyncpg), in libpq's words.
SSL = dict.fromkeys(("true", "1", "on", "yes", "no-verify"), "require") | dict.fromkeys(
    ("false", "0", "off", "no"), "disable"
)
# What is asked for and cannot be had: to go on without would be worse than not to start.
UNSERVED = {
    "gssencmode": "encryption by GSSAPI",
    "sslpassword": "an encrypted key; decrypt it, such as by `openssl pkey -in KEY -out PLAIN`",
    "sslcrldir": "a folder of revocation lists; put them into one file and name that by sslcrl",
}
CHOICES = {
    "sslmode": SSLMODES,
    "sslnegotiation": ("postgres", "direct"),
    "channel_binding": ("disable", "prefer", "require"),
    "sslcertmode": ("disable", "allow", "require"),
    "ssl_min_protocol_version": ("", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    "ssl_max_protocol_version": ("", "TLSv1.2", "TLSv1.3"),
    "sslsni": ("0", "1"),
}


@dataclass(frozen=True)
class TlsWish:
    """What a URI says of TLS, in libpq's words ("Parameter Key Words"); empty: not said, `[tls]` has it."""

    sslmode: str = ""
    sslrootcert: str = ""  # a file, or `system`
    sslcert: str = ""
    sslkey: str = ""
    sslcrl: str = ""
    sslsni: bool = True
    sslnegotiation: str = "postgres"
    channel_binding: str = "prefer"
    ssl_min_protocol_version: str = ""
    ssl_max_protocol_version: str = ""
    sslcertmode: str = "allow"
    require_auth: str = ""


TLS_NAMES = frozenset(TlsWish.__dataclass_fields__)


@dataclass(frozen=True)
class Host:
    """One PostgreSQL server and a login there; `user` and `dbname` are empty where the string names none.

    Where the string names several, this is the first of them, and `others` are the rest.
    """

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    user: str = ""
    password: SecretStr = NO_PASSWORD
    dbname: str = ""
    tls: TlsWish = TlsWish()
    ignored: tuple[str, ...] = field(default=(), compare=False)  # parameters of a driver's
    remarks: tuple[str, ...] = field(default=(), compare=False)  # of what does not do what one may think
    hostaddr: str = ""  # where to connect, instead of looking up `host`
    attrs: str = "any"  # target_session_attrs
    balances: bool = False  # load_balance_hosts=random
    connect_timeout: float = 0.0  # seconds; 0: not said
    minors: tuple[int, int] = (0, 0)  # min_protocol_version and max_protocol_version: 3.x
    socket_options: SocketOptions = DEFAULT_OPTIONS
    startup: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # parameters that servers are told
    others: tuple[Self, ...] = ()

    @property
    def is_unix(self) -> bool:
        return self.host.startswith("/")

    @property
    def address(self) -> str:
        """Where to connect, for people: `db.internal:5432`, `[::1]:5432` or the socket's path."""
        if self.is_unix:
            return f"{self.host}/.s.PGSQL.{self.port}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def each(self) -> tuple[Self, ...]:
        """Every server that is named, alone."""
        return (replace(self, others=()), *self.others)

    def with_dbname(self, dbname: str) -> Self:
        others = tuple(other.with_dbname(dbname) for other in self.others)
        return replace(self, dbname=dbname, others=others)

    def __str__(self) -> str:
        """The URI, its password hidden."""
        secret = f":{HIDDEN}" if self.password.get_secret_value() else ""
        login = f"{quote(self.user, safe='')}{secret}@" if self.user or secret else ""
        places = (
            f"{quote(one.host, safe='')}:{one.port}" if one.is_unix else one.address for one in self.each()
        )
        return f"postgresql://{login}{','.join(places)}/{quote(self.dbname, safe='')}"


def parse_url(value: object, environ: Mapping[str, str] = NO_FILES) -> Host | None:
    """The server that a connection string names; None where it is empty, as good as not set.

    `environ` says where libpq's files are: HOME, PGPASSFILE, PGSERVICEFILE, PGSYSCONFDIR.
    """
    if value is None or value == "":
        return None
    if isinstance(value, Host):
        return value
    if not isinstance(value, str):
        raise ValueError(NO_URL)  # pydantic hears no TypeError
    parameters = read_conninfo(value)
    if name := parameters.get("service"):
        parameters = read_service(name, parameters.get("servicefile", ""), environ) | parameters
    return _build(parameters, environ)


def read_tls(parameters: Mapping[str, str]) -> TlsWish:
    """What connection parameters say of TLS. ValueError if it makes no sense, or cannot be had."""
    for name, what in UNSERVED.items():
        if parameters.get(name, "") not in ("", "disable", "prefer"):
            raise ValueError(f"asks by {name} for what dbproxy cannot do: {what}")
    said = {name: text for name, text in parameters.items() if name in TLS_NAMES and text}
    if "ssl" in parameters and "sslmode" not in said:
        said["sslmode"] = SSL.get(parameters["ssl"].lower(), parameters["ssl"])
    if said.get("sslmode") == "no-verify":  # node-postgres's
        said["sslmode"] = "require"
    for name, choices in CHOICES.items():
        if said.get(name, choices[0]) not in choices:
            raise ValueError(f"has an unknown {name}; valid are {', '.join(filter(None, choices))}")
    complete(said)
    sni = said.pop("sslsni", "1") == "1"
    return TlsWish(**said, sslsni=sni)


def complete(said: dict[str, str]) -> None:
    """Add what follows from what was `said`. ValueError if one thing contradicts another."""
    if said.get("sslrootcert") == "system" and said.setdefault("sslmode", "verify-full") != "verify-full":
        raise ValueError(
            'has a weak sslmode, which may not be used with sslrootcert=system; use "verify-full"'
        )
    strong = SSLMODES[SSLMODES.index("require") :]
    if said.get("sslnegotiation") == "direct" and said.setdefault("sslmode", "require") not in strong:
        raise ValueError(
            f"has a weak sslmode, which may not be used with sslnegotiation=direct; use {', '.join(strong)}"
        )
    least, most = (said.get(f"ssl_{end}_protocol_version", "") for end in ("min", "max"))
    if most and least > most:
        raise ValueError("has an ssl_min_protocol_version above its ssl_max_protocol_version")


def _build(parameters: Mapping[str, str], environ: Mapping[str, str]) -> Host:
    if any("=" in parameters.get(name, "") for name in ("host", "user", "dbname")):
        raise ValueError(
            "must have its parameters behind a ?, the first = belongs there (elsewhere it is %3D); "
            "as key words and values each needs its value"
        )
    refuse_unserved(parameters)
    host = Host(
        user=parameters.get("user", ""),
        password=SecretStr(parameters.get("password", "")),
        dbname=parameters.get("dbname", ""),
        tls=replace(read_tls(parameters), require_auth=read_required(parameters)),
        ignored=list_foreign(parameters),
        attrs=read_attrs(parameters),
        balances=read_balancing(parameters),
        connect_timeout=read_connect_timeout(parameters),
        minors=read_minors(parameters),
        socket_options=read_socket_options(parameters),
        startup=read_startup(parameters),
    )
    passfile = parameters.get("passfile", "")
    first, *others = (
        _fill_password(
            replace(host, host=place.host, port=place.port, hostaddr=place.hostaddr), passfile, environ
        )
        for place in read_places(parameters)
    )
    return replace(first, others=tuple(others))


def _fill_password(host: Host, file: str, environ: Mapping[str, str]) -> Host:
    """With the password that a passfile has, where the string has none."""
    if host.password.get_secret_value() or not host.user or not (file or environ):
        return host
    path = Path(file) if file else find_passfile(environ)
    password = look_up(path, host.host, host.port, host.dbname or host.user, host.user)
    if password:
        return replace(host, password=SecretStr(password))
    unusable = explain_unusable(path)
    return replace(host, remarks=(unusable,)) if unusable else host
