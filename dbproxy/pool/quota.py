"""Limits on server connections that pools share: `max_db_connections` of a database, `max_user_connections` of a user.

Counted where connections are begun and lost, over all pools of a database or user: the clients', those to replicas,
those on which notifications are heard, those by which defaults are watched and users looked up, and beside them those
of replication. Cancel requests and health probes are not. Who gets a place that several want: pool.sharing.
"""

from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakValueDictionary

from dbproxy.config import Settings

KINDS = {"max_db_connections": "database", "max_user_connections": "user"}


class Quota:
    """One limit. `most`: 0 is none.

    `standing`: places of connections that are not given up, as they listen; `reserved`: free ones, for a pool that
    still waits for a place under another limit (pool.sharing).
    """

    def __init__(self, name: str, owner: str, most: int) -> None:
        self.name = name
        self.owner = owner
        self.most = most
        self.used = 0
        self.standing = 0
        self.reserved = 0
        self.told_at = float("-inf")

    def is_full(self) -> bool:
        return 0 < self.most <= self.used + self.reserved

    def tell(self) -> str:
        """In words, for an error."""
        return f'{self.name}: all {self.most} of {KINDS[self.name]} "{self.owner}" are in use'


class Share:
    """A pool's part in its quotas. `ask(pool, now)` sees to what it is short of, `free(now)` to a free place."""

    def __init__(
        self,
        quotas: Iterable[Quota] = (),
        ask: Callable[[Any, float], object] | None = None,
        free: Callable[[float], object] | None = None,
        *,
        standing: bool = False,
    ) -> None:
        self.quotas = tuple(quotas)
        self.ask = ask
        self.free = free
        self.standing = standing
        self.turn = 0  # when it was given a place under them last, by a count of all such; 0: never

    def take(self) -> None:
        for quota in self.quotas:
            quota.used += 1
            quota.standing += self.standing

    def give(self) -> None:
        for quota in self.quotas:
            quota.used -= 1
            quota.standing -= self.standing

    def freed(self, now: float) -> None:
        """A place that was given is there for others."""
        if self.free is not None:
            self.free(now)

    def is_limited(self) -> bool:
        return any(quota.most for quota in self.quotas)

    def find_full(self) -> list[Quota]:
        return [quota for quota in self.quotas if quota.is_full()]

    def find_bar(self) -> Quota | None:
        """The quota of which a connection that listens would take the last place: then no query could run."""
        taken = (quota for quota in self.quotas if 0 < quota.most <= quota.standing + 1)
        return next(taken, None) if self.standing else None

    def overlaps(self, other: "Share") -> bool:
        return not set(self.quotas).isdisjoint(other.quotas)


class Quotas:
    """All that some pool has a share in."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.by_owner: WeakValueDictionary[tuple[str, str], Quota] = WeakValueDictionary()

    def find(self, name: str, owner: str) -> Quota:
        quota = self.by_owner.get((name, owner))
        if quota is None:
            quota = Quota(name, owner, self.settings.connection_limit(name, owner))
            self.by_owner[name, owner] = quota
        return quota

    def used(self, name: str, owner: str) -> int:
        """Places that are taken."""
        quota = self.by_owner.get((name, owner))
        return quota.used if quota is not None else 0

    def apply(self, settings: Settings) -> None:
        self.settings = settings
        for (name, owner), quota in list(self.by_owner.items()):
            quota.most = settings.connection_limit(name, owner)

    def find_exceeded(self) -> list[Quota]:
        """Those that were lowered below what is used."""
        return [quota for quota in list(self.by_owner.values()) if 0 < quota.most < quota.used]
