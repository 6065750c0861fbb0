"""Where a PostgreSQL server is, and as whom to log in there: connection URIs.

`postgresql://[user[:password]@][host][:port][/dbname][?name=value&…]`, every part percent-encoded, as
in "Connection URIs" of libpq's documentation. A host that is an absolute path is the folder of a Unix socket;
it is written `%2Frun%2Fpg` or `?host=/run/pg`. As in libpq, what stands before an @ that comes ahead of every / is
the login, whatever else it holds. Three things differ, on purpose: several hosts in one URI are refused; of several @
the last ends the login; and parameters that we don't know are kept in `ignored`, as an application's URI often has its
driver's.

A URI that could be read otherwise, with a part of the password as the host, port, database or a parameter, is refused:
those are shown. No ValueError raised here holds any part of the URI.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import quote, unquote

from pydantic import SecretStr

from dbproxy.config.secrecy import HIDDEN

DEFAULT_HOST = "localhost"
DEFAULT_PORT = 5432
NO_PASSWORD = SecretStr("")

_URI = re.compile(r"(?:postgres|postgresql)://(?P<rest>.*)", re.DOTALL)
_REST = re.compile(r"(?P<place>[^/?]*)(?:/(?P<dbname>[^?]*))?(?:\?(?P<query>.*))?", re.DOTALL)
_PLACE = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^:\[\]]*)(?::(?P<port>\d*))?", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")  # of a parameter
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+(%\w+)?", re.ASCII)
_ENCODE = "if the password holds one of : / ? # @ % it must be percent-encoded, such as %40 for @"

# The client's own business: it sends its application_name, and our connecting has server_connect_timeout.
SILENT = frozenset({"application_name", "fallback_application_name", "connect_timeout", "client_encoding"})
SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# What asks that the line be encrypted: to go on without would be worse than not to start.
DEMANDS_TLS = {
    "sslmode": ("require", "verify-ca", "verify-full"),
    "ssl": ("true", "1", "on", "yes", "require", "verify-ca", "verify-full", "no-verify"),
    "channel_binding": ("require",),
    "gssencmode": ("require",),
    "sslnegotiation": ("direct",),
}


@dataclass(frozen=True)
class Host:
    """One PostgreSQL server and a login there; `user` and `dbname` are empty where the URI names none."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    user: str = ""
    password: SecretStr = NO_PASSWORD
    dbname: str = ""
    ignored: tuple[str, ...] = field(default=(), compare=False)

    @property
    def is_unix(self) -> bool:
        return self.host.startswith("/")

    @property
    def address(self) -> str:
        """Where to connect, for people: `db.internal:5432`, `[::1]:5432` or the socket's path."""
        if self.is_unix:
            return f"{self.host}/.s.PGSQL.{self.port}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def with_dbname(self, dbname: str) -> Self:
        return replace(self, dbname=dbname)

    def __str__(self) -> str:
        """The URI, its password hidden."""
        secret = f":{HIDDEN}" if self.password.get_secret_value() else ""
        login = f"{quote(self.user, safe='')}{secret}@" if self.user or secret else ""
        place = f"{quote(self.host, safe='')}:{self.port}" if self.is_unix else self.address
        return f"postgresql://{login}{place}/{quote(self.dbname, safe='')}"


def parse_url(value: object) -> Host | None:
    """The server that the URI names; None where it is empty, as good as not set."""
    if value is None or value == "":
        return None
    if isinstance(value, Host):
        return value
    match = _URI.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a URL, such as "postgresql://user:password@host:5432/dbname"')
    login, rest = _split_login(match["rest"])
    found = _REST.fullmatch(rest)
    assert found is not None  # it matches any text
    parts = login | _split_place(found["place"]) | {"dbname": _decode(found["dbname"] or "")}
    parameters = _split_query(found["query"] or "")
    _refuse_tls(parameters)
    parts |= {name: text for name, text in parameters.items() if name in parts and text}
    known = SILENT | parts.keys() | {"sslmode"}
    return _build(parts, tuple(name for name in parameters if name not in known))


def _split_login(text: str) -> tuple[dict[str, str], str]:
    """User and password, and what comes behind them."""
    before, slash, behind = text.partition("/")
    # The last @ ends the login, as most drivers have it (libpq: the first). A host never holds one.
    login, _, where = before.rpartition("@")
    if "@" in behind:
        raise ValueError(f"must not hold an @ behind the first /; {_ENCODE}")
    user, colon, password = login.partition(":")
    if ":" in _decode(user) and not colon:
        raise ValueError("must have a plain : between user and password, not %3A")
    return {"user": _decode(user), "password": _decode(password)}, where + slash + behind


def _split_place(place: str) -> dict[str, str]:
    match = _PLACE.fullmatch(place)
    if "," in place:
        raise ValueError("must name one host; further hosts belong in [[replicas]]")
    if match is None:
        raise ValueError(f"must have a port number after the host; {_ENCODE}")
    host = match["host"][1:-1] if match["host"].startswith("[") else match["host"]
    return {"host": _decode(host), "port": match["port"] or ""}


def _split_query(query: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    if not all(equals and _NAME.fullmatch(_decode(name)) for name, equals, _ in pairs):
        raise ValueError(f"must have parameters of the form name=value behind the ?; {_ENCODE}")
    return {_decode(name): _decode(value) for name, _, value in pairs}


def _refuse_tls(parameters: dict[str, str]) -> None:
    mode = parameters.get("sslmode", "prefer")
    if mode not in SSLMODES:
        raise ValueError("has an unknown sslmode; valid in this version are disable, allow, prefer")
    for name, demands in DEMANDS_TLS.items():
        if parameters.get(name, "").lower() in demands:
            raise ValueError(
                f"asks for encryption to the server ({name}), which this version cannot do yet; "
                "use sslmode=prefer, allow or disable, on a network you trust"
            )


def _build(parts: dict[str, str], ignored: tuple[str, ...]) -> Host:
    host, port = parts["host"] or DEFAULT_HOST, parts["port"] or str(DEFAULT_PORT)
    if "," in host or "," in port:
        raise ValueError("must name one host; further hosts belong in [[replicas]]")
    if any("=" in parts[name] for name in ("host", "user", "dbname")):
        raise ValueError(
            "must have its parameters behind a ?, the first = belongs there (elsewhere it is %3D)"
        )
    colons = ":" in host and not host.startswith("/") and not _IPV6.fullmatch(host)
    if colons or re.search(r"[\s@]", host) or ("/" in host and not host.startswith("/")):
        raise ValueError(f"must name a host or the folder of a Unix socket; {_ENCODE}")
    if not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
        raise ValueError(f"must have a port number from 1 to 65535; {_ENCODE}")
    return Host(host, int(port), parts["user"], SecretStr(parts["password"]), parts["dbname"], ignored)


def _decode(text: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("must be percent-encoded from UTF-8") from None
    if "\0" in decoded:
        raise ValueError("must not hold %00")
    return decoded
