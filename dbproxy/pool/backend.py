"""PostgreSQL's own process at the other end of a connection, as it has told of itself at login."""

import asyncio

from dbproxy.errors import ProtocolViolation
from dbproxy.net.direct import monotonic
from dbproxy.net.tls import ServerTls

MOST_PARAMETERS = 1000  # PostgreSQL reports some twenty


class Backend:
    """`endpoint` and `tls`: where and how cancel requests go.

    `mailbox`: its messages while it logs in; None ever after.
    """

    def __init__(self) -> None:
        self.pid = 0
        self.key = b""
        self.address = ""
        self.endpoint = ("", 0)
        self.tls: ServerTls | None = None
        self.connected_at = monotonic()
        self.parameters: dict[str, str] = {}  # ParameterStatus, as last told
        self.mailbox: asyncio.Queue[tuple[int, bytes] | None] | None = asyncio.Queue()

    def note(self, name: str, value: str) -> None:
        """A ParameterStatus has come. ProtocolViolation if there are too many for a PostgreSQL."""
        if name not in self.parameters and len(self.parameters) >= MOST_PARAMETERS:
            raise ProtocolViolation(f"the server reports more than {MOST_PARAMETERS} parameters")
        self.parameters[name] = value
