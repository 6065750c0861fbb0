"""A replica as one database and user reach it."""

from dbproxy.cluster.member import Member
from dbproxy.pool.pool import Pool
from dbproxy.routing.tally import Tally


class Destination:
    """`sent`: what went there; `observed`: what would have."""

    def __init__(self, host: Member, pool: Pool, sent: Tally, observed: Tally) -> None:
        self.host = host
        self.pool = pool
        self.sent = sent
        self.observed = observed
