"""What is measured: PostgreSQL itself, PgBouncer and dbproxy before it, each by TCP and without passwords."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped, unused-ignore]  # publishes no types

from dbproxy.demo.installation import PostgresError, account, clean_environment
from dbproxy.demo.postgres import HOST, Postgres, free_port
from dbproxy.demo.process import release, spawn

START_TIMEOUT = 60.0  # under callgrind, on a busy machine
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Target:
    """Where pgbench connects; `process` is the pooler there, if any."""

    def __init__(self, name: str, port: int, process: psutil.Process | None = None) -> None:
        self.name = name
        self.port = port
        self.process = process

    def cpu_seconds(self) -> float:
        """User and system time so far of the pooler, its threads and child processes; 0 without one."""
        family = [self.process, *self.process.children(recursive=True)] if self.process else []
        return float(sum(sum(process.cpu_times()[:2]) for process in family))


@contextmanager
def pgbouncer(
    primary: Postgres,
    size: int,
    login: str = "",
    *,
    under: Sequence[str] = (),
    more: Mapping[str, object] | None = None,
) -> Iterator[Target]:
    """`login`: as whom it logs in, in the words of its configuration; the superuser where not given.

    `more` settings, by their names there; `under`: a command that runs it.
    """
    port, ini = free_port(), primary.socket_dir / "pgbouncer.ini"
    settings = {
        "listen_addr": HOST,
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": size,
        "max_client_conn": 1000,
        **({"max_prepared_statements": 200} if pgbouncer_version() >= (1, 21) else {}),
        **(more or {}),
    }
    lines = [f"{key} = {value}" for key, value in settings.items()]
    server = f"* = host={HOST} port={primary.port} {login or f'user={primary.superuser}'}"
    ini.write_text("\n".join(["[databases]", server, "[pgbouncer]", *lines, ""]))
    account().own(ini)
    command = [*under, str(PGBOUNCER), str(ini)]  # it refuses to run as root
    with _pooler("PgBouncer", primary, port, command, clean_environment(), account().popen) as target:
        yield target


@contextmanager
def proxy(
    primary: Postgres, size: int, more: Mapping[str, str] | None = None, *, under: Sequence[str] = ()
) -> Iterator[Target]:
    """`more` settings, by their names in the environment; `under`: a command that runs it."""
    port = free_port()
    settings = {
        "DATABASE_URL": primary.dsn(),
        "DBPROXY_LISTEN__PORT": str(port),
        "DBPROXY_HTTP__PORT": "0",
        "DBPROXY_AUTH__TYPE": "trust",
        "DBPROXY_POOL__SIZE": str(size),
        "DBPROXY_POOL__RESERVE_SIZE": "0",
        "PYTHONPATH": str(Path(__file__).parents[1]),
        **(more or {}),
    }
    command = [*under, sys.executable, "-m", "dbproxy", "serve"]
    with _pooler("dbproxy", primary, port, command, {**clean_environment(), **settings}, {}) as target:
        yield target


@contextmanager
def _pooler(
    name: str,
    primary: Postgres,
    port: int,
    command: Sequence[str],
    environment: Mapping[str, str],
    user: Mapping[str, object],
) -> Iterator[Target]:
    log = primary.socket_dir / f"{name}.log"
    with log.open("wb") as out:
        popen = spawn(command, log=out, cwd=primary.socket_dir, environment=environment, account=user)
    try:
        if complaint := _await_start(primary, port, popen):
            tail = log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise PostgresError(f"{name} did not start", detail=tail or complaint)
        yield Target(name, port, psutil.Process(popen.pid))
    finally:
        popen.terminate()
        release(popen, timeout=10)


def _await_start(primary: Postgres, port: int, popen: subprocess.Popen[bytes]) -> str:
    """Return once a query is answered; otherwise what psql last said."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            primary.installation.run("psql", "-XAtc", "SELECT 1", environment=environment_for(primary, port))
        except PostgresError as error:
            if popen.poll() is not None or time.monotonic() > deadline:
                return error.detail
            time.sleep(0.05)
        else:
            return ""


def environment_for(primary: Postgres, port: int) -> dict[str, str]:
    return {**primary.environment(), "PGPORT": str(port)}


def pgbouncer_version() -> tuple[int, ...]:
    """Of the PgBouncer that is installed; () if none is."""
    if not PGBOUNCER:
        return ()
    answer = subprocess.run([PGBOUNCER, "--version"], capture_output=True, text=True, check=True)
    return tuple(map(int, re.findall(r"\d+", answer.stdout.splitlines()[0])))
