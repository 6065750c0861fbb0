"""What a service manager is told of the process: systemd's protocol, sd_notify(3). Assignments in a datagram."""

import os
import socket
import time
from collections.abc import Mapping, MutableMapping

import structlog

log = structlog.get_logger(__name__)

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


def find_address(environ: Mapping[str, str]) -> str:
    """Of the manager's Unix socket, as the kernel takes it; empty if there is none."""
    address = environ.get("NOTIFY_SOCKET", "")
    return "\0" + address[1:] if address.startswith("@") else address


def read_watchdog(environ: Mapping[str, str], pid: int) -> float:
    """Seconds between two signs of life: half of those after which the manager gives up; 0: it expects none."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    meant = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
    return int(microseconds) / 2e6 if meant and microseconds.isdecimal() else 0.0


class Notifier:
    """To the manager that the environment names, if any. What it does not take now, goes with what it is told next."""

    def __init__(self, environ: MutableMapping[str, str], pid: int = 0) -> None:
        self.address = find_address(environ)
        self.watchdog = read_watchdog(environ, pid or os.getpid()) if self.address else 0.0
        for variable in VARIABLES:
            environ.pop(variable, None)  # no child of ours speaks for us
        self.owed: dict[str, str] = {}
        self.failing = False
        self.socket: socket.socket | None = None
        if self.address:  # now: a sign of life must not fail because clients hold all descriptors
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.socket.settimeout(0)

    def tell(self, **assignments: str) -> None:
        if self.socket is None:
            return
        for name, value in assignments.items():
            self.owed.pop(name, None)  # the last one counts, where it stands
            self.owed[name] = value
        try:
            self.socket.sendto(spell(self.owed), self.address)
        except BlockingIOError:
            return
        except (OSError, ValueError) as error:
            if not self.failing:
                log.warning(
                    "service manager not told", error=str(error), address=self.address.replace("\0", "@")
                )
            self.failing = True
            return
        self.owed.clear()
        self.failing = False

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None


def spell(assignments: Mapping[str, str]) -> bytes:
    """One line each."""
    lines = (f"{name}={' '.join(value.split())}\n" for name, value in assignments.items())
    return "".join(lines).encode()


def now_in_microseconds() -> str:
    """Of CLOCK_MONOTONIC, which the manager reads, too."""
    return str(time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
