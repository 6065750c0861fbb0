"""Throw-away PostgreSQL servers: a primary, its streaming replicas, all gone when we are.

The calls block (for a second or so); from a coroutine use `asyncio.to_thread`. Durability is off: the data is
worth nothing. `initdb` runs once for each version and kind of authentication: later primaries are copies of
what it made, and so share a system identifier and a random superuser's password, readable to us alone.
"""

import atexit
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, Self, TypeAlias
from urllib.parse import quote, urlencode
from zlib import crc32

from dbproxy.demo.installation import (
    Installation,
    PostgresError,
    account,
    cache_dir,
    clean_environment,
    embedded,
    made_once,
    temp_dir,
)
from dbproxy.demo.process import release, spawn

Setting: TypeAlias = str | int | bool

HOST = "127.0.0.1"
SUPERUSER = "postgres"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 60.0
SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
DEFAULTS: dict[str, Setting] = {
    "max_connections": 200,
    "listen_addresses": HOST,
    "fsync": False,
    "full_page_writes": False,
    "wal_keep_size": "256MB",  # a replica that was away for a while finds its way back
    "wal_retrieve_retry_interval": "100ms",  # and soon
}


class Postgres:
    """One server: a folder with its data, its socket and its log, and the process while it runs.

    `settings` go into its configuration; after a change of them, `reload` or `restart`.
    """

    host = HOST
    superuser = SUPERUSER

    def __init__(
        self, name: str, installation: Installation, password: str, port: int, settings: Mapping[str, Setting]
    ) -> None:
        self.name = name
        self.installation = installation
        self.password = password
        self.port = port or free_port()
        self.settings = {**DEFAULTS, **settings}
        self.socket_dir = Path(tempfile.mkdtemp(prefix="dbproxy-pg-", dir=temp_dir()))
        self.data_dir = self.socket_dir / "data"
        self.log_path = self.socket_dir / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.socket_dir.chmod(0o755)
        account().own(self.socket_dir)
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    # --- how to reach it ---

    def dsn(
        self, dbname: str = "postgres", user: str = "", password: str | None = None, *, unix: bool = False
    ) -> str:
        """The URL for `user`, by TCP or by Unix socket; without a user, the superuser's with its password."""
        secret = self.password if not user and password is None else password
        who = quote(user or self.superuser, safe="") + (f":{quote(secret, safe='')}" if secret else "")
        if not unix:
            return f"postgresql://{who}@{self.host}:{self.port}/{quote(dbname, safe='')}"
        place = urlencode({"host": str(self.socket_dir), "port": self.port})
        return f"postgresql://{who}@/{quote(dbname, safe='')}?{place}"

    def environment(self, dbname: str = "postgres") -> dict[str, str]:
        """The superuser's connection in libpq's variables, for the programs: no password in `ps`."""
        connection = {"PGHOST": self.host, "PGPORT": str(self.port), "PGDATABASE": dbname}
        return {**connection, "PGUSER": self.superuser, "PGPASSWORD": self.password}

    def psql(self, sql: str, dbname: str = "postgres") -> str:
        """Run `sql` as the superuser and return psql's plain output."""
        flags = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql)
        return self.installation.run("psql", *flags, environment=self.environment(dbname)).rstrip("\n")

    # --- its life ---

    def start(self) -> None:
        """Start on the data there is, and return once it accepts connections."""
        if self.running:
            return
        self.stop("immediate")  # it may have died by itself
        self._write_settings()
        with self.log_path.open("ab") as log:
            self._process = spawn(
                [self.installation.bin_path("postgres"), "-D", self.data_dir],
                log=log,
                cwd=self.socket_dir,
                environment=clean_environment(),
                at_death=SIGNALS["immediate"],
                folder=self.socket_dir,
                account=account().popen,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._accepts():
            if not self.running or time.monotonic() > deadline:
                self.stop("immediate")
                raise PostgresError(f"PostgreSQL '{self.name}' did not start", detail=self.log()[-2000:])
            time.sleep(0.02)

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """End the process, as `pg_ctl stop -m` does; the data stays for the next `start`."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(SIGNALS[mode])
        release(process, STOP_TIMEOUT)

    def restart(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        self.stop(mode)
        self.start()

    def close(self) -> None:
        """Stop for good and remove the folder."""
        atexit.unregister(self.close)
        self.stop("immediate")
        if self.socket_dir.exists():
            shutil.rmtree(self.socket_dir)

    def reload(self) -> None:
        """Have the settings and `pg_hba.conf` read again."""
        self._write_settings()
        self._running().send_signal(signal.SIGHUP)

    def promote(self) -> None:
        """Make a replica a primary; returns once it takes writes."""
        self.installation.run("pg_ctl", "promote", "-D", self.data_dir)

    def create_replica(
        self, name: str, *, port: int = 0, settings: Mapping[str, Setting] | None = None
    ) -> "Postgres":
        """A running streaming replica of this server; `name` is what `pg_stat_replication` shows."""
        replica = Postgres(
            name, self.installation, self.password, port, {**self.settings, **(settings or {})}
        )
        try:
            flags = ("-R", "-X", "stream", "-c", "fast", "--no-sync", "-D", replica.data_dir)
            environment = {**self.environment(), "PGAPPNAME": name}
            self.installation.run("pg_basebackup", *flags, "-d", "", environment=environment)
            replica.start()
        except BaseException:
            replica.close()
            raise
        return replica

    def log(self) -> str:
        """What it wrote so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise PostgresError(f"PostgreSQL '{self.name}' is not running")
        return self._process

    def _accepts(self) -> bool:
        """As `pg_ctl` finds out: postmaster.pid has the process in line 1, its state in line 8."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _write_settings(self) -> None:
        place: dict[str, Setting] = {"port": self.port, "unix_socket_directories": str(self.socket_dir)}
        named: dict[str, Setting] = {"cluster_name": self.name}
        lines = [f"{key} = {_literal(value)}\n" for key, value in {**named, **self.settings, **place}.items()]
        path = self.data_dir / "dbproxy.conf"
        path.write_text("".join(lines))
        account().own(path)


def create_primary(
    *,
    name: str = "primary",
    installation: Installation | None = None,
    auth: Literal["scram-sha-256", "md5", "password", "trust"] = "scram-sha-256",
    hba: Iterable[str] = (),
    port: int = 0,
    settings: Mapping[str, Setting] | None = None,
) -> Postgres:
    """A running new primary; `hba` lines go before those that ask everybody for `auth`."""
    installation = installation or embedded()
    template = _template(installation, auth)
    password = (template / "password").read_text()
    primary = Postgres(name, installation, password, port, settings or {})
    try:
        _copy_data(template / "data", primary.data_dir)
        rules = primary.data_dir / "pg_hba.conf"
        rules.write_text("".join(f"{line}\n" for line in hba) + rules.read_text())
        primary.start()
    except BaseException:
        primary.close()
        raise
    return primary


_told: set[int] = set()  # ports, lately


def free_port() -> int:
    """A port that nobody listens on, below those that the kernel lends to outgoing connections.

    Until it is bound another may be told the same: so none is told twice, and processes side by side draw from
    different ones.
    """
    if len(_told) >= 500:
        _told.clear()
    for _ in range(1000):
        port = random.randrange(15_000 + os.getpid() % 16, 32_000, 16)  # noqa: S311  # no secret
        if port in _told:
            continue
        _told.add(port)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise PostgresError(f"found no free port on {HOST}")


def _template(installation: Installation, auth: str) -> Path:
    """A folder with a fresh cluster's `data` and the superuser's `password`, made once, then only copied."""
    options = ("-U", SUPERUSER, f"--auth={auth}", "--encoding=UTF8", "--locale=C", "--no-sync")
    made_by = crc32(repr((options, account())).encode())
    template = cache_dir() / f"template-{installation.name}-{installation.version}-{auth}-{made_by:08x}"
    with made_once(template) as building:
        if building:
            building.chmod(0o700)
            secret = building / "password"
            secret.write_text(secrets.token_hex(16))
            for path in (building, secret):
                account().own(path)
            installation.run("initdb", *options, f"--pwfile={secret}", "-D", building / "data")
            with (building / "data" / "postgresql.conf").open("a") as conf:
                conf.write("include 'dbproxy.conf'\n")
    return template


def _copy_data(source: Path, target: Path) -> None:
    command = ["cp", "-a", str(source), str(target)]
    subprocess.run(command, check=True, **account().popen)  # type: ignore[call-overload]  # noqa: S603


def _literal(value: Setting) -> str:
    text = ("on" if value else "off") if isinstance(value, bool) else str(value)
    return "'" + text.replace("'", "''") + "'"
