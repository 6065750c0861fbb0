"""What a router is told of a client, and leaves there: whose commits its reads must see, which host it wants."""

from dbproxy.pool.commits import UNKNOWN
from dbproxy.pool.parameters import Parameters
from dbproxy.session.connection import Connection


class Reader:
    """One client as it reads. `read_only`: by its entry; the primary answers only if no replica can."""

    def __init__(self, client: Connection) -> None:
        self.client = client
        self.read_only: bool = client.identity.read_only
        self.wanted_host = ""  # by a hint
        self.avoided: object = None  # a host that a request was rescued from
        self.waited = False  # for a replica to be fresh enough, already
        self.awaits = 0  # the position that a replica could be waited for; 0: for none
        self.position = 0  # behind its own last commit, in `epoch`
        self.epoch = 0
        self.wrote_at = 0.0

    @property
    def settings(self) -> Parameters:
        settings: Parameters = self.client.settings
        return settings

    @property
    def arrived(self) -> float:
        return self.client.inbound.arrived

    def committed(self, position: int, epoch: int) -> None:
        self.position, self.epoch = position, epoch

    def misplaced(self, epoch: int) -> None:
        """Where its last commit is will not be known."""
        self.committed(UNKNOWN, epoch)

    def forget_detours(self) -> None:
        """The loan is over."""
        self.avoided = None
        self.waited = False
