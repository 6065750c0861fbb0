"""A routing plugin: analysts' reads go to a replica of their own, unless it is behind; money is the primary's.

    [routing]
    plugin = "examples.analysts:route"

docs/routing.md says what such a function may do.
"""

from dbproxy.routing.plugins import PRIMARY, Cluster, Route, Session, Statement, replica

MONEY = {"accounts", "payments"}
REPORTS = "replica2"


def route(statement: Statement, session: Session, cluster: Cluster) -> Route | None:
    """Where the statement goes; None: where the proxy would send it anyway."""
    if statement.relations & MONEY:
        return PRIMARY
    if session.application_name.startswith("analyst"):
        healthy = any(host.name == REPORTS and host.state == "up" and host.lag < 10 for host in cluster.hosts)
        return replica(REPORTS) if healthy else None
    return None


route.cacheable = False  # type: ignore[attr-defined]  # it looks at the hosts, which change
