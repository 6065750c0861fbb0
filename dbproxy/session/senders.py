"""Who sent a notification: it names the server's process, its client is to be found.

Many drivers tell their own notifications from others' by this process id. It is not known in time which client a server
served when it committed the NOTIFY: the notification comes by another connection, a little later. So a client is named
only if nobody else can have been it; a wrong name could make the named one overlook what it should have seen.
"""

from dbproxy.pool.server import Server
from dbproxy.session.client import Client

DOUBT = 0.5  # seconds that a notification may be on its way


class Senders:
    """The server connections of all pools, by address and process id."""

    def __init__(self) -> None:
        self.servers: dict[tuple[str, int], Server] = {}

    def add(self, server: Server) -> None:
        self.servers[server.backend.address, server.backend.pid] = server

    def sweep(self) -> None:
        """Forget the closed ones."""
        for key in [key for key, server in self.servers.items() if server.closed]:
            del self.servers[key]

    def find(self, address: str, pid: int, now: float) -> int:
        """The process id that we gave the client for which backend `pid` notified; `pid` itself if that is unsure."""
        server = self.servers.get((address, pid))
        if server is None:
            return pid
        borrower = server.trail.last
        if (
            now - server.trail.left_at < DOUBT
        ):  # the one before may have notified: known if its statement said so
            borrower = server.trail.notifier
        return borrower.identity.pid if isinstance(borrower, Client) else pid
