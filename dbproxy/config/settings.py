"""All settings of one proxy, judged and frozen."""

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from dbproxy.config.auth import AuthSettings
from dbproxy.config.batch import BatchSettings
from dbproxy.config.cache import CacheKeys, CacheSettings
from dbproxy.config.conninfo import split_list
from dbproxy.config.exposure import is_open_to_all
from dbproxy.config.limits import LimitKeys, LimitSettings
from dbproxy.config.monitoring import LogSettings, QueryStatsSettings, SlowQueryKeys, SlowQuerySettings
from dbproxy.config.routing import HealthSettings, RoutingKeys, RoutingSettings
from dbproxy.config.section import Section, setting
from dbproxy.config.sections import (
    DatabaseSettings,
    HttpSettings,
    ListenSettings,
    PasswordKeys,
    PoolKeys,
    PoolSettings,
    PrimarySettings,
    ReplicaSettings,
    UserSettings,
)
from dbproxy.config.tls import TlsSettings
from dbproxy.config.tracing import TracingSettings
from dbproxy.config.units import Unit
from dbproxy.config.url import Host
from dbproxy.errors import ConfigurationError

DATABASE_LIMITS = ("max_db_connections", "max_db_client_connections")
NO_PRIMARY = (
    "no primary is configured: set DATABASE_URL=postgresql://user:password@host:5432/db in the environment, "
    'or url = "postgresql://…" under [primary] in the configuration file'
)


SOUGHT = ("any", "primary", "read-write")  # values of target_session_attrs with which a primary is found


def name_replicas(value: Any) -> Any:
    """A list of tables, or URLs separated by commas; those without a name get one."""
    if isinstance(value, str):
        value = [{"url": url} for url in split_list(value)]
    if not isinstance(value, list):
        return value
    return [
        {"name": f"replica{number}"} | replica if isinstance(replica, dict) else replica
        for number, replica in enumerate(value, 1)
    ]


def check_names(replicas: tuple[ReplicaSettings, ...]) -> tuple[ReplicaSettings, ...]:
    """No two hosts share a name; the one of DATABASE_URL is called primary."""
    names = {"primary"}
    for replica in replicas:
        if not names.isdisjoint(replica.names()):
            raise ValueError(f'holds the name "{replica.name}" twice; "primary" is the primary\'s')
        names |= set(replica.names())
    return replicas


@dataclass(frozen=True, slots=True)
class Authority:
    """Who is asked for users' passwords, and where: `database` by our name (empty: the primary's), `dbname` there.

    Nobody if `user` is empty.
    """

    database: str
    user: str
    query: str
    dbname: str


def show_replicas(replicas: tuple[ReplicaSettings, ...]) -> str:
    return ", ".join(f"{replica.name} {replica.url}" for replica in replicas)


