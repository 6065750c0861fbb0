"""Debian's Pgpool-II before one PostgreSQL, with its query cache: `with Pgpool(database) as pgpool`."""

import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import pytest

from dbproxy.demo.postgres import free_port
from tests.support.postgres import Database

PROGRAM = Path("/usr/sbin/pgpool")
START_TIMEOUT = 20.0
USER = "app_trust"  # Pgpool-II knows no password of its own then


class Pgpool:
    """Its memory is its own; what writes past it, it does not see."""

    host = "127.0.0.1"

    def __init__(self, database: Database) -> None:
        if not PROGRAM.exists():
            pytest.skip("Pgpool-II is not installed (apt-get install pgpool2)")
        self.database = database
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="dbproxy-pgpool-")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        folder = Path(self.folder.name)
        (folder / "oids").mkdir()
        configuration = folder / "pgpool.conf"
        configuration.write_text(self.spell_settings(folder))
        for name in ("pcp.conf", "pool_hba.conf"):
            (folder / name).touch()
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    PROGRAM,
                    "-n",
                    "-f",
                    configuration,
                    "-F",
                    folder / "pcp.conf",
                    "-a",
                    folder / "pool_hba.conf",
                ],
                stdout=log,
                stderr=log,
            )
        self.wait(folder / "log")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # fast
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self.folder.cleanup()

    @property
    def dsn(self) -> str:
        return f"postgresql://{USER}@{self.host}:{self.port}/{self.database.name}"

    def spell_settings(self, folder: Path) -> str:
        """Each read may be answered from the cache, and nothing else is changed from its defaults."""
        server = self.database.server
        return f"""
            backend_clustering_mode = 'raw'
            backend_hostname0 = '{self.host}'
            backend_port0 = {server.port}
            listen_addresses = '{self.host}'
            port = {self.port}
            pcp_port = {free_port()}
            socket_dir = '{folder}'
            pcp_socket_dir = '{folder}'
            logdir = '{folder}'
            pid_file_name = '{folder}/pgpool.pid'
            num_init_children = 20
            memory_cache_enabled = on
            memqcache_method = 'shmem'
            memqcache_oiddir = '{folder}/oids'
        """

    def wait(self, log: Path) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                socket.create_connection((self.host, self.port)).close()
                return
            except OSError:
                assert self._process is not None
                assert self._process.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < deadline, log.read_text()[-2000:]
                time.sleep(0.05)  # another process: asked, not awaited
