"""What libpq's parameters come to, TLS apart: each is used, is the client's own business, or is refused by its name.

libpq: "Parameter Key Words". No ValueError raised here holds a value.
"""

import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from dbproxy.config.conninfo import ENCODE, LIBPQ

DEFAULT_HOST = "localhost"
DEFAULT_PORT = 5432
METHODS = ("password", "md5", "gss", "sspi", "scram-sha-256", "oauth", "none")
MINORS = {"3.0": 0, "3.2": 2, "latest": 2}  # of the protocol's versions, by libpq's words
ATTRS = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")

# The client's own business, or without meaning by now.
SILENT = frozenset({"client_encoding", "sslcompression", "authtype", "tty"})
_KERBEROS = "dbproxy speaks neither Kerberos nor SSPI: leave it out, and have the server ask for a password"
_OAUTH = "dbproxy does not speak OAuth: leave it out, and use a password or a certificate"
_KEYS = "give the password instead, in the URL or in a passfile"
# By name: the values that ask for nothing, and what to do about the others.
REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "gssdelegation": (("0",), _KERBEROS),
    "gsslib": ((), _KERBEROS),
    "krbsrvname": (("postgres",), _KERBEROS),
    "oauth_client_id": ((), _OAUTH),
    "oauth_client_secret": ((), _OAUTH),
    "oauth_issuer": ((), _OAUTH),
    "oauth_scope": ((), _OAUTH),
    "replication": (("false", "off", "no", "0"), "leave it out: whoever replicates says so at its own login"),
    "requirepeer": ((), "leave it out, and let nobody else write to the socket's folder"),
    "scram_client_key": ((), _KEYS),
    "scram_server_key": ((), _KEYS),
    "sslkeylogfile": ((), "leave it out: it would let others decrypt the line"),
}
_SOCKET_OPTIONS = {
    "keepalives_idle": socket.TCP_KEEPIDLE,
    "keepalives_interval": socket.TCP_KEEPINTVL,
    "keepalives_count": socket.TCP_KEEPCNT,
    "tcp_user_timeout": socket.TCP_USER_TIMEOUT,  # milliseconds
}
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+(%\w+)?", re.ASCII)

SocketOptions = tuple[tuple[int, int, int], ...]  # level, name and value, as setsockopt takes them
DEFAULT_OPTIONS: SocketOptions = ((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),)


@dataclass(frozen=True)
class Place:
    """`hostaddr`: the address to connect to; empty: that of `host`."""

    host: str
    port: int
    hostaddr: str = ""


def refuse_unserved(parameters: Mapping[str, str]) -> None:
    """ValueError names a parameter of libpq's that asks for what cannot be had."""
    for name, (harmless, advice) in REFUSED.items():
        if parameters.get(name, "") not in ("", *harmless):
            raise ValueError(f"asks by {name} for what dbproxy cannot do; {advice}")


def read_required(parameters: Mapping[str, str]) -> str:
    """`require_auth`, without blanks."""
    said = parameters.get("require_auth", "").replace(" ", "")
    names = said.split(",")
    known = all(name.removeprefix("!") in METHODS for name in names) and len({*names}) == len(names)
    if said and not (known and len({name.startswith("!") for name in names}) == 1):
        raise ValueError(
            f"has an unknown require_auth; valid are {', '.join(METHODS)}, or all of them with a ! before"
        )
    return said


def list_foreign(parameters: Mapping[str, str]) -> tuple[str, ...]:
    """The names of parameters that are none of libpq's: a driver's."""
    return tuple(name for name in parameters if name not in LIBPQ and name != "ssl")


