"""Who holds a server or waits for one: a client, or an errand of our own. What pool and server ask of it."""

from typing import Any

from dbproxy.errors import ProxyError
from dbproxy.net.link import Link
from dbproxy.pool.audit import Findings
from dbproxy.pool.news import News
from dbproxy.pool.parameters import Parameters
from dbproxy.pool.prepared import Statement
from dbproxy.pool.request import Request


class Borrower(Link):
    """Every method is called by the pool or by the server that is lent."""

    impatient = False  # told at once when no server can be reached
    ours = False  # an errand: what it asks for is no client's request, and not counted

    def __init__(self) -> None:
        Link.__init__(self)
        self.routed = False  # a replica answers it, and what it asked for can be sent again
        self.settings: Parameters | None = None  # that it needs its server to have; None: whichever
        self.news = News()

    def hears_by_hub(self) -> bool:
        """Whether notifications come to it by the hub, not by the server it is lent."""
        return False

    def find_turn(self) -> tuple[str, int]:
        """Where those who wait take turns: with whom it does, and how many turns those have."""
        return "", 1

    def introduce(self) -> tuple[int, str]:
        """Its number in the log, and what it calls itself; 0 is an errand of our own."""
        return 0, "dbproxy"

    def text_at_hand(self) -> bytes:
        """The SQL of what it has sent in part; b"" if that is nothing, or has none."""
        return b""

    def serve(self, server: Any, now: float) -> None:
        """The wait is over: this server is lent."""
        raise NotImplementedError

    def refuse(self, error: ProxyError) -> None:
        """The wait is over: there will be no server."""
        raise NotImplementedError

    def reply(self, data: bytes) -> None:
        """Bytes from the server, whole messages or parts of a long one."""
        raise NotImplementedError

    def finished(self, status: int) -> bool:
        """Nothing more is due; `status` is the TransactionStatus. True gives the server back."""
        raise NotImplementedError

    def owe_ready(self) -> None:
        """The ReadyForQuery that ended its transaction is kept back: the borrower sends it when it is time."""

    def listen_early(self, failed: bool) -> None:
        """A transaction that may have had a LISTEN is over; `failed`: not all of it was committed."""

    def transaction_ended(self) -> None:
        """What it has executed last has ended the transaction, though no Sync has come."""

    def audited(self, findings: Findings, effects: int) -> None:
        """A server has said what the transaction has left behind, about these effects."""

    def committed(self, position: int) -> None:
        """Whatever it has committed is in the primary's WAL ahead of this position."""

    def misplaced(self) -> None:
        """Where in the WAL it has committed last will not be known."""

    def caught_up(self) -> None:
        """All that was asked for has been answered, and no Sync has been sent after it."""

    def begin_rescue(self, fields: dict[str, str]) -> bool:
        """Whether what failed on a replica is to be sent again elsewhere; the borrower gets no more of its answer."""
        return False

    def outlives_server(self) -> bool:
        """Whether nothing is lost with the server: all that is still to be heard of it are answers of no matter."""
        return False

    def server_lost(self, error: ProxyError, told: bool) -> None:
        """The server connection broke while lent; `told`: PostgreSQL's own last words were forwarded."""
        raise NotImplementedError

    def request_over(self, request: Request, microseconds: int, failed: bool) -> None:
        """Answered, and somebody wants to hear of it; `failed`: with an error."""

    def slow(self, request: Request, wait: float, run: float) -> None:
        """A query took longer than the pool's threshold; times in seconds."""

    def refused(self, error: bytes) -> None:
        """Its request fails by this ErrorResponse of ours, as it would pin, or ask for what is not allowed."""

    def describe_request(self) -> dict[str, Any]:
        """For a log line: who it is, and the ids of its request that is not answered yet."""
        return {}

    def begin_retry(self, name: bytes, changed: bool) -> bool:
        """Whether `retry` is possible; `changed`: the statement is another now, and is not described again."""
        return False

    def looks_elsewhere(self, statement: Statement) -> bool:
        """Whether its search path is another than the statement's: to others that is not out of date."""
        return False

    def knows(self, name: bytes) -> bool:
        """Whether it has a prepared statement of this name."""
        return False

    def told(self, name: bytes, statement: Statement, columns: int) -> None:
        """It knows now the columns of what was its statement by this name when it asked (wire.reply.columns_key)."""

    def told_unnamed(self, columns: int, full: int, renewed: bool) -> None:
        """The same of the unnamed one; `renewed`: the client does not, as it was prepared again unseen."""

    def merge(self, twin: Statement, statement: Statement) -> None:
        """What its Parse has made is the shared statement after all."""

    def told_portal(self, columns: bytes) -> None:
        """It was told these (a RowDescription or NoData) of the unnamed statement, by its portal."""

    def retry(self) -> None:
        """The last request failed on an outdated statement; nothing of its answer was forwarded."""

    def restore(self, name: bytes, previous: Any) -> None:
        """A Parse or Close of this name did not happen after all; `previous` is what the name meant before."""

    def forget_statements(self, spared: set[bytes]) -> None:
        """DEALLOCATE ALL or DISCARD ALL was carried out; `spared` were prepared since."""
