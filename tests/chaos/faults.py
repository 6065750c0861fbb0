"""What befalls hosts. Each is a coroutine that does it, and undoes it when it is closed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from dbproxy.demo.postgres import Postgres
from tests.support.faults import Line
from tests.support.hosts import family


@dataclass(frozen=True)
class Hosts:
    """`lines` are what the proxy reaches the replicas by."""

    primary: Postgres
    replicas: list[Postgres]
    lines: list[Line]


DECISION = 1.0  # seconds until whoever promotes has noticed and decided: part of the story, no condition
Fault = Callable[[Hosts], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Case:
    fault: Fault
    primary: bool = False  # it is the primary that is lost: writes wait, and those under way are


@asynccontextmanager
async def nothing(hosts: Hosts) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def kill_replica(hosts: Hosts) -> AsyncIterator[None]:
    os.kill(hosts.replicas[0].pid, signal.SIGKILL)
    yield
    await asyncio.to_thread(revive, hosts.replicas[0])


def revive(server: Postgres) -> None:
    server.stop("immediate")
    server.start()


@asynccontextmanager
async def stop_replica(hosts: Hosts) -> AsyncIterator[None]:
    stopped = family(hosts.replicas[0])
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def cut_line(hosts: Hosts) -> AsyncIterator[None]:
    """Connections are reset, and new ones refused."""
    line = hosts.lines[0]
    line.refuse()
    line.cut()
    yield
    await line.accept()


@asynccontextmanager
async def deafen_line(hosts: Hosts) -> AsyncIterator[None]:
    """What is sent is not read any more; nothing is closed."""
    line = hosts.lines[0]
    line.up.go_deaf()
    line.down.go_deaf()
    yield
    line.up.hear()
    line.down.hear()


@asynccontextmanager
async def drop_bytes(hosts: Hosts) -> AsyncIterator[None]:
    line = hosts.lines[0]
    line.down.dropping = True
    yield
    line.down.dropping = False
    line.cut()


@asynccontextmanager
async def drop_requests(hosts: Hosts) -> AsyncIterator[None]:
    line = hosts.lines[0]
    line.up.dropping = True
    yield
    line.up.dropping = False
    line.cut()


@asynccontextmanager
async def slow_down(hosts: Hosts) -> AsyncIterator[None]:
    """A read takes a millisecond without that."""
    line = hosts.lines[0]
    line.down.delay = 0.1
    yield
    line.down.delay = 0


@asynccontextmanager
async def delay_line(hosts: Hosts) -> AsyncIterator[None]:
    line = hosts.lines[0]
    line.down.delay = 0.2
    yield
    line.down.delay = 0


@asynccontextmanager
async def pause_replay(hosts: Hosts) -> AsyncIterator[None]:
    for replica in hosts.replicas:
        await asyncio.to_thread(replica.psql, "SELECT pg_wal_replay_pause()")
    yield
    for replica in hosts.replicas:
        await asyncio.to_thread(replica.psql, "SELECT pg_wal_replay_resume()")


@asynccontextmanager
async def delay_replay(hosts: Hosts) -> AsyncIterator[None]:
    """Less than what takes them out: reads of who has just written wait, or are the primary's."""
    for replica in hosts.replicas:
        await asyncio.to_thread(set_delay, replica, "500ms")
    yield
    for replica in hosts.replicas:
        await asyncio.to_thread(set_delay, replica, "0")


def set_delay(replica: Postgres, delay: str) -> None:
    replica.psql(f"ALTER SYSTEM SET recovery_min_apply_delay = '{delay}'")
    replica.psql("SELECT pg_reload_conf()")


@asynccontextmanager
async def kill_both_replicas(hosts: Hosts) -> AsyncIterator[None]:
    for replica in hosts.replicas:
        os.kill(replica.pid, signal.SIGKILL)
    yield
    for replica in hosts.replicas:
        await asyncio.to_thread(revive, replica)


@asynccontextmanager
async def kill_primary(hosts: Hosts) -> AsyncIterator[None]:
    """And a second later the first replica is promoted."""
    os.kill(hosts.primary.pid, signal.SIGKILL)
    await asyncio.sleep(DECISION)
    await asyncio.to_thread(hosts.replicas[0].promote)
    yield


@asynccontextmanager
async def stop_primary(hosts: Hosts) -> AsyncIterator[None]:
    """It hangs, a replica is promoted; then it goes on, as a second host that takes writes."""
    stopped = family(hosts.primary)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(DECISION)
    await asyncio.to_thread(hosts.replicas[0].promote)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


FAULTS: dict[str, Case] = {
    "none": Case(nothing),
    "replica killed": Case(kill_replica),
    "replica stopped": Case(stop_replica),
    "replica's line cut": Case(cut_line),
    "replica's line deaf": Case(deafen_line),
    "replica's answers lost": Case(drop_bytes),
    "replica's requests lost": Case(drop_requests),
    "replica 100x slower": Case(slow_down),
    "replica's answers late": Case(delay_line),
    "replay 0.5 s late": Case(delay_replay),
    "replay paused": Case(pause_replay),
    "both replicas killed": Case(kill_both_replicas),
    "primary killed": Case(kill_primary, primary=True),
    "primary hangs": Case(stop_primary, primary=True),
}
