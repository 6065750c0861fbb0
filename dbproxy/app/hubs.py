"""Where notifications are heard for clients: one connection for each database, and who has sent what is heard."""

from collections.abc import Callable, Iterator
from time import monotonic

from dbproxy.pool.pool import Pool
from dbproxy.session.hub import Hub
from dbproxy.session.senders import Senders


class Hubs:
    """Of the whole proxy; `make_pool(database, user)` makes the pool of one."""

    def __init__(self, make_pool: Callable[[str, str], Pool]) -> None:
        self.make_pool = make_pool
        self.by_database: dict[str, Hub] = {}
        self.senders = Senders()

    def __iter__(self) -> Iterator[Hub]:
        return iter(list(self.by_database.values()))

    def find(self, database: str, user: str) -> Hub:
        """The hub of this database; it logs in as `user` if it has to."""
        hub = self.by_database.get(database)
        if hub is None:
            hub = self.by_database[database] = Hub(
                database,
                lambda user: self.make_pool(database, user),
                lambda address, pid: self.senders.find(address, pid, monotonic()),
            )
        hub.user = user
        return hub

    def pools(self) -> Iterator[Pool]:
        return (hub.pool for hub in self if hub.pool is not None)

    def vacate(self, is_meant: Callable[[str], bool]) -> None:
        """Close the connections by which nothing is heard, of the databases that are meant."""
        for hub in self:
            if not hub.subscriptions.names and hub.server is not None and is_meant(hub.database):
                hub.server.close("the database is to be dropped")
