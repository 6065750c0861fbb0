"""A client's LISTEN and UNLISTEN whose commit is not known yet, and what is notified meanwhile.

PostgreSQL keeps them as actions that are pending until the transaction is committed. Here the hub hears the channel
ahead of that, so a notification may be *early*: whether it is for this client, the server says later (pool.audit).
"""

from collections.abc import Iterable, Set
from itertools import count

from dbproxy.session.channels import channel_of
from dbproxy.sql.statement import Listen

_marks = count(1)


class Uncommitted:
    """Of one client, until its server was asked what it listens to."""

    def __init__(self) -> None:
        self.wanted: set[str] = set()  # channels that it may listen to
        self.unwanted: set[str] = set()  # channels that it may have given up
        self.tentative = False  # whether a LISTEN was committed is not known
        self.doubtful = False  # something has failed: only the server can say it
        self.early: list[bytes] = []  # notifications that came before that was known
        self.late: list[bytes] = []  # notifications on channels that it may have given up
        self.mark = ""  # of the last LISTEN or UNLISTEN; it is rolled back with that

    def listen(self, channels: Iterable[str], known: Set[str]) -> bool:
        """A LISTEN to these is sent, or, with none, an UNLISTEN; whether one is new to the client (`known`)."""
        self.mark = str(next(_marks))
        self.wanted.update(channels)
        new = bool(self.wanted - known)
        self.tentative |= new
        return new

    def unlisten(self, listens: Iterable[Listen], known: Set[str]) -> None:
        """The UNLISTENs among these are sent; one without a channel is about all."""
        for listen in listens:
            if not listen.begins:
                self.unwanted |= {listen.channel} if listen.channel else known

    def takes(self, message: bytes, known: Set[str], pid: int) -> bool:
        """Keep a notification that may not be for the client, or drop it; False if it is to be told at once.

        `pid`: the client's own. What it notifies itself is sent only once it is committed.
        """
        if not (self.tentative or self.unwanted) or message[:1] != b"A":
            return False
        channel = channel_of(message)
        if channel in self.unwanted:
            self.late.append(message)
            return True
        if not self.tentative or channel not in self.wanted or channel in known:
            return False
        own = int.from_bytes(message[5:9], "big") == pid
        if own or self.doubtful:
            self.early.append(message)
        return True

    def end(self, failed: bool) -> list[bytes]:
        """The transaction is over: what it asked for counts as committed, until the server says what was.

        `failed`: part of the transaction was rolled back, or all of it. Returns the notifications to be told now.
        """
        self.doubtful |= self.tentative and failed
        if self.doubtful:
            return []
        self.tentative = False
        early, self.early = self.early, []
        return early

    def conclude(self) -> None:
        """The server has said what was committed."""
        self.wanted.clear()
        self.unwanted.clear()
        self.tentative = self.doubtful = False

    def take_held(self) -> list[bytes]:
        """All notifications that were kept."""
        held = [*self.early, *self.late]
        self.early, self.late = [], []
        return held
