"""Who logged in: what a login learns of it, and what does not change from then on."""

from dbproxy.config.sections import is_loopback
from dbproxy.config.template import Facts
from dbproxy.net.peer import PLAIN, Peer
from dbproxy.pool.parameters import NOTHING, Parameters


class Identity:
    """Of one connection from an application. A login fills it in as it learns of it; a client has it whole.

    `connected_at` is in monotonic seconds, `connect_time` in seconds since 1970. `pid` and `key` are what a cancel
    request names; `read_only`: it came by an entry, or for a database, that takes no writes; `settings`: what it asked
    for as it logged in, `application_name` as it was before its host was added; `peer`: who the line shows it to be.
    """

    def __init__(
        self,
        id: int,  # noqa: A002  # its name in the log
        connected_at: float,
        connect_time: float,
        max_message_size: int,  # bytes
        *,
        read_only: bool = False,
        address: str = "",
        port: int = 0,
        user: str = "",
        database: str = "",
        settings: Parameters = NOTHING,
    ) -> None:
        self.id = id
        self.connected_at = connected_at
        self.connect_time = connect_time
        self.max_message_size = max_message_size
        self.read_only = read_only
        self.pid = 0
        self.key = b""
        self.address = address
        self.port = port  # 0: by a Unix socket
        self.user = user
        self.database = database
        self.application_name = ""
        self.settings = settings
        self.peer: Peer = PLAIN

    @property
    def is_local(self) -> bool:
        """Whether whoever it is came from this machine."""
        return not self.port or is_loopback(self.address)

    def facts(self) -> Facts:
        """What keys are made of."""
        return Facts(self.user, self.database, self.application_name, self.address if self.port else "")

    def describe(self) -> dict[str, str | int]:
        """For a log line."""
        return {
            "client": self.id,
            "address": f"{self.address}:{self.port}" if self.port else self.address,
            "user": self.user,
            "database": self.database,
            "application_name": self.application_name,
        }
