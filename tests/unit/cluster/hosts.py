"""Members and clusters as tests need them, and what probes would have found."""

from typing import Any

from dbproxy.cluster.cluster import Cluster
from dbproxy.cluster.finding import Finding
from dbproxy.cluster.member import Member
from dbproxy.config import HealthSettings, Host, Settings

LIMITS = HealthSettings()


def member(name: str = "replica1", **facts: Any) -> Member:
    """A replica that is up and takes reads, but for the `facts`."""
    weight = facts.pop("weight", 1)
    found = Member(name, Host(f"{name}.internal"), weight)
    usual = {"role": "replica", "state": "up", "heard": True, "share": float(weight)}
    for fact, value in (usual | facts).items():
        parts = (found, found.health, found.position, found.lag, found.load)
        (part,) = [part for part in parts if hasattr(part, fact)]
        setattr(part, fact, value)
    return found


def primary(name: str = "primary", **facts: Any) -> Member:
    return member(name, **({"role": "primary", "timeline": 1} | facts))


def settings(number: int = 2, **sections: Any) -> Settings:
    """A primary and so many replicas, unless `sections` say otherwise."""
    names = [f"replica{n}" for n in range(1, number + 1)]
    hosts = {
        "primary": {"url": "postgresql://app:secret@primary.internal/app"},
        "replicas": [{"name": name, "url": f"postgresql://app:secret@{name}.internal/app"} for name in names],
    }
    return Settings.model_validate(hosts | sections)


def writable(lsn: int = 1000, timeline: int = 1, server: int = 0) -> Finding:
    return Finding("primary", True, lsn, timeline, server=server)


def following(lsn: int = 1000, timeline: int = 1, server: int = 0) -> Finding:
    return Finding("replica", True, lsn, timeline, server=server)


def running(number: int = 2, **sections: Any) -> Cluster:
    """A cluster whose hosts have all answered: the primary at 1000, and the replicas, too."""
    cluster = Cluster(settings(number, **sections))
    for found in cluster.members:
        cluster.learn(found, writable() if found.name == "primary" else following(), 1.0)
    return cluster


def fail(cluster: Cluster, name: str, times: int = 3, now: float = 2.0) -> None:
    for _ in range(times):
        cluster.failed(cluster.member(name), "connection refused", now)
