"""The proxy of the demo: `dbproxy serve` as a process, told by its environment, watched by its log."""

import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from dbproxy.config import Settings, load
from dbproxy.config.env import HONOURED, PREFIX, name_variable
from dbproxy.demo.process import release, spawn
from dbproxy.errors import ConfigurationError, ProxyError

COMMAND = (sys.executable, "-m", "dbproxy", "serve")
START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0
POOL_SIZE = 10
SLOW_AFTER = 0.5  # seconds; far above what a busy machine makes of a quick query
# The user's own settings do not change what the demo shows, only where it listens; its metrics only this machine reads.
KEPT = ("listen.host", "listen.port", "http.port")
GIVEN = {
    "pool.size": str(POOL_SIZE),
    "pool.reserve_size": "0",
    "slow_query.threshold": f"{SLOW_AFTER}s",
    "auth.admin_users": "demo",
    "log.format": "json",
}


def choose_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The proxy's environment: the user's, where of our settings only the addresses are left."""
    ours = [name for name in environ if name in HONOURED or name.startswith(PREFIX)]
    kept = {name_variable(key) for key in KEPT} | {"DBPROXY_PURE"}
    kept |= {name for name, key in HONOURED.items() if key in KEPT}
    others = {name: value for name, value in environ.items() if name not in ours or name in kept}
    return others | {name_variable(key): value for key, value in GIVEN.items()}


def check_addresses(settings: Settings) -> None:
    """ConfigurationError, with the setting that changes it, if the proxy could not listen where it is to."""
    for host in settings.listen.host:
        check_address(host, settings.listen.port, "listen.port")
    if not settings.http.port:
        raise ConfigurationError("the demo shows the metrics: set DBPROXY_HTTP__PORT to a port, not to 0")
    check_address(settings.http.host, settings.http.port, "http.port")


def check_address(host: str, port: int, key: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen()
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error.strerror}\n"
            f"set {key} to a free port, such as {name_variable(key)}={port + 1}"
        ) from None


class Proxy:
    """`with Proxy(environment)`: it listens inside, and outside it has ended and its folder is gone."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.settings = load(None, environment)
        self.folder = tempfile.TemporaryDirectory(prefix="dbproxy-demo-")
        self.log_path = Path(self.folder.name) / "log"
        self.exit_code: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- where it is ---

    @property
    def host(self) -> str:
        return reachable(self.settings.listen.host[0])

    @property
    def port(self) -> int:
        """As it says itself: it may have been told to take any free port."""
        (started,) = self.events("proxy started")
        return int(started["listen"][0].rpartition(":")[2])

    @property
    def http_address(self) -> tuple[str, int]:
        return reachable(self.settings.http.host), self.settings.http.port

    @property
    def pid(self) -> int:
        assert self._process is not None, "the proxy is not running"
        return self._process.pid

    # --- what it says ---

    def events(self, name: str) -> list[dict[str, Any]]:
        """Its log lines of this event."""
        return [
            line
            for line in map(parse_line, self.log_path.read_text().splitlines())
            if line.get("event") == name
        ]

    # --- its life ---

    def start(self) -> None:
        with self.log_path.open("ab") as log:
            self._process = spawn(
                COMMAND,
                log=log,
                cwd=Path.cwd(),
                environment=self.environment,
                at_death=signal.SIGTERM,
                folder=Path(self.folder.name),
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self.events("proxy started"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ProxyError(f"the proxy did not start; it said:\n{self.log_path.read_text()}")
            time.sleep(0.02)

    def wait(self) -> None:
        """Return when it ends by itself, which it should not."""
        assert self._process is not None, "the proxy is not running"
        self._process.wait()

    def close(self) -> None:
        """End it as an operator would, and remove its folder."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            self.exit_code = release(process, STOP_TIMEOUT)
        self.folder.cleanup()


def parse_line(line: str) -> dict[str, Any]:
    """A log line's keys; none of a line that is not ours, such as a traceback's."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def reachable(host: str) -> str:
    """Where to connect to something that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound
