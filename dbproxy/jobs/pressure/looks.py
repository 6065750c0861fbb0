"""What was seen at one look. None is what is not known: nothing is waited for that nobody can see."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dbproxy.cluster.rotation import ReplicaLag


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """On this machine. `rest`: seconds that it is to rest yet."""

    time: datetime
    rest: float = 0.0
    file: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """On the application, as the proxy sees it. `utilisation`: in percent, of the fullest pool, which `pool` names.

    `replicas`: None where the proxy does not watch any. `p95`, `p99`: seconds, of the last moments; `usual`,
    `usual_p99`: of the minute before.
    """

    replicas: Sequence[ReplicaLag] | None = None
    utilisation: float = 0.0
    pool: str = ""
    waiting: int = 0
    p95: float | None = None
    usual: float | None = None
    p99: float | None = None
    usual_p99: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Of the primary. `wal`: bytes a second; `backlog`: bytes, that `holder` holds back.

    `maintenance`, `snapshot_of`: who, in words; `snapshot`: seconds.
    """

    replicas: Sequence[ReplicaLag] = ()
    wal: float | None = None
    backlog: int = 0
    holder: str = ""
    maintenance: str = ""
    snapshot: float = 0.0
    snapshot_of: str = ""
    told_to_wait: bool = False  # by `query`
    told_to_end: bool = False  # by `critical_query`


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """All of it. `replicas`: those that are watched from here; `lost`: why the primary could not be asked."""

    here: Here
    proxy: Pressure | None = None
    server: Server | None = None
    replicas: Sequence[ReplicaLag] | None = None
    lost: str = ""

    @property
    def lags(self) -> Sequence[ReplicaLag]:
        """As those tell who watch the replicas best."""
        if self.proxy is not None and self.proxy.replicas is not None:
            return self.proxy.replicas
        if self.replicas is not None:
            return self.replicas
        return self.server.replicas if self.server is not None else ()
