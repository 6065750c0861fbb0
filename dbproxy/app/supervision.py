"""What a service manager hears of the run: that it serves, reloads, stops, is alive, and a line for `systemctl status`.

A sign of life follows a sweep of the janitor that has come to its end: if the event loop stands still, or the
janitor is gone, with whom all deadlines go, the manager hears nothing and starts us again. Without a manager nothing
here runs.
"""

from collections.abc import Callable

from dbproxy.admin.house import House
from dbproxy.cluster.cluster import Cluster
from dbproxy.net.notification import Notifier, now_in_microseconds

STATUS_INTERVAL = 2.0  # seconds from one status to the next
GRACE = 10.0  # seconds that a stop asks for beyond each sign that it goes on


class Supervision:
    """Of one run; `sweep` is called a few times a second."""

    def __init__(self, house: House, notifier: Notifier) -> None:
        self.house = house
        self.notifier = notifier
        self.alive_at = self.told_at = float("-inf")
        self.status = ""
        self.reload_failed = False

    @property
    def sweeper(self) -> Callable[[float], None] | None:
        """Who is to hear of the janitor's sweeps, if anybody."""
        return self.sweep if self.notifier.address else None

    def serves(self) -> None:
        """Clients are let in from now on, whether or not PostgreSQL answers."""
        self.notifier.tell(READY="1", STATUS=self.describe())

    def reloads(self) -> None:
        self.notifier.tell(RELOADING="1", MONOTONIC_USEC=now_in_microseconds())

    def reloaded(self, *, failed: bool) -> None:
        """The proxy serves as before, or by other settings."""
        self.reload_failed = failed
        self.serves()

    def stops(self) -> None:
        self.notifier.tell(STOPPING="1", STATUS=self.describe(), **ask_for(GRACE))

    def sweep(self, now: float) -> None:
        """Say what is due."""
        assignments: dict[str, str] = {}
        if 0 < self.notifier.watchdog <= now - self.alive_at:
            self.alive_at = now
            assignments["WATCHDOG"] = "1"
        if now - self.told_at >= STATUS_INTERVAL:
            self.told_at = now
            assignments |= self.tell_status()
        if assignments:
            self.notifier.tell(**assignments)

    def tell_status(self) -> dict[str, str]:
        """The status if it is another, and that a stop goes on: it may take as long as `pool.shutdown_timeout`."""
        before, self.status = self.status, self.describe()
        status = {"STATUS": self.status} if self.status != before else {}
        return status | (ask_for(GRACE) if self.house.stopping else {})

    def describe(self) -> str:
        """In one line."""
        house, clients = self.house, len(self.house.registry)
        if house.stopping:
            return f"stopping: {count(clients, 'client')} left"
        parts = [count(len(house.pools), "pool"), count(clients, "client"), name_primary(house.cluster)]
        parts += ["paused"] if house.paused else []
        parts += ["reload failed: the settings before are in force"] if self.reload_failed else []
        return ", ".join(parts)


def ask_for(seconds: float) -> dict[str, str]:
    return {"EXTEND_TIMEOUT_USEC": str(int(seconds * 1e6))}


def count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def name_primary(cluster: Cluster) -> str:
    """By its address, which is what an operator looks for; its state in brackets if it is known not to serve."""
    primary = cluster.primary
    if primary is None:
        return "no primary"
    serves = primary.fit or primary.state == "unknown"  # a host that is alone is not probed
    return f"primary {primary.url.address}" if serves else f"primary {primary.url.address} ({primary.state})"
