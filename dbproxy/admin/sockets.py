"""SHOW SOCKETS, ACTIVE_SOCKETS and MEM: what is kept in memory of each connection, in PgBouncer's tables.

We have no packet buffer for each socket: bytes are forwarded as they come. What may be kept is named so in its columns:
`pkt_remain` is to come of the message at hand, `pkt_avail` has come and waits with its client, `send_avail` is not
taken yet by who is to get it.
"""

import resource
import sys
from collections.abc import Iterator

from dbproxy.admin.connections import SOCKETS as CONNECTION
from dbproxy.admin.connections import client_row, host_name, server_row
from dbproxy.admin.house import House, list_pools
from dbproxy.admin.table import Table, Value, columns
from dbproxy.pool.server import Server
from dbproxy.session.memory import measure, unsent, weigh_statements
from dbproxy.session.startup import Login

BUFFERS = columns("recv_pos:i pkt_pos:i pkt_remain:i send_pos:i send_remain:i pkt_avail:i send_avail:i")
PGBOUNCERS = 21  # columns of SHOW CLIENTS that are not ours
SOCKETS = CONNECTION[:PGBOUNCERS] + BUFFERS
MEM = columns("name:s size:i used:i free:i memtotal:i")
LARGEST = 2**31 - 1  # of an int4


def show_sockets(house: House) -> Table:
    return Table(SOCKETS, _rows(house))


def show_active_sockets(house: House) -> Table:
    """Those of which something is kept."""
    return Table(SOCKETS, (row for row in _rows(house) if any(row[PGBOUNCERS:])))


def _rows(house: House) -> Iterator[tuple[Value, ...]]:
    for login in house.registry:
        if login.client or login.heir:
            row = client_row(login, host_name(house, login))
            yield *row[:PGBOUNCERS], *_buffers(*_client_bytes(login))
    for server in _servers(house):
        row = server_row(server.pool, server, "")
        yield *row[:PGBOUNCERS], *_buffers(server.relay.framer.left, 0, unsent(server))


def _servers(house: House) -> Iterator[Server]:
    return (
        server for pool in list_pools(house, "") for server in pool.servers() if isinstance(server, Server)
    )


def _client_bytes(login: Login) -> tuple[int, int, int]:
    """To come, kept, not taken yet."""
    client = login.client
    if client is None:
        return 0, 0, unsent(login)
    return client.inbound.framer.left, client.inbound.size, unsent(client)


def _buffers(left: int, kept: int, unsent: int) -> tuple[Value, ...]:
    return 0, 0, min(left, LARGEST), 0, 0, kept, unsent


def show_mem(house: House) -> Table:
    """`used` connections of which so many bytes are kept; what is not in use is kept by nobody.

    A prepared statement counts for each client that has it, also where they share it.
    """
    clients = [login.client for login in house.registry if login.client is not None]
    kinds = {
        "client_login": [len(login.inbox.data) for login in house.registry],
        "client_backlog": [client.inbound.size for client in clients],
        "client_partial": [client.inbound.framer.held_size for client in clients],
        "client_unsent": [unsent(login.client or login) for login in house.registry],
        "client_notifications": [measure(client.news.messages) for client in clients],
        "client_statements": [weigh_statements(client) for client in clients],
        "server_unsent": [unsent(server) for server in _servers(house)],
        "process_peak": [_peak()],
    }
    return Table(MEM, [_memory_row(name, [size for size in sizes if size]) for name, sizes in kinds.items()])


def _memory_row(name: str, sizes: list[int]) -> tuple[Value, ...]:
    total = min(sum(sizes), LARGEST)
    return name, total // len(sizes) if sizes else 0, len(sizes), 0, total


def _peak() -> int:
    """Most resident memory that the process has had, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
