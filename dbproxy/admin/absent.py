"""What PgBouncer's console shows and does that dbproxy has nothing of: tables without rows, or a refusal in words."""

from dbproxy.admin.house import House
from dbproxy.admin.table import Table, columns
from dbproxy.errors import FeatureNotSupported

PEERS = columns("peer_id:i host:s port:i pool_size:i")
PEER_POOLS = columns("peer_id:i cl_active_cancel_req:i cl_waiting_cancel_req:i sv_active_cancel:i sv_login:i")
DNS_ZONES = columns("zonename:s serial:q count:i")


def show_peers(house: House) -> Table:
    """A proxy has no peers: cancel requests have to reach the one that the client is connected to."""
    return Table(PEERS, ())


def show_peer_pools(house: House) -> Table:
    return Table(PEER_POOLS, ())


def show_dns_zones(house: House) -> Table:
    return Table(DNS_ZONES, ())


def decline_fds(house: House) -> Table:
    raise FeatureNotSupported(
        "SHOW FDS is not supported: sockets are not handed to another process",
        hint="Start the new proxy beside the old one, and SHUTDOWN WAIT_FOR_CLIENTS.",
    )


async def decline_suspend(house: House, argument: str) -> None:
    raise FeatureNotSupported(
        "SUSPEND is not supported: sockets are not handed to another process",
        hint="PAUSE closes every server connection, and clients wait.",
    )
