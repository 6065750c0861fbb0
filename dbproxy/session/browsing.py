"""A transaction whose reads are answered from what is kept, as those outside of one are: it *browses*.

PostgreSQL: "Transaction Isolation". It is READ ONLY, and READ COMMITTED, so that each of its statements sees what was
committed by then, which what is kept is. At the stricter levels all of it sees what was committed when its first
statement began. It browses as long as all that was sent behind its BEGIN are reads whose answers could be kept: what
else there is, such as SET LOCAL, a savepoint or what nobody has looked through, may change what the next one is told.
"""

from dbproxy.cache.gate import CacheGate
from dbproxy.pool.server import Server
from dbproxy.session.connection import Connection
from dbproxy.session.judging import Judge
from dbproxy.session.opening import Request
from dbproxy.wire.framer import Framer

SNAPSHOT = "its transaction keeps its snapshot"
NOT_KNOWN = "the isolation of its transaction is not known"
_ISOLATION, _READ_ONLY = "transaction_isolation", "transaction_read_only"
_COMMITTED = ("read committed", "read uncommitted")  # which are the same
_TRUE = ("on", "true", "yes", "1")


class Browsing:
    """Of one client, from its BEGIN on, which is about to be sent."""

    def __init__(self, client: Connection, judge: Judge, gate: CacheGate) -> None:
        self.client = client
        self.judge = judge
        self.gate = gate
        self.modes: dict[str, str] = {}  # as its statements say
        self.server: Server | None = None  # once something has come behind what says so

    def begin(self, framer: Framer, index: int) -> bool:
        """Whether what has come from mark `index` on begins a transaction that may be one."""
        requests = self.judge.list_requests(framer, index)
        first = requests[0].statements
        shape = first[0][0] if first else None
        if shape is None or framer.left:
            return False
        self.modes.update(shape.effects.modes)
        del first[0]
        return self.only_read(requests)

    def goes_on(self, framer: Framer) -> bool:
        """Whether it browses yet, though this has come."""
        server = self.client.server
        if server is None or framer.left or self.gate not in server.pool.tenant.gates:
            return False
        requests = self.judge.list_requests(framer, 0)
        if self.server is None:
            if self.note_modes(requests):
                return True
            self.server = server
            if not self.reads_committed(server):
                return False
        return self.server is server and self.only_read(requests)

    def only_read(self, requests: list[Request]) -> bool:
        for request in requests:
            for shape, _ in request.statements:
                if not self.gate.is_harmless(shape):
                    return False
        return True

    # --- of which kind it is ---

    def note_modes(self, requests: list[Request]) -> bool:
        """Whether this is a SET TRANSACTION alone."""
        statements = [shape for request in requests for shape, _ in request.statements]
        modes = statements[0].effects.modes if len(statements) == 1 and statements[0] is not None else ()
        self.modes.update(modes)
        return len(modes) > 0

    def reads_committed(self, server: Server) -> bool:
        """Whether it is READ ONLY, and each of its statements sees what was committed by then; if not, it is noted."""
        if self.find_mode(server, _READ_ONLY) not in _TRUE:
            return False
        isolation = self.find_mode(server, _ISOLATION)
        if isolation not in _COMMITTED:
            self.gate.tally.bypass(SNAPSHOT if isolation else NOT_KNOWN)
        return isolation in _COMMITTED

    def find_mode(self, server: Server, name: str) -> str:
        """What it is, if its statements do not say so: by the session, or by what servers give it; "": not known."""
        if name in self.modes:
            return self.modes[name]
        name = f"default_{name}"
        own = self.client.settings.values.get(name)
        if own is not None:
            return own.lower()
        host, snapshot = server.pool.host, self.client.pool.defaults.snapshot
        outdated = server.upkeep.generation != server.pool.generation
        if snapshot is None or outdated or (host is not None and name in host.differing):
            return ""
        return snapshot.values.get(name, "")
