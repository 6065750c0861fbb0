"""Whether the proxy can serve a write, and whether it can serve a read, as its hosts are known."""

from dataclasses import dataclass

from dbproxy.admin.house import House
from dbproxy.cluster.cluster import Cluster
from dbproxy.cluster.member import Member


@dataclass(frozen=True)
class Fault:
    """Why something cannot be served, empty if it can; `detail` may have addresses, and is not for everybody."""

    reason: str = ""
    detail: str = ""

    def tell(self, *, all_of_it: bool) -> str:
        return f"{self.reason}: {self.detail}" if all_of_it and self.detail else self.reason


SERVED = Fault()


@dataclass(frozen=True)
class Readiness:
    """What there is to say against serving a write, and a read."""

    write: Fault = SERVED
    read: Fault = SERVED

    def fault(self, wanted: str) -> Fault:
        """For `write`, `read`, or else both."""
        if wanted == "read":
            return self.read
        return self.write if self.write.reason or wanted == "write" else self.read


def judge(house: House, cluster: Cluster) -> Readiness:
    """`cluster` is what is known of the hosts at this moment."""
    if house.stopping:
        return both(Fault("the proxy is shutting down"))
    if house.paused:
        return both(Fault("the proxy is paused: clients wait for RESUME"))
    write = judge_primary(cluster)
    readers = [member for member in cluster.members if member.fit and member.role == "replica"]
    if not write.reason or (readers and (routes(house) or len(cluster.members) == 1)):
        return Readiness(write)
    return Readiness(write, Fault(f"no host answers reads: {write.reason}", write.detail))


def both(fault: Fault) -> Readiness:
    return Readiness(fault, fault)


def judge_primary(cluster: Cluster) -> Fault:
    primary = cluster.primary
    if not cluster.members:
        return Fault("no primary is configured")
    if primary is None:
        errors = "; ".join(explain(member) for member in cluster.members if member.health.last_error)
        states = ", ".join(f"{member.name} is {describe(member)}" for member in cluster.members)
        return Fault(f"no host takes writes ({states})", errors)
    if primary.fit or (primary.health.refused and primary.state == "unknown"):
        return SERVED  # one that refuses our probe is there all the same
    if primary.state == "unknown":
        return Fault(f"{primary.name} has not been asked yet", explain(primary))
    return Fault(f"{primary.name} is {primary.state}", explain(primary))


def explain(member: Member) -> str:
    return (
        f"{member.name} ({member.url.address}): {member.health.last_error}"
        if member.health.last_error
        else ""
    )


def describe(member: Member) -> str:
    return "a replica" if member.fit and member.role == "replica" else member.state


def routes(house: House) -> bool:
    """Whether reads go to replicas, of some database or user at least."""
    return any(routing.mode == "on" for routing in house.settings.routings())
