"""What a router is told of a session, and leaves there: whose commits its reads must see, which host it wants."""

from dbproxy.cluster.member import Member
from dbproxy.pool.commits import UNKNOWN
from dbproxy.pool.parameters import NOTHING
from dbproxy.routing.wishes import NO_WISHES
from dbproxy.sql.identity import Shape


class Reader:
    """One session as it reads. `read_only`: by its entry; the primary answers only if no replica can."""

    def __init__(self, *, read_only: bool = False) -> None:
        self.read_only = read_only
        # Its settings, and what they wish of the router in its `version`.
        self.settings = NOTHING
        self.wishes = NO_WISHES
        self.version = 0
        self.asked: tuple[Shape, ...] = ()  # all statements of what it asked for last, if they are reads
        self.wanted_host = ""  # by a hint
        self.reason = ""  # why what it asked for last goes where it goes, in the router's words
        # Until the request is over, and with it the loan.
        self.avoided: Member | None = None  # a request was rescued from it
        self.waited = False  # for a replica to be fresh enough, already
        self.awaits = 0  # the position that a replica is to be waited for; 0: for none
        # What it has written.
        self.position = (
            0  # behind its own last commit, in `epoch`; 0: it has none; UNKNOWN: it will not be known
        )
        self.epoch = 0
        self.wrote_at = (
            0.0  # when its last transaction ended that may have written (monotonic seconds); 0: never
        )

    def committed(self, position: int, epoch: int) -> None:
        self.position, self.epoch = position, epoch

    def misplaced(self, epoch: int) -> None:
        """Where its last commit is will not be known."""
        self.committed(UNKNOWN, epoch)

    def forget_detours(self) -> None:
        """The request is over."""
        self.avoided = None
        self.waited = False
