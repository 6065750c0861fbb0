"""What is kept in memory for clients, and who has to go where it is too much.

Most of it has limits of its own: a client that waits is read up to 64 KiB, one that does not read stops being read
for, a message that must be whole is at most `listen.max_message_size`. What has none are prepared statements, settings
and channels, whose number is the client's, and how many clients do all of this at once. The janitor weighs them once a
second, for `pool.max_client_memory` and `pool.max_total_memory`.
"""

from collections.abc import Iterable
from heapq import nlargest

from dbproxy.config.settings import Settings
from dbproxy.config.units import show_size
from dbproxy.errors import OutOfMemory
from dbproxy.net.link import Link
from dbproxy.session.client import Client
from dbproxy.session.overdue import end
from dbproxy.session.registry import Registry
from dbproxy.session.startup import Login

AT_ONCE = 100  # disconnected in one sweep
LITTLE = 1024  # bytes that are no matter, whatever the limit: most clients have no more
SHARED = 1 << 20  # bytes of prepared statements that count for the client alone: mostly others have the same
CHANNEL = 200  # bytes that a channel takes beside its name


def sweep_memory(registry: Registry[Login], settings: Settings) -> None:
    """Disconnect who is over its own limit; over that of all, the heaviest, and let nobody in."""
    weights: dict[Client, int] = {}
    total = 0
    for login in registry:
        client = login.client
        if client is None:
            total += len(login.inbox.data) + unsent(login)
            continue
        statements = weigh_statements(client)
        weight = weigh(client) + weigh_session(client)
        own = weight + statements
        weight += max(0, statements - SHARED)
        if own > LITTLE and 0 < (most := client.pool.settings.max_client_memory) < own:
            give_up(client, "max_client_memory", most)
        elif weight:
            weights[client] = weight
            total += weight
    most = settings.pool.max_total_memory
    registry.crowded = 0 < most < total
    if registry.crowded:
        relieve(weights, total, most)


def relieve(weights: dict[Client, int], total: int, most: int) -> None:
    """Disconnect the heaviest until the rest is under the limit."""
    for client in nlargest(AT_ONCE, weights, key=weights.__getitem__):
        if total <= most:
            return
        total -= weights[client]
        give_up(client, "max_total_memory", most)


def give_up(client: Client, limit: str, most: int) -> None:
    end(client, limit, OutOfMemory("out of memory", detail=f"More is kept than {limit} ({show_size(most)})."))


def weigh(client: Client) -> int:
    """Bytes that are kept to be passed on: what it has sent and waits, and what it has not taken yet."""
    inbound = client.inbound
    kept: int = inbound.size + inbound.framer.held_size + unsent(client)
    return kept + measure(client.news.messages) if client.news.messages else kept


def weigh_session(client: Client) -> int:
    """Bytes of what comes along from server to server: its settings, and the channels that it listens to."""
    channels = client.state.listening.channels
    settings: int = client.settings.size
    return settings + CHANNEL * len(channels) + sum(map(len, channels)) if channels else settings


def weigh_statements(client: Client) -> int:
    """Bytes of its prepared statements, of which some are shared with others."""
    prepared = client.prepared
    size: int = prepared.size
    return size + measure(prepared.by_sql.values()) if prepared.by_sql else size


def measure(texts: Iterable[bytes]) -> int:
    return sum(map(len, texts))


def unsent(link: Link) -> int:
    return link.transport.get_write_buffer_size() if link.transport is not None else 0
