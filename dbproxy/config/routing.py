"""The sections that say which host answers: routing and health."""

import re
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, model_validator

from dbproxy.config.section import Section, setting
from dbproxy.config.units import Count, Duration, Unit, parse_duration, show_duration

Balancing = Literal["peak_ewma", "least_connections", "round_robin", "random"]
Consistency = Literal["eventual", "session", "global"]
AUTO: Final = "auto"
_ROUTE = re.compile(r"primary|replica|replica\([^()]+\)")


def parse_hedge_after(value: object) -> float | str:
    """AUTO, or seconds."""
    if value == AUTO:
        return AUTO
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f"must be auto, or {str(error).removeprefix('must be ')}") from None


def show_hedge_after(value: float | str) -> str:
    return value if isinstance(value, str) else show_duration(value)


HedgeAfter = Annotated[
    float | Literal["auto"], BeforeValidator(parse_hedge_after), Unit("duration or `auto`", show_hedge_after)
]


class RuleSettings(Section):
    """Where a read goes that reads this relation, or calls this function: `[[routing.rules]]`."""

    relation: str = setting("", "A table or view, without its schema; `*` stands for any letters.")
    function: str = setting("", "A function, without its schema; `*` stands for any letters.")
    route: str = setting("", "`primary`, `replica` or `replica(name)`.")

    @model_validator(mode="after")
    def says_when_and_where(self) -> Self:
        if not self.relation and not self.function:
            raise ValueError("a rule needs a relation or a function")
        if not _ROUTE.fullmatch(self.route):
            raise ValueError("a rule's route is primary, replica or replica(name)")
        return self


def show_rules(rules: tuple[RuleSettings, ...]) -> str:
    return ", ".join(f"{rule.relation or rule.function} {rule.route}" for rule in rules)


class RoutingKeys(Section):
    """What can be set for one database or one user: where its reads may go."""

    mode: Literal["off", "observe", "on"] = setting(
        "on",
        "Whether reads go to replicas, where there are some; `observe` sends everything to the primary and counts what "
        "would have gone where.",
    )
    percent: Count = setting(
        100,
        "The share of sessions whose reads go to replicas, for moving there gradually; the others' go to the primary.",
        le=100,
    )
    consistency: Consistency = setting(
        "global",
        "Whose writes a read on a replica must see: all that were made through this proxy to the tables that it reads, "
        "those of its own `session`, or nobody's (`eventual`).",
    )
    consistency_wait: Duration = setting(
        "0s",
        "How long a read waits for a replica that has not replayed what it must see; then the primary answers.",
    )
    hedge_after: HedgeAfter = setting(
        "auto",
        "How long a replica may owe a read the first byte of its answer, or a connection, until another host is asked "
        "instead; `auto` is three times the p99 of that replica's answers, at least 50 ms; 0 is never.",
    )
    rules: Annotated[tuple[RuleSettings, ...], Unit("list of tables", show_rules)] = setting(
        (),
        "Hints for reads, by what they read or call: each one's `relation` or `function` (`*` stands for any letters) "
        "and `route` (`primary`, `replica` or `replica(name)`); the first that fits counts.",
    )


class RoutingSettings(RoutingKeys):
    """Which host answers; docs/routing.md tells how it is decided."""

    plugin: str = setting(
        "",
        "Python of your own that says where a statement goes: `package.module:function`, or the name of an entry point "
        "in the group `dbproxy.routing`.",
    )
    primary_after_write: Duration = setting(
        "1s",
        "How long a session's reads stay on the primary after it wrote, where the primary tells no positions in its "
        "WAL (Aurora); elsewhere not used.",
    )
    balancing: Balancing = setting(
        "peak_ewma",
        "Who answers a read, of the replicas that may: `peak_ewma` asks by weight and avoids the slow and the busy, "
        "`least_connections` only the busy; `round_robin` and `random` go by weight alone.",
    )
    primary_reads_weight: Count = setting(
        0, "The primary's own share of reads against the replicas' weights; 0: only if no replica can answer."
    )
    slow_start: Duration = setting(
        "30s", "How long the share of a replica that came back grows until it is whole; 0 is at once."
    )


class HealthSettings(Section):
    """How hosts are judged; docs/failover.md tells what follows."""

    interval: Duration = setting(
        "30s",
        "How often each host is looked at anew, by a new connection (its name is resolved again); also "
        "`DATABASE_REPLICA_HEALTH_CHECK_INTERVAL`, in milliseconds.",
        ge=0.01,
    )
    lag_interval: Duration = setting(
        "250ms",
        "How often each host is asked for its role and position in between; 0 is only every `interval`.",
    )
    timeout: Duration = setting("2s", "Longest that a connect or a question may take.", ge=0.01)
    dns_max_ttl: Duration = setting(
        "15s",
        "How long the addresses of a server's name count until it is looked up again; server connections to one that "
        "it has no more are closed when they are free. 0 looks it up for each connection, and closes none.",
    )
    failure_threshold: Count = setting(
        3, "Failures in a row that take a host out; also `DATABASE_REPLICA_FAILOVER_THRESHOLD`.", ge=1
    )
    success_threshold: Count = setting(2, "Successes in a row that bring it back.", ge=1)
    lag_warn: Duration = setting("5s", "A replica that lags by more is warned of.", gt=0)
    lag_limit: Duration = setting(
        "30s", "A replica that lags by more gets no reads until it lags by less than half of that.", gt=0
    )