class Settings(Section):
    listen: ListenSettings = Field(default_factory=ListenSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    auth: AuthSettings = Field(default_factory=AuthSettings)
    tls: TlsSettings = Field(default_factory=TlsSettings)
    primary: PrimarySettings = Field(default_factory=PrimarySettings)
    replicas: Annotated[
        tuple[ReplicaSettings, ...],
        BeforeValidator(name_replicas),
        AfterValidator(check_names),
        Unit("list of tables", show_replicas),
    ] = setting((), "Each replica's `name` and `url`.")
    pool: PoolSettings = Field(default_factory=PoolSettings)
    routing: RoutingSettings = Field(default_factory=RoutingSettings)
    health: HealthSettings = Field(default_factory=HealthSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    slow_query: SlowQuerySettings = Field(default_factory=SlowQuerySettings)
    query_stats: QueryStatsSettings = Field(default_factory=QueryStatsSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)
    batch: BatchSettings = Field(default_factory=BatchSettings)
    databases: dict[str, DatabaseSettings] = Field(default_factory=dict)
    users: dict[str, UserSettings] = Field(default_factory=dict)
    _noted: tuple[str, ...] = ()

    def note(self, warnings: tuple[str, ...]) -> None:
        """What is to be warned of in how they were written."""
        self._noted = warnings

    def pool_for(self, database: str, user: str) -> PoolSettings:
        """The pool's settings of one database and user: the user's over the database's over those for all."""
        changes: dict[str, Any] = {}
        for owner in self.owners(database, user):
            changes |= given(owner.pool)
        return self.pool.model_copy(update=changes)

    def connection_limit(self, name: str, owner: str) -> int:
        """`max_db_connections` and the like, of a database or a user; 0 is none."""
        listed = (self.databases if name in DATABASE_LIMITS else self.users).get(owner)
        own = listed.pool if listed is not None and name in listed.pool.model_fields_set else self.pool
        limit: int = getattr(own, name)
        return limit

    def routing_for(self, database: str, user: str) -> RoutingSettings:
        """Where reads of one database and user go: the user's word over the database's over that for all."""
        changes: dict[str, Any] = {}
        for owner in self.owners(database, user):
            changes |= given(owner.routing)
        return self.routing.model_copy(update=changes)

    def slow_query_for(self, database: str, user: str) -> SlowQuerySettings:
        """Which queries of one database and user are slow: the user's word over the database's over that for all."""
        changes: dict[str, Any] = {}
        for owner in self.owners(database, user):
            changes |= given(owner.slow_query)
        return self.slow_query.model_copy(update=changes)

    def limits_for(self, database: str, user: str) -> LimitKeys:
        """Whether clients of one database and user are limited."""
        changes: dict[str, Any] = {}
        for owner in self.owners(database, user):
            changes |= given(owner.limits)
        return self.limits.model_copy(update=changes)

    def cache_for(self, database: str, user: str) -> CacheKeys:
        """Which answers to clients of one database and user are kept."""
        changes: dict[str, Any] = {}
        for owner in self.owners(database, user):
            changes |= given(owner.cache)
        return self.cache.model_copy(update=changes)

    def routings(self) -> list[RoutingSettings]:
        """For all, for each database and for each user that is listed."""
        databases = [self.routing_for(database, "") for database in self.databases]
        return [self.routing, *databases, *(self.routing_for("", user) for user in self.users)]

    def pools(self) -> list[PoolSettings]:
        """As `routings`."""
        databases = [self.pool_for(database, "") for database in self.databases]
        return [self.pool, *databases, *(self.pool_for("", user) for user in self.users)]

    def caches(self) -> list[CacheKeys]:
        """As `routings`."""
        databases = [self.cache_for(database, "") for database in self.databases]
        return [self.cache, *databases, *(self.cache_for("", user) for user in self.users)]

    def owners(self, database: str, user: str) -> list[DatabaseSettings | UserSettings]:
        """Whose keys differ from those for all, in rising precedence."""
        listed = (self.listed(database), self.users.get(user))
        return [owner for owner in listed if owner is not None]

    def listed(self, database: str) -> DatabaseSettings | None:
        """The keys of this database: its own, or those for all that are not listed."""
        databases = self.databases
        return (databases.get(database) or databases.get("*")) if databases else None

    def user_for(self, database: str, user: str) -> str:
        """As whom this client's server is logged in to."""
        listed = self.listed(database)
        return (listed.user if listed is not None else "") or user

    def password_for(self, database: str, user: str) -> PasswordKeys | None:
        """Where the password of this user of a server is, if not in a URL or the file of users."""
        listed = self.listed(database)
        for keys in (listed if listed is not None and listed.user == user else None, self.users.get(user)):
            if keys is not None and keys.has_password():
                return keys
        return None

    def authority_for(self, database: str) -> Authority:
        """Who knows the passwords of this database's users."""
        own = (self.listed(database) if database else None) or DatabaseSettings()
        apart = bool(own.primary.url or own.auth_user or own.auth_query or own.auth_dbname)
        host = own.primary.url or self.primary.url
        name = database if database in self.databases else "*"
        return Authority(
            name if apart else "",
            own.auth_user or self.auth.user,
            own.auth_query or self.auth.query,
            own.auth_dbname or self.auth.dbname or (host.dbname if host is not None else "") or "postgres",
        )

    def authorities(self) -> dict[str, Authority]:
        """Who knows the passwords of users, of whatever database, by the key that says who asks."""
        asked = {name: listed.auth_user for name, listed in self.databases.items()}
        return {
            f"databases.{name}.auth_user" if own else "auth.user": self.authority_for(name)
            for name, own in ({"*": ""} | asked).items()
        }

    def server_for(self, database: str) -> Host:
        """Where this database lives, by its name there; ConfigurationError where no primary is set.

        That without a name, where users are looked up, is the primary's.
        """
        listed = (self.listed(database) if database else None) or DatabaseSettings()
        host = listed.primary.url or self.primary.url
        if host is None:
            raise ConfigurationError(NO_PRIMARY)
        own = listed.primary.url.dbname if listed.primary.url else ""
        return host.with_dbname(listed.dbname or own or database)

    def may_administer(self, user: str, *, local: bool) -> bool:
        """Whether the user may do everything on the console; `local`: asks from this machine.

        Where nobody was named for that, who has the login of `primary.url` may, from here.
        """
        url = self.primary.url
        named = "admin_users" in self.auth.model_fields_set
        own = local and not named and url is not None and url.user == user != ""
        return user in self.auth.admin_users or own

    def may_watch(self, user: str, *, local: bool) -> bool:
        """Whether the user may read on the console."""
        return user in self.auth.stats_users or self.may_administer(user, local=local)

    def candidates(self) -> tuple[Host, ...]:
        """The hosts of `primary.url`, of which the one that takes writes is found; or all as one, where none is to."""
        url = self.primary.url
        if url is None:
            return ()
        return url.each() if self.replicas or url.attrs in SOUGHT else (url,)

    def is_watched(self) -> bool:
        """Whether there are several hosts, one of which is the primary: then they are asked how they are."""
        return len(self.candidates()) + sum(len(replica.hosts()) for replica in self.replicas) > 1

    def hosts(self) -> dict[str, Host]:
        """Every server alone, by the key that holds it."""
        return {
            f"{key}, host {number}" if number > 1 else key: host
            for key, url in self.urls().items()
            for number, host in enumerate(url.each(), 1)
        }

    def urls(self) -> dict[str, Host]:
        """Every URL, by the key that holds it."""
        urls = {"primary.url": self.primary.url}
        urls |= {
            f"databases.{name}.primary.url": listed.primary.url for name, listed in self.databases.items()
        }
        urls |= {f"replicas.{replica.name}.url": replica.url for replica in self.replicas}
        return {key: host for key, host in urls.items() if host is not None}

    def warnings(self) -> list[str]:
        """What is valid, but does not do what one may think."""
        return [
            *self._unused_routing(),
            *self._unknown_replicas(),
            *self._unused_tracing(),
            *self.limits.list_doubts(),
            *self._uncounted_rows(),
            *self._unshared_answers(),
            *self._unused_parameters(),
            *self._remarks(),
            *self._no_logins(),
            *self._small_memory(),
            *self._open_files(),
            *self._open_keys(),
            *self._absent_programs(),
            *self._noted,
        ]

    def _unshared_answers(self) -> list[str]:
        if self.cache.redis_url.get_secret_value() and self.cache.invalidation != "wal":
            return ['cache.redis_url is not used: that needs cache.invalidation = "wal"']
        return []

    def _unused_routing(self) -> list[str]:
        found = []
        if self.replicas and all(routing.mode == "off" for routing in self.routings()):
            found.append('replicas are configured, but routing.mode is "off": everything goes to the primary')
        if self.replicas and not any(
            pool.mode == "transaction" and pool.max_prepared_statements for pool in self.pools()
        ):
            found.append(
                "replicas are configured, but no pool has transaction mode and prepared statements: "
                "everything goes to the primary"
            )
        if self.is_watched() and self.primary.url and not self.primary.url.user:
            found.append(
                "primary.url has no user: whether hosts are alive, and how far they are, cannot be asked"
            )
        return found

    def _unknown_replicas(self) -> list[str]:
        hosts = (name for replica in self.replicas for name in replica.names())
        names = {"primary", "replica", *(f"replica({name})" for name in hosts)}
        routes = {rule.route for routing in self.routings() for rule in routing.rules}
        return [
            f"a rule of routing.rules says {route}, and no replica has this name: the primary answers instead"
            for route in sorted(routes - names)
        ]

    def _unused_tracing(self) -> list[str]:
        asked = self.tracing.http or (self.tracing.database and "database" in self.tracing.model_fields_set)
        if self.tracing.mode != "off" or not asked:
            return []
        return ['tracing.database or tracing.http is true, but tracing.mode is "off": nothing is traced']

    def _uncounted_rows(self) -> list[str]:
        tiers = [name for name, tier in self.limits.tiers.items() if tier.rows is not None]
        if not tiers or self.query_stats.enabled:
            return []
        return [
            f"limits.tiers.{tiers[0]}.rows limits nobody: query_stats.enabled is false, and no rows are counted"
        ]

    def _unused_parameters(self) -> list[str]:
        return [
            f"{key} has parameters that dbproxy does not use: {', '.join(host.ignored)}"
            for key, host in self.urls().items()
            if host.ignored
        ]

    def _remarks(self) -> list[str]:
        found = [f"{key}: {remark}" for key, host in self.hosts().items() for remark in host.remarks]
        url = self.primary.url
        if url is not None and self.replicas and url.attrs not in SOUGHT:
            found.append(
                f"primary.url: target_session_attrs={url.attrs} does not count, as there are replicas: the host that "
                "takes writes is found"
            )
        return found

    def _open_keys(self) -> list[str]:
        keys = {
            "tls.client_tls_key_file": self.tls.client_tls_key_file,
            "tls.server_tls_key_file": self.tls.server_tls_key_file,
            **{f"{key} (sslkey)": host.tls.sslkey for key, host in self.hosts().items()},
        }
        return [
            f"{key}: everybody on this machine may read the private key {path}; chmod 600 {path}"
            for key, path in keys.items()
            if path and is_open_to_all(Path(path))
        ]

    def _no_logins(self) -> list[str]:
        logins = any(host.user and host.password.get_secret_value() for host in self.hosts().values())
        logins |= any(user.password.get_secret_value() for user in self.users.values())
        asks = any(authority.user for authority in self.authorities().values())
        proven = self.auth.type in ("scram-sha-256", "md5", "password")
        if logins or asks or self.auth.file or not proven or not self.primary.url:
            return []
        return ["nobody can log in: neither primary.url nor auth.file holds a user with a password"]

    def _small_memory(self) -> list[str]:
        longest = self.listen.max_message_size
        if not any(0 < pool.max_client_memory < longest for pool in self.pools()):
            return []
        return [
            "pool.max_client_memory is less than listen.max_message_size: who sends so long a message is disconnected"
        ]

    def _open_files(self) -> list[str]:
        files = {f"{name}.password_file": keys.password_file for name, keys in self._password_keys()}
        return [
            f"{key}: everybody on this machine may read the passwords in {path}; chmod o-rwx {path}"
            for key, path in {"auth.file": self.auth.file, **files}.items()
            if path is not None and is_open_to_all(path)
        ]

    def _absent_programs(self) -> list[str]:
        commands = {f"{name}.password_command": keys.password_command for name, keys in self._password_keys()}
        return [
            f"{key}: there is no program {program} that may be run here"
            for key, command in commands.items()
            for program in shlex.split(command)[:1]
            if shutil.which(program) is None
        ]

    def _password_keys(self) -> list[tuple[str, PasswordKeys]]:
        owners: list[tuple[str, PasswordKeys]] = [
            (f"databases.{name}", keys) for name, keys in self.databases.items()
        ]
        return owners + [(f"users.{name}", keys) for name, keys in self.users.items()]


def given(keys: PoolKeys | RoutingKeys | SlowQueryKeys | LimitKeys | CacheKeys) -> dict[str, Any]:
    """The keys that were really written, not the defaults."""
    return {name: getattr(keys, name) for name in sorted(keys.model_fields_set)}
