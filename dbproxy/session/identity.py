"""Who logged in: what does not change from a client's login to its end."""

from dataclasses import dataclass, field

from dbproxy.pool.parameters import NOTHING, Parameters


@dataclass(frozen=True, slots=True)
class Identity:
    """Of one connection from an application. A login fills it in as it learns of it; a client has it whole.

    `pid` and `key` are what a cancel request names; `read_only`: it came by an entry, or for a database, that takes no
    writes; `settings`: what it asked for as it logged in, `application_name` as it was before its host was added.
    """

    id: int
    connected_at: float  # monotonic seconds
    connect_time: float  # seconds since 1970
    max_message_size: int  # bytes
    read_only: bool = False
    pid: int = 0
    key: bytes = field(default=b"", repr=False)
    address: str = ""
    port: int = 0  # 0: by a Unix socket
    user: str = ""
    database: str = ""
    application_name: str = ""
    settings: Parameters = NOTHING

    def describe(self) -> dict[str, str | int]:
        """For a log line."""
        return {
            "client": self.id,
            "address": f"{self.address}:{self.port}" if self.port else self.address,
            "user": self.user,
            "database": self.database,
            "application_name": self.application_name,
        }
