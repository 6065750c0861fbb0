"""PostgreSQL's own programs (psql, pgbench, pg_dump …) as a client of the proxy."""

import os
import re
import subprocess
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from dbproxy.demo.installation import clean_environment
from dbproxy.demo.postgres import Postgres

TIMEOUT = 100


def libpq_environment(dsn: str) -> dict[str, str]:
    """The connection in libpq's variables: a program that gets it so needs no other argument for it."""
    url = urlsplit(dsn)
    return {
        **clean_environment(),
        "PGHOST": url.hostname or "",
        "PGPORT": str(url.port),
        "PGUSER": unquote(url.username or ""),
        "PGPASSWORD": unquote(url.password or ""),
        "PGDATABASE": url.path.lstrip("/"),
        "PSQLRC": os.devnull,
    }


def run(
    server: Postgres,
    tool: str,
    *arguments: object,
    dsn: str,
    given: str = "",
    environment: Mapping[str, str] | None = None,
    fails: bool = False,
    timeout: float = TIMEOUT,
) -> str:
    """Run the server's own version of a program against `dsn`; what it printed, on both streams if it `fails`."""
    done = subprocess.run(
        [server.installation.bin_path(tool), *map(str, arguments)],
        env={**libpq_environment(dsn), **(environment or {})},
        input=given,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert bool(done.returncode) == fails, (
        f"{tool}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    )
    return done.stdout + done.stderr if fails else done.stdout


def dump(server: Postgres, dsn: str, *flags: object) -> str:
    """A dump as text, without the random key that pg_dump puts around it."""
    text = run(server, "pg_dump", *flags, dsn=dsn)
    return re.sub(r"^\\(un)?restrict \w+$", "", text, flags=re.MULTILINE)
