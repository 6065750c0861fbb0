"""PostgreSQL's own process at the other end of a connection, as it has told of itself at login."""

import asyncio

from dbproxy.net.direct import monotonic


class Backend:
    """`endpoint`: host and port, for cancel requests. `mailbox`: its messages while it logs in; None ever after."""

    def __init__(self) -> None:
        self.pid = 0
        self.key = b""
        self.address = ""
        self.endpoint = ("", 0)
        self.connected_at = monotonic()
        self.parameters: dict[str, str] = {}  # ParameterStatus, as last told
        self.mailbox: asyncio.Queue[tuple[int, bytes] | None] | None = asyncio.Queue()
