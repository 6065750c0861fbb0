"""A service manager, as systemd is one to the proxy: it hears sd_notify(3) and hands sockets over."""

import fcntl
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.support.proxy import Proxy

LAUNCHER = Path(__file__).with_name("handover.py")
PATIENCE = 15.0  # seconds
HIGH = 100  # descriptors under it may be taken on the way to the proxy
Told = Mapping[str, str]


class Manager:
    """`address` is that of its socket, as NOTIFY_SOCKET has it: a path, or @ and a name."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[Told] = []
        self.ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ear.bind("\0" + address[1:] if address.startswith("@") else address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ear.close()

    def listen(self, patience: float = 0.0) -> Told | None:
        """The next message, if one comes in so many seconds."""
        if not select.select([self.ear], [], [], patience)[0]:
            return None
        lines = self.ear.recv(65536).decode().splitlines()
        self.heard.append(dict(line.split("=", 1) for line in lines))
        return self.heard[-1]

    def forget(self) -> None:
        """What was said until now."""
        while self.listen():
            pass

    def wait_for(self, matches: Callable[[Told], object]) -> Told:
        """The first message from now on that does."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            told = self.listen(0.1)
            if told is not None and matches(told):
                return told
        raise AssertionError(f"never heard; but: {self.heard}")


class Managed(Proxy):
    """The proxy under a manager, which has started it when it has said so; `sockets` by their names."""

    def __init__(
        self,
        url: str,
        manager: Manager,
        *,
        settings: Mapping[str, object] | None = None,
        config: str = "",
        sockets: Sequence[tuple[str, socket.socket]] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(url, settings=settings, config=config)
        self.manager = manager
        self.environment |= {"NOTIFY_SOCKET": manager.address, **(environment or {})}
        self.descriptors = tuple(fcntl.fcntl(given, fcntl.F_DUPFD_CLOEXEC, HIGH) for _, given in sockets)
        if sockets:
            handed = ",".join(map(str, self.descriptors))
            names = ":".join(name for name, _ in sockets)
            self.command = (sys.executable, str(LAUNCHER), handed, names, *Proxy.command)

    def close(self) -> None:
        super().close()
        while self.descriptors:
            *rest, last = self.descriptors
            self.descriptors = tuple(rest)
            os.close(last)

    def _listens(self) -> bool:
        told = self.manager.listen()
        return told is not None and told.get("READY") == "1"