def read_places(parameters: Mapping[str, str]) -> tuple[Place, ...]:
    """Every host with its port, in their order; libpq: "Specifying Multiple Hosts"."""
    hosts = parameters.get("host", "").split(",")
    addresses = parameters.get("hostaddr", "").split(",")
    ports = parameters.get("port", "").split(",")
    if len(addresses) > 1 and not parameters.get("host"):
        hosts = [""] * len(addresses)
    for texts, what in ((addresses, "hostaddr"), (ports, "port")):
        if len(texts) not in (1, len(hosts)) or (len(texts) < len(hosts) and what == "hostaddr" and texts[0]):
            raise ValueError(f"must name as many {what}s as hosts, separated by commas")
    addresses = addresses if len(addresses) == len(hosts) else addresses * len(hosts)
    ports = ports if len(ports) == len(hosts) else ports * len(hosts)
    return tuple(map(_read_place, hosts, addresses, ports))


def _read_place(host: str, hostaddr: str, port: str) -> Place:
    colons = ":" in host and not host.startswith("/") and not _IPV6.fullmatch(host)
    if colons or re.search(r"[\s@]", host) or ("/" in host and not host.startswith("/")):
        raise ValueError(f"must name a host or the folder of a Unix socket; {ENCODE}")
    if hostaddr and not _is_address(hostaddr):
        raise ValueError("must have a numeric IP address as hostaddr; names belong in host")
    return Place(host or hostaddr or DEFAULT_HOST, _read_port(port) if port else DEFAULT_PORT, hostaddr)


def _read_port(port: str) -> int:
    if not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
        raise ValueError(f"must have a port number from 1 to 65535; {ENCODE}")
    return int(port)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def read_attrs(parameters: Mapping[str, str]) -> str:
    return _choose(parameters, "target_session_attrs", ATTRS)


def read_balancing(parameters: Mapping[str, str]) -> bool:
    """Whether hosts and addresses are tried in random order."""
    return _choose(parameters, "load_balance_hosts", ("disable", "random")) == "random"


def read_connect_timeout(parameters: Mapping[str, str]) -> float:
    """Seconds for each host; 0: not said."""
    return float(max(0, _read_number(parameters, "connect_timeout")))


def read_socket_options(parameters: Mapping[str, str]) -> SocketOptions:
    """That the kernel notices who is gone without a word; by default as often as it likes."""
    alive = _read_number(parameters, "keepalives", 1)
    return ((socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(alive != 0)), *_list_options(parameters, alive))


def _list_options(parameters: Mapping[str, str], alive: int) -> Iterator[tuple[int, int, int]]:
    for name, option in _SOCKET_OPTIONS.items():
        number = _read_number(parameters, name)
        if number > 32767 and name != "tcp_user_timeout":
            raise ValueError(f"must have a whole number of at most 32767 as {name}")
        if number > 0 and (alive or name == "tcp_user_timeout"):
            yield socket.IPPROTO_TCP, option, number


def read_minors(parameters: Mapping[str, str]) -> tuple[int, int]:
    """The 3.x that servers must speak at least, and that they are asked for: 3.0, as libpq does, if not told."""
    least = MINORS[_choose(parameters, "min_protocol_version", tuple(MINORS))]
    most = MINORS[_choose(parameters, "max_protocol_version", tuple(MINORS))]
    if least > most and parameters.get("max_protocol_version"):
        raise ValueError("has a min_protocol_version over its max_protocol_version")
    return least, max(least, most)


def read_startup(parameters: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What each server connection asks for at its start."""
    name = parameters.get("application_name") or parameters.get("fallback_application_name", "")
    asked = {"application_name": name, "options": parameters.get("options", "")}
    return tuple((name, value) for name, value in asked.items() if value)


def _choose(parameters: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    said = parameters.get(name) or choices[0]
    if said not in choices:
        raise ValueError(f"has an unknown {name}; valid are {', '.join(choices)}")
    return said


def _read_number(parameters: Mapping[str, str], name: str, default: int = 0) -> int:
    said = (parameters.get(name) or str(default)).strip()
    if not re.fullmatch(r"[+-]?\d{1,9}", said, re.ASCII):
        raise ValueError(f"must have a whole number as {name}")
    return int(said)
