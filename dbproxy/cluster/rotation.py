"""How far behind the replicas are that take reads: what a job that writes much has to heed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a job that asks the proxy has no cluster of its own
    from dbproxy.cluster.cluster import Cluster
    from dbproxy.cluster.member import Member


@dataclass(frozen=True, slots=True)
class ReplicaLag:
    """`seconds`: None if it does not answer, so that nobody knows."""

    name: str
    seconds: float | None


def list_lags(cluster: "Cluster") -> Iterator[ReplicaLag]:
    """Of those that are to take reads. One that was taken out by an operator, or is for failover alone, is none."""
    for member in cluster.members:
        if _takes_reads(member, cluster):
            silent = member.health.failures > 0 or not member.health.heard
            yield ReplicaLag(member.name, None if silent else member.lag.seconds)


def _takes_reads(member: "Member", cluster: "Cluster") -> bool:
    return (
        member is not cluster.primary
        and member.role != "primary"
        and member.weight > 0
        and not member.order
        and not member.fenced
        and not member.health.refused  # it is there, and cannot be asked
        and not member.is_one_with(cluster.primary)
    )
