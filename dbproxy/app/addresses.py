"""Servers' names whose addresses change: connections to one that a name has no more are closed once they are free."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import structlog

from dbproxy.config import Host, Settings
from dbproxy.net.names import names_here
from dbproxy.pool.pool import Pool
from dbproxy.pool.states import IDLE

log = structlog.get_logger(__name__)


def follow(settings: Settings, pools: Callable[[], Iterable[Pool]]) -> None:
    """Have names looked up as these settings say, and what is at an address that is gone closed."""
    names = names_here()
    names.max_ttl = settings.health.dns_max_ttl
    names.keep({(host.host, host.port) for host in settings.hosts().values()})
    names.on_change = partial(leave, pools)


def refresh(now: float) -> None:
    names_here().refresh(now)


def leave(
    pools: Callable[[], Iterable[Pool]], host: str, port: int, addresses: frozenset[tuple[Any, ...]]
) -> None:
    """The name has these addresses now, and one of before no more."""
    address = Host(host=host, port=port).address
    present = {endpoint[:2] for endpoint in addresses}
    closed = 0
    for pool in pools():
        for server in pool.servers():
            if server.backend.address == address and server.backend.endpoint not in present:
                server.condemn(f"{host} has another address now")
                closed += 1
                if server.state == IDLE:
                    server.close(server.upkeep.condemned)
    log.info("addresses of a name changed", host=host, port=port, addresses=sorted({ip for ip, _ in present}),
             servers=closed)  # fmt: skip
