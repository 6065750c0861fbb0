"""The hosts behind the proxy: the cluster, the pools to its replicas, and what follows when a host is lost or found."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from time import monotonic
from typing import Any

import structlog

from dbproxy.app.encryption import Encryption
from dbproxy.cluster.cluster import Cluster
from dbproxy.cluster.member import Member
from dbproxy.config import Host, Settings
from dbproxy.errors import ServerUnavailable
from dbproxy.net.tls import ServerTls
from dbproxy.pool.choice import Standing
from dbproxy.pool.commits import Commits
from dbproxy.pool.pool import Pool
from dbproxy.routing.plugins import Plugin, load_plugin
from dbproxy.routing.room import Room
from dbproxy.routing.router import Router
from dbproxy.routing.wishes import EVENTUAL, GLOBAL

log = structlog.get_logger(__name__)

GONE = ("down", "fenced", "disabled")  # states of a host whose connections are of no use any more


class Hosts:
    """One cluster. `make_pool(host, primary)` makes a replica's pool beside the primary's; `pools()` are all pools."""

    def __init__(
        self,
        settings: Settings,
        make_pool: Callable[[Member, Pool], Pool],
        pools: Callable[[], Iterator[Pool]],
    ) -> None:
        self.settings = settings
        self.make_pool = make_pool
        self.pools = pools
        self.cluster = Cluster(settings)
        self.cluster.find_tls = self.find_tls
        self.cluster.on_primary = self.primary_changed
        self.cluster.on_out = self.host_out
        self.cluster.on_in = self.host_in
        self.cluster.on_moved = self.host_moved
        self.standing = Standing()
        self.commits = Commits()
        self.cluster.on_lead = self.commits.sample
        self.room = Room(self.cluster)
        self.cluster.on_position = self.room.moved
        self.routers: dict[tuple[str, str], Router] = {}
        self.on_gone: Callable[[Member], object] = lambda _: None  # connections there that are in no pool
        self.on_epoch: Callable[[int], object] = lambda _: (
            None
        )  # another host is the primary, at this position
        self.watcher: asyncio.Task[Any] | None = None
        self.apply(settings, load_plugin(settings.routing.plugin), Encryption(settings))

    def apply(self, settings: Settings, plugin: Plugin | None, encryption: Encryption) -> None:
        """Other settings: hosts that stay keep their state."""
        self.settings = settings
        self.encryption = encryption
        self.plugin = plugin
        self.cluster.apply(settings, monotonic())
        self.follow_commits(settings)
        for (database, user), router in self.routers.items():
            routing = settings.routing_for(database, user)
            moved = not self.moves(database)  # to a host of its own: its reads belong there, too
            router.apply(routing.model_copy(update={"mode": "off"}) if moved else routing, plugin)
            for destination in router.destinations:
                if destination.host not in self.cluster.members:
                    router.forget(destination)
                    self.give_up(destination.pool, "the host was taken out of the configuration")

    def find_tls(self, host: Host) -> ServerTls | None:
        """How lines to a server are encrypted now."""
        return self.encryption.towards(host)

    def moves(self, database: str) -> bool:
        """Whether the database is where the cluster's primary is, wherever that is."""
        listed = self.settings.listed(database)
        return listed is None or listed.primary.url is None

    def follow_commits(self, settings: Settings) -> None:
        """Have commits followed by the question where they are, if reads may have to see them."""
        routes = any(routing.mode != "off" for routing in settings.routings())
        follows = any(routing.consistency != EVENTUAL for routing in settings.routings())
        wanted = bool(settings.replicas) and routes and follows
        if not wanted or not self.cluster.positions:
            self.commits.asks = False
        elif not self.commits.asks:
            self.commits.want(monotonic())

    def sees_all(self, database: str, user: str) -> bool:
        """Whether reads there are to see all commits to what they read, and what that is can be known."""
        if not self.settings.replicas or not self.moves(database):
            return False
        routing = self.settings.routing_for(database, user)
        pool = self.settings.pool_for(database, user)
        if pool.mode != "transaction" or not pool.max_prepared_statements:  # its reads stay on the primary
            return False
        return routing.mode != "off" and routing.consistency == GLOBAL and pool.read_functions

    def chooses(self, database: str) -> bool:
        """Whether there are other hosts, one of which may become the database's primary."""
        return self.watches() and self.moves(database)

    def watches(self) -> bool:
        """Whether hosts are probed: there are several."""
        return self.settings.is_watched()

    def watch(self, spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[Any]]) -> None:
        """From when there are several on."""
        if self.watcher is None and self.watches():
            self.watcher = spawn(self.cluster.run())

    # --- pools and routers ---

    def forget(self, key: tuple[str, str]) -> bool:
        """Whether nothing holds the replicas' pools beside this one any more: then they are forgotten."""
        router = self.routers.get(key)
        if router is not None and any(pool.size() for pool in router.pools()):
            return False
        self.routers.pop(key, None)
        return True

    def find_router(self, database: str, user: str, primary: Pool) -> Router | None:
        """None if there is nothing to choose from."""
        if not self.settings.replicas or not self.moves(database):
            return None
        router = self.routers.get((database, user))
        if router is None or router.primary is not primary:
            router = self.routers[database, user] = Router(
                primary,
                self.cluster,
                self.settings.routing_for(database, user),
                lambda host: self.make_pool(host, primary),
                self.plugin,
                self.room,
            )
        return router

    def address_of(self, pool: Pool) -> Host:
        """Where the pool's connections go; ServerUnavailable while no host is writable."""
        if pool.host is None:
            return self.find_primary(pool.database)
        host: Host = pool.host.url
        return host.with_dbname(self.settings.server_for(pool.database).dbname)

    def find_primary(self, database: str) -> Host:
        """Where writes to this database go; ServerUnavailable while no host is writable."""
        listed: Host = self.settings.server_for(database)
        if not self.moves(database):
            return listed
        if self.cluster.primary is None:
            found = [(member.name, member.health.last_error) for member in self.cluster.members]
            errors = "; ".join(f"{name}: {error}" for name, error in found if error)
            raise ServerUnavailable(
                "no host is writable: the primary is lost, and none of the others has been promoted yet"
                + (f" ({errors})" if errors else "")
            )
        return self.cluster.primary.url.with_dbname(listed.dbname)

    def find_walsender(self, database: str, *, read_only: bool) -> Host:
        """Whose WAL a replication connection gets: the primary's, or that of a replica."""
        if read_only and self.moves(database):
            replica = self.cluster.readers.pick(monotonic())
            if replica is not None:
                url: Host = replica.url
                return url.with_dbname(self.settings.server_for(database).dbname)
        return self.find_primary(database)

    def replica_pools(self) -> Iterator[Pool]:
        for router in self.routers.values():
            yield from router.pools()

    # --- what happens to hosts ---

    def primary_changed(self, primary: Member | None) -> None:
        if primary is None:
            return  # who asks for a server waits
        now = monotonic()
        self.commits.reset(primary.position.lsn)
        self.on_epoch(primary.position.lsn)
        for pool in list(self.pools()):
            if pool.host is None and self.moves(pool.database):
                self.move(pool, primary, now)

    def move(self, pool: Pool, host: Member, now: float) -> None:
        """Connections to another server are of no use: what is open there is lost; who waits is served by this one."""
        pool.retire(f"the primary is {host.url.address} now")
        for server in pool.servers():
            if server.backend.address != host.url.address:
                server.close(f"the primary is {host.url.address} now")
            elif server.backend.connected_at <= host.moved_at:
                server.close(f"{host.url.address} is another server now")
        pool.try_again(now)

    def host_out(self, member: Member) -> None:
        if member.state in GONE:
            self.on_gone(member)
        for pool in self.pools_of(member):
            self.give_up(pool, f"{member.name} is {member.state}", active=member.state in GONE)

    def host_in(self, member: Member) -> None:
        for pool in self.pools_of(member):
            pool.try_again(monotonic())

    def host_moved(self, member: Member) -> None:
        if member is self.cluster.primary:
            self.primary_changed(member)
        for pool in self.pools_of(member):
            self.move(pool, member, monotonic())

    def pools_of(self, member: Member) -> list[Pool]:
        """Those to it as a replica."""
        return [
            destination.pool
            for router in self.routers.values()
            for destination in router.destinations
            if destination.host is member
        ]

    def give_up(self, pool: Pool, why: str, *, active: bool = True) -> None:
        """Close what is idle; with `active` also what is lent: reads that have not been answered go elsewhere."""
        pool.retire(why)
        for server in pool.servers() if active else ():
            server.close(why)
        for client in list(pool.waiting):
            pool.leave(client)
            client.refuse(ServerUnavailable(why))

    def sweep(self) -> None:
        """The janitor's: whether the primary tells positions is known only since it was asked."""
        if self.commits.asks and not self.cluster.positions:
            self.commits.asks = False
