"""All settings of one proxy, judged and frozen."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from dbproxy.config.monitoring import QueryStatsSettings
from dbproxy.config.routing import HealthSettings, RoutingKeys, RoutingSettings
from dbproxy.config.section import Section, setting
from dbproxy.config.sections import (
    AuthSettings,
    DatabaseSettings,
    HttpSettings,
    ListenSettings,
    LogSettings,
    PoolKeys,
    PoolSettings,
    PrimarySettings,
    ReplicaSettings,
    SlowQueryKeys,
    SlowQuerySettings,
    UserSettings,
)
from dbproxy.config.tracing import TracingSettings
from dbproxy.config.units import Unit
from dbproxy.config.url import Host
from dbproxy.errors import ConfigurationError

NO_PRIMARY = (
    "no primary is configured: set DATABASE_URL=postgresql://user:password@host:5432/db in the environment, "
    'or url = "postgresql://…" under [primary] in the configuration file'
)


def name_replicas(value: Any) -> Any:
    """A list of tables, or URLs separated by commas; those without a name get one."""
    if isinstance(value, str):
        value = [{"url": url.strip()} for url in value.split(",") if url.strip()]
    if not isinstance(value, list):
        return value
    return [
        {"name": f"replica{number}"} | replica if isinstance(replica, dict) else replica
        for number, replica in enumerate(value, 1)
    ]


def check_names(replicas: tuple[ReplicaSettings, ...]) -> tuple[ReplicaSettings, ...]:
    """No two hosts share a name; the one of DATABASE_URL is called primary."""
    names = ["primary"]
    for replica in replicas:
        if replica.name in names:
            raise ValueError(f'holds the name "{replica.name}" twice; "primary" is the primary\'s')
        names.append(replica.name)
    return replicas


def show_replicas(replicas: tuple[ReplicaSettings, ...]) -> str:
    return ", ".join(f"{replica.name} {replica.url}" for replica in replicas)


class Settings(Section):
    listen: ListenSettings = Field(default_factory=ListenSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    auth: AuthSettings = Field(default_factory=AuthSettings)
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
    slow_query: SlowQuerySettings = Field(default_factory=SlowQuerySettings)
    query_stats: QueryStatsSettings = Field(default_factory=QueryStatsSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)
    databases: dict[str, DatabaseSettings] = Field(default_factory=dict)
    users: dict[str, UserSettings] = Field(default_factory=dict)

    def pool_for(self, database: str, user: str) -> PoolSettings:
        """The pool's settings of one database and user: the user's over the database's over those for all."""
        changes: dict[str, Any] = {}
        for owner in self.owners(database, user):
            changes |= given(owner.pool)
        return self.pool.model_copy(update=changes)

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

    def routings(self) -> list[RoutingSettings]:
        """For all, for each database and for each user that is listed."""
        databases = [self.routing_for(database, "") for database in self.databases]
        return [self.routing, *databases, *(self.routing_for("", user) for user in self.users)]

    def pools(self) -> list[PoolSettings]:
        """As `routings`."""
        databases = [self.pool_for(database, "") for database in self.databases]
        return [self.pool, *databases, *(self.pool_for("", user) for user in self.users)]

    def owners(self, database: str, user: str) -> list[DatabaseSettings | UserSettings]:
        """Whose keys differ from those for all, in rising precedence."""
        listed = (self.databases.get(database), self.users.get(user))
        return [owner for owner in listed if owner is not None]

    def server_for(self, database: str) -> Host:
        """Where this database lives, by its name there; ConfigurationError where no primary is set."""
        listed = self.databases.get(database) or DatabaseSettings()
        host = listed.primary.url or self.primary.url
        if host is None:
            raise ConfigurationError(NO_PRIMARY)
        own = listed.primary.url.dbname if listed.primary.url else ""
        return host.with_dbname(listed.dbname or own or database)

    def hosts(self) -> dict[str, Host]:
        """Every server's URL, by the key that holds it."""
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
            *self._unused_parameters(),
            *self._no_logins(),
        ]

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
        if self.replicas and self.primary.url and not self.primary.url.user:
            found.append(
                "primary.url has no user: whether hosts are alive, and how far they are, cannot be asked"
            )
        return found

    def _unknown_replicas(self) -> list[str]:
        names = {"primary", "replica", *(f"replica({replica.name})" for replica in self.replicas)}
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

    def _unused_parameters(self) -> list[str]:
        return [
            f"{key} has parameters that dbproxy does not use: {', '.join(host.ignored)}"
            for key, host in self.hosts().items()
            if host.ignored
        ]

    def _no_logins(self) -> list[str]:
        logins = any(host.user and host.password.get_secret_value() for host in self.hosts().values())
        if logins or self.auth.file or self.auth.type == "trust" or not self.primary.url:
            return []
        return ["nobody can log in: neither primary.url nor auth.file holds a user with a password"]


def given(keys: PoolKeys | RoutingKeys | SlowQueryKeys) -> dict[str, Any]:
    """The keys that were really written, not the defaults."""
    return {name: getattr(keys, name) for name in sorted(keys.model_fields_set)}
