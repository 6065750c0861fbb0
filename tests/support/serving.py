"""The proxy in front of a test's database: what is asked of every run, and what tests do to its servers.

What a server does is asked of PostgreSQL itself, past the proxy.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import psycopg

from tests.support.postgres import PASSWORD, Database, connect
from tests.support.proxy import Proxy

SECRETS = re.compile(rf"{PASSWORD}|SCRAM-SHA-256\$|\bmd5[0-9a-f]{{32}}")
OUR_FAULTS = ("internal error", "task failed")


@contextmanager
def serving(
    database: Database, settings: Mapping[str, object] | None = None, *, config: str = "", url: str = ""
) -> Iterator[Proxy]:
    """A proxy in front of `database`; afterwards its log is searched for secrets and for our own faults."""
    with Proxy(url or database.dsn, settings=settings, config=config) as proxy:
        yield proxy
        judge_log(proxy)


def judge_log(proxy: Proxy) -> None:
    found = SECRETS.search(proxy.log())
    assert not found, f"a secret in the log: {proxy.log()[max(0, found.start() - 200) : found.end() + 50]}"
    faults = [line for line in proxy.log_lines() if line["event"] in OUR_FAULTS]
    assert not faults, faults


def shuffle(proxy: Proxy, size: int, dbname: str = "") -> None:
    """Let the server that was lent last be lent last from now on: the next client gets another one.

    `size` is the pool's; all its servers have to be free.
    """
    with ExitStack() as stack:
        holders = [stack.enter_context(psycopg.connect(proxy.dsn(dbname))) for _ in range(size)]
        for holder in holders:
            holder.execute(
                "SELECT 1"
            )  # begins a transaction: in this order the servers are on top of the pool
        for holder in holders:
            holder.commit()


def wait_until(
    database: Database, condition: str, parameters: Sequence[object] = (), timeout: float = 10
) -> None:
    """Return once the SQL `condition` holds."""
    deadline = time.monotonic() + timeout
    with connect(database.server, database.name) as connection:
        while connection.execute(f"SELECT {condition}", parameters).fetchone() != (True,):
            assert time.monotonic() < deadline, f"never: {condition} {parameters}"
            time.sleep(0.005)  # another process: asked, not awaited


def wait_for_activity(database: Database, query: str) -> None:
    """Return once a server of this database runs `query`."""
    active = "state = 'active' AND datname = current_database() AND starts_with(query, %s)"
    wait_until(database, f"EXISTS (SELECT FROM pg_stat_activity WHERE {active})", [query])
