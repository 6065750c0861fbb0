"""SHOW CLIENTS and SHOW SERVERS: a row for each connection; `link` is the `ptr` at the other end.

The columns are PgBouncer's, and some of ours behind them: since when the link is, why it outlives transactions, and
the name of a server's host in the cluster.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from time import monotonic, time

from dbproxy.admin.figures import client_state
from dbproxy.admin.house import House, list_pools
from dbproxy.admin.table import Table, Value, columns, int4
from dbproxy.net.peer import describe as describe_tls
from dbproxy.net.secure import Secure
from dbproxy.net.transport import Transport
from dbproxy.observe.masking import mask
from dbproxy.pool.pool import Pool
from dbproxy.pool.states import NAMES, Member
from dbproxy.session.client import Client
from dbproxy.session.identity import Identity
from dbproxy.session.replication import Replication
from dbproxy.session.startup import Login

SOCKETS = columns(
    "type:s user:s database:s replication:s state:s addr:s port:i local_addr:s local_port:i connect_time:s "
    "request_time:s wait:i wait_us:i close_needed:i ptr:s link:s remote_pid:i tls:s application_name:s "
    "prepared_statements:i id:i link_time:s pins:s host:s"
)
Address = tuple[str, int]


def show_clients(house: House) -> Table:
    """Those that were let in, the console's and those of replication among them."""
    logins = (login for login in house.registry if login.client or login.heir)
    return Table(SOCKETS, (client_row(login, host_name(house, login)) for login in logins))


def show_servers(house: House) -> Table:
    return Table(SOCKETS, list_servers(house))


def list_servers(house: House) -> Iterator[tuple[Value, ...]]:
    """Those of the pools, and those that only serve replication connections."""
    for pool in list_pools(house, ""):
        for server in pool.servers():
            yield server_row(pool, server, house.host_of(pool))
    for replication in house.replications():
        yield walsender_row(replication)


def host_name(house: House, login: Login) -> str:
    """Where the server is that it holds."""
    server = login.client.server if login.client is not None else None
    return house.host_of(server.pool) if server is not None else ""


def client_row(login: Login, host: str) -> tuple[Value, ...]:
    who, client = login.identity, login.client
    server = client.server if client is not None else None
    wait = waiting_time(client) if client is not None else 0.0
    return (
        "C",
        who.user,
        who.database,
        login.heir.mode if isinstance(login.heir, Replication) else "none",
        client_state(client) if client is not None else "active",
        who.address,
        who.port,
        *describe(login.transport, "sockname"),
        show_time(who.connect_time),
        show_time(
            wall_clock(client.lending.request_time) if client is not None else 0.0,
            otherwise=who.connect_time,
        ),
        int(wait),
        int(wait % 1 * 1e6),
        0,
        client_pointer(who),
        linked(login),
        0,
        who.peer.tls,
        mask(who.application_name),
        len(client.prepared) if client is not None else 0,
        who.id,
        link_time(server),
        held_pins(client, monotonic()) if client is not None else "",
        host,
    )


def server_row(pool: Pool, server: Member, host: str) -> tuple[Value, ...]:
    connected = wall_clock(server.backend.connected_at)
    return (
        "S",
        pool.user,
        pool.database,
        "none",
        NAMES[server.state],
        *describe(server.transport, "peername"),
        *describe(server.transport, "sockname"),
        show_time(connected),
        show_time(wall_clock(server.loan.since), otherwise=connected),
        0,
        0,
        int(server.upkeep.generation != pool.generation),
        server_pointer(server),
        client_pointer(server.loan.client.identity) if isinstance(server.loan.client, Client) else "",
        int4(server.backend.pid),
        describe_tls(server.transport),
        mask(server.backend.parameters.get("application_name", "")),
        len(server.dialogue.statements.prepared),
        server.id,
        link_time(server if isinstance(server.loan.client, Client) else None),
        ",".join(sorted(server.dialogue.traces.pins)),
        host,
    )


def walsender_row(replication: Replication) -> tuple[Value, ...]:
    who, walsender = replication.identity, replication.walsender
    connected = show_time(wall_clock(walsender.backend.connected_at))
    return (
        "S",
        who.user,
        who.database,
        replication.mode,
        "active",
        *describe(walsender.transport, "peername"),
        *describe(walsender.transport, "sockname"),
        connected,
        connected,
        0,
        0,
        0,
        walsender_pointer(who),
        client_pointer(who),
        int4(walsender.backend.pid),
        "",
        mask(walsender.backend.parameters.get("application_name", "")),
        0,
        who.id,
        connected,
        "replication",
        "",
    )


def waiting_time(client: Client) -> float:
    """Seconds that it has waited by now, for a server or for a replica that is fresh enough."""
    inbound = client.inbound
    return max(0.0, monotonic() - inbound.arrived) if client in inbound.room.waiting else 0.0


def link_time(server: Member | None) -> str:
    """When the server was lent to who has it now."""
    return "" if server is None else show_time(wall_clock(server.loan.since))


def held_pins(client: Client, now: float) -> str:
    """Each reason with the seconds that it has lasted."""
    return ",".join(f"{reason}:{int(now - since)}" for reason, since in sorted(client.state.pins.items()))


def client_pointer(client: Identity) -> str:
    return f"c{client.id}"


def linked(login: Login) -> str:
    """The pointer of the server that it has, if it has one."""
    if isinstance(login.heir, Replication):
        return walsender_pointer(login.identity)
    server = login.client.server if login.client is not None else None
    return server_pointer(server) if server is not None else ""


def walsender_pointer(client: Identity) -> str:
    return f"w{client.id}"


def server_pointer(server: Member) -> str:
    return f"s{server.id}"


def describe(transport: asyncio.Transport | Transport | Secure | None, end: str) -> Address:
    """Address and port of one end, "peername" or "sockname"; ("unix", 0) for a Unix socket."""
    name = transport.get_extra_info(end) if transport is not None else None
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) and len(name) >= 2 else ("unix", 0)


def wall_clock(moment: float) -> float:
    """Seconds since the epoch of a moment in monotonic seconds; 0 stays 0, which means never."""
    return moment and moment + time() - monotonic()


def show_time(moment: float, otherwise: float = 0.0) -> str:
    """`moment` as PgBouncer writes it; `otherwise` is shown for never."""
    return datetime.fromtimestamp(moment or otherwise, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
