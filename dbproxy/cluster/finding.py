"""What a probe found out."""

from dataclasses import dataclass

from dbproxy.cluster.member import Role


@dataclass(frozen=True)
class Finding:
    """`lsn` is what a replica has replayed, or a primary has written; 0 where the server tells no positions."""

    role: Role
    positions: bool = True
    lsn: int = 0
    timeline: int = 0
