"""Sockets that a service manager listens on and hands over when it starts us: systemd's protocol, sd_listen_fds(3).

The sockets stay the manager's: who connects while the proxy is started anew waits in their backlog.
"""

import socket
from collections.abc import Mapping, MutableMapping

from dbproxy.errors import ConfigurationError

FIRST = 3  # descriptor
POSTGRESQL, READ_ONLY, HTTP = ENTRIES = ("postgresql", "read-only", "http")
UNNAMED = ("", "unknown", "dbproxy.socket")  # what systemd calls a socket for which its unit has no name
VARIABLES = ("LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES")
FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


def find_entries(environ: Mapping[str, str], pid: int) -> list[str]:
    """Which entry each descriptor from `FIRST` on is of; none if they are meant for another process than `pid`."""
    if environ.get("LISTEN_PID", "") != str(pid):
        return []  # inherited from a parent that left its variables: the descriptors may be anything
    count = environ.get("LISTEN_FDS", "")
    if not count.isdecimal():
        raise ConfigurationError(f'LISTEN_FDS is "{count}": must be how many sockets are handed over')
    names = environ.get("LISTEN_FDNAMES", ":" * (int(count) - 1)).split(":") if int(count) else []
    if len(names) != int(count):
        raise ConfigurationError(f"LISTEN_FDNAMES has {len(names)} names for {count} sockets")
    return [name_entry(name) for name in names]


def name_entry(name: str) -> str:
    """ConfigurationError if there is none of that name."""
    if name in UNNAMED:
        return POSTGRESQL
    if name not in ENTRIES:
        raise ConfigurationError(
            f'a socket named "{name}" was handed over, and dbproxy has no such entry',
            hint=f"FileDescriptorName= of the socket unit must be one of {', '.join(ENTRIES)}.",
        )
    return name


def take_sockets(environ: MutableMapping[str, str], pid: int) -> dict[str, list[socket.socket]]:
    """The sockets that are handed over, by entry; the variables go. ConfigurationError if one cannot be used."""
    entries = find_entries(environ, pid)
    for variable in VARIABLES:
        environ.pop(variable, None)  # no child of ours is meant
    taken: dict[str, list[socket.socket]] = {}
    for descriptor, entry in enumerate(entries, FIRST):
        taken.setdefault(entry, []).append(take_socket(descriptor, entry))
    return taken


def take_socket(descriptor: int, entry: str) -> socket.socket:
    """ConfigurationError unless streams are listened for on it."""
    try:
        taken = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigurationError(
            f"descriptor {descriptor}, handed over for {entry}, is no socket: {error.strerror}"
        ) from error
    if taken.family not in FAMILIES or taken.type != socket.SOCK_STREAM:
        reason = "a TCP or Unix stream socket is needed: use ListenStream="
    elif not taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        reason = "nobody listens on it: use Accept=no"
    else:
        taken.set_inheritable(False)
        return taken
    taken.detach()  # not ours to close
    raise ConfigurationError(f"descriptor {descriptor}, handed over for {entry}, cannot be used", hint=reason)


def show_address(listening: socket.socket) -> str:
    """Where it listens; an abstract Unix socket has an @ in front."""
    name = listening.getsockname()
    if isinstance(name, tuple):
        return "{}:{}".format(*name[:2])
    return name if isinstance(name, str) else "@" + name.lstrip(b"\0").decode(errors="replace")
