"""Clients that replicate: where their servers are reached, what they count toward, and when they are ended."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from time import monotonic

from dbproxy.app.pauses import Pauses
from dbproxy.app.targets import Targets
from dbproxy.cluster.member import Member
from dbproxy.pool.quota import Share
from dbproxy.pool.sharing import Sharing
from dbproxy.session.identity import Identity
from dbproxy.session.registry import Registry
from dbproxy.session.replication import Replication, Walsender
from dbproxy.session.startup import Login


class Walsenders:
    """Of the whole proxy; `counts`: open or being opened, by database."""

    def __init__(self, targets: Targets, pauses: Pauses, sharing: Sharing, registry: Registry[Login]) -> None:
        self.targets = targets
        self.pauses = pauses
        self.sharing = sharing
        self.registry = registry
        self.counts: Counter[str] = Counter()

    async def open(self, identity: Identity, parameters: Mapping[str, str]) -> Walsender:
        """To the primary; for who came by the read-only entry, to a replica if there is one. Not while it is paused."""
        settings = self.targets.admissions.settings
        database, user = identity.database, settings.user_for(identity.database, identity.user)
        await self.pauses.outlast(database, settings.pool_for(database, user).query_wait_timeout)
        share = self.sharing.make_share(database, user, standing=True)
        self.sharing.take(share)
        self.counts[database] += 1
        try:
            walsender = await self.reach(database, user, identity, parameters)
        except BaseException:
            self.closed(database, share)
            raise
        walsender.on_close = partial(self.closed, database, share)
        return walsender

    async def reach(
        self, database: str, user: str, identity: Identity, parameters: Mapping[str, str]
    ) -> Walsender:
        host = self.targets.hosts.find_walsender(database, read_only=identity.read_only)
        return await self.targets.open_beside(database, user, host, parameters, Walsender)

    def closed(self, database: str, share: Share) -> None:
        self.counts[database] -= 1
        share.give()
        share.freed(monotonic())

    def end(self, member: Member) -> None:
        """At a host that is gone: who streams from it would wait for ever."""
        for one in self.replications():
            if one.walsender.backend.address == member.url.address:
                one.disconnect(f"{member.name} is {member.state}")

    def replications(self, database: str = "") -> list[Replication]:
        """The clients' connections to a database, or all."""
        heirs = [login.heir for login in self.registry if not database or login.identity.database == database]
        return [heir for heir in heirs if isinstance(heir, Replication)]

    def count(self, database: str) -> int:
        """`""`: all."""
        return self.counts[database] if database else self.counts.total()
