"""What a probe found out."""

from dataclasses import dataclass

from dbproxy.cluster.member import Role


@dataclass(frozen=True)
class Finding:
    """`lsn` is what a replica has replayed, or a primary has written; 0 where the server tells no positions.

    `received` is what a replica has received by streaming; unless `exact`, it may be on a later timeline than it says.
    `server` is a number of its own for each run of a server, 0 where that is not told: hosts that tell the same one are
    one server by two names. `loaded` is when it has read its configuration, "" where that is not told.
    `took` is how long the answer did, in seconds.
    """

    role: Role
    positions: bool = True
    lsn: int = 0
    timeline: int = 0
    received: int = 0
    exact: bool = True
    server: int = 0
    loaded: str = ""
    took: float = 0.0
