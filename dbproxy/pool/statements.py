"""Which prepared statements a server has, under names of ours (pool.prepared). pool.preparation gives it others."""

from dbproxy.pool.prepared import Statement
from dbproxy.pool.tenant import Tenant

UNKNOWN_STATEMENT = b"\0"  # an unnamed statement on the server that is no client's


class ServerStatements:
    """One server's. `unnamed`: the body of its unnamed one; `batch`: how many Syncs clients have sent to it."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.prepared: dict[bytes, Statement] = {}  # the one used last comes last, once it is `crowded`
        self.crowded = False  # more than half of what it may have
        self.unnamed: bytes | None = None
        self.batch = 0
        # What we prepared and is not known to be there: in which batch.
        self.unconfirmed: dict[bytes, int] = {}

    def has(self, statement: Statement) -> bool:
        """Whether the statement need not be prepared."""
        name = statement.name
        confirmed = not self.unconfirmed or self.unconfirmed.get(name, self.batch) == self.batch
        return confirmed and name in self.prepared

    def lose(self, name: bytes) -> None:
        """The statement was not prepared after all."""
        self.prepared.pop(name, None)
        self.unconfirmed.pop(name, None)
