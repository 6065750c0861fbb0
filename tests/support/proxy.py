"""The proxy as its operators run it: a process of its own, told by its environment, watched by its log."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import quote, urlsplit

import psutil

from dbproxy.demo.postgres import HOST, free_port
from dbproxy.demo.process import release, spawn
from tests.support import forkserver
from tests.support.forkserver import Forked

ROOT = Path(__file__).parents[2]
OURS = ("DBPROXY_", "DATABASE_", "PGBOUNCER_")
IMPORTED_BY = ("DBPROXY_PURE", "PYTHONPATH")  # what modules are, and which ones
START_TIMEOUT = 20.0
LOG_TIMEOUT = 10.0


class Proxy:
    """`dbproxy serve` in front of `url`: `with Proxy(url) as proxy`, or `async with`, or start and stop.

    `settings` are by dotted key (`{"pool.size": 2}`) and go by the environment; `config` is the text of a
    `dbproxy.toml`, for what the environment cannot say. `start` and `stop` block: a test whose own loop must
    answer the proxy meanwhile (a scripted server) uses `async with`.
    """

    host = HOST
    command: tuple[str, ...] = (sys.executable, "-m", "dbproxy", "serve")
    descriptors: tuple[int, ...] = ()  # of ours that it inherits

    def __init__(
        self, url: str, *, settings: Mapping[str, object] | None = None, config: str = "", pure: bool = False
    ) -> None:
        self.url = url
        self.port = free_port()
        self.http_port = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="dbproxy-test-")
        self.log_path = Path(self.folder.name) / "log"
        self.config_path = Path(self.folder.name) / "dbproxy.toml"
        self.config_path.write_text(config)
        ports = {"listen.port": self.port, "http.port": self.http_port}
        self.environment = self._environment({**(settings or {}), **ports})
        if pure:
            self.environment["DBPROXY_PURE"] = "1"
        self._process: subprocess.Popen[bytes] | Forked | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def dsn(self, dbname: str = "", user: str = "", password: str | None = None) -> str:
        """The URL that an application uses; what is not given is that of the proxy's own `url`."""
        own = urlsplit(self.url)
        user = quote(user, safe="") or own.username or ""
        secret = own.password if password is None else quote(password, safe="")
        who = f"{user}:{secret}" if secret else user
        return f"postgresql://{who}@{self.host}:{self.port}/{quote(dbname, safe='') or own.path.lstrip('/')}"

    @property
    def http_url(self) -> str:
        return f"http://{self.host}:{self.http_port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the proxy is not running"
        return self._process.pid

    def rss(self) -> int:
        """Its resident memory in bytes."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def start(self) -> None:
        """Start, and return once it listens; if it ends instead, fail with what it said."""
        assert self._process is None, "the proxy is running"
        arguments = [self.config_path] if self.config_path.read_text() else []
        with self.log_path.open("ab") as log:
            self._process = self._spawn(arguments, log)
        deadline = time.monotonic() + START_TIMEOUT
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                code = self.kill()
                raise AssertionError(f"the proxy did not start (exit code {code}):\n{self.log()}")
            time.sleep(0.02)

    def stop(self, timeout: float = 30) -> int:
        """SIGTERM; return the exit code."""
        return self._end(signal.SIGTERM, timeout)

    def kill(self) -> int:
        """SIGKILL."""
        return self._end(signal.SIGKILL, timeout=10)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None, "the proxy is not running"
        self._process.send_signal(number)

    def close(self) -> None:
        """End it, if it still runs, and remove its folder."""
        if self._process is not None:
            self.kill()
        self.folder.cleanup()

    def log(self) -> str:
        return self.log_path.read_text()

    def log_lines(self) -> list[dict[str, Any]]:
        """What it logged so far; a line that is not JSON (a traceback, a warning) fails the test."""
        *lines, _unfinished = self.log().split("\n")
        try:
            return [json.loads(line) for line in lines]
        except ValueError:
            raise AssertionError(f"the proxy wrote what is not JSON:\n{self.log()}") from None

    async def logged(self, matches: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first line that `matches`, as soon as it is there."""
        async with asyncio.timeout(LOG_TIMEOUT):
            while not (found := next(filter(matches, self.log_lines()), None)):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.01)
        return found

    def _spawn(self, arguments: list[Path], log: IO[bytes]) -> subprocess.Popen[bytes] | Forked:
        """Forked, where it is an ordinary one: to import all anew takes longer than most tests do."""
        alike = all(self.environment.get(name) == os.environ.get(name) for name in IMPORTED_BY)
        if alike and self.command == Proxy.command and not self.descriptors:
            return forkserver.start(["serve", *map(str, arguments)], self.environment, log)
        return spawn(
            [*self.command, *arguments],
            log=log,
            cwd=ROOT,
            environment=self.environment,
            account={"pass_fds": self.descriptors},
        )

    def _end(self, number: signal.Signals, timeout: float) -> int:
        self.send(number)
        assert self._process is not None
        process, self._process = self._process, None
        return release(process, timeout)

    def _listens(self) -> bool:
        """Asked of the kernel, so that the proxy sees no client but the test's."""
        try:
            lines = psutil.Process(self.pid).net_connections("tcp")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False  # it is ending, or gone
        return any(line.status == psutil.CONN_LISTEN and line.laddr[1] == self.port for line in lines)

    def _environment(self, settings: Mapping[str, object]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        keys = {f"DBPROXY_{key.upper().replace('.', '__')}": str(value) for key, value in settings.items()}
        pure = {name: os.environ[name] for name in ("DBPROXY_PURE",) if name in os.environ}
        return {**inherited, **pure, **keys, "DATABASE_URL": self.url}
