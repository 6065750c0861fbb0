"""The section that says how much each may ask for."""

import re
from collections.abc import Mapping
from ipaddress import ip_network
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from dbproxy.config.rate import (
    ADVICE,
    LARGEST,
    Rate,
    parse_rate,
    parse_server_time,
    show_rate,
    show_server_time,
)
from dbproxy.config.secrecy import HIDDEN, may_hold_secret
from dbproxy.config.section import Section, setting
from dbproxy.config.template import Template, parse_template
from dbproxy.config.units import Count, Duration, Names, Unit, parse_duration, show_duration

Counted = Literal["transactions", "queries", "logins"]
_TIER = re.compile(r"(.*?)(?:\s+burst\s+(\d+))?\s*", re.IGNORECASE)
YEAR = 365 * 86400.0  # seconds
YEARS = 100  # in which all of a limit comes back; twice of that is exact in Redis' numbers, too


def parse_max_wait(value: object) -> float | None:
    return None if value is None or value == "" else parse_duration(value)


def show_max_wait(value: float | None) -> str:
    return "" if value is None else show_duration(value)


def check_redis_url(url: SecretStr) -> SecretStr:
    if not re.fullmatch(r"|(rediss?|unix)://\S+", url.get_secret_value()):
        raise ValueError(
            "must be a URL such as redis://:password@host:6379/0, rediss:// with TLS, or unix://"
        )
    return url


def show_redis_url(url: SecretStr) -> str:
    """Without its login, which may hold an @ or a /, and without its parameters, of which one may be the password.

    Where an @ comes behind a ? it may end either: nothing of it is shown.
    """
    shown = re.sub(r"//.*\?.*@.*", f"//{HIDDEN}", url.get_secret_value())
    return re.sub(r"\?.*", f"?{HIDDEN}", re.sub(r"//[^?]*@", f"//{HIDDEN}@", shown))


RedisUrl = Annotated[SecretStr, AfterValidator(check_redis_url), Unit("URL", show_redis_url)]
RateField = Annotated[Rate | None, BeforeValidator(parse_rate), Unit("rate", show_rate)]
ServerTime = Annotated[
    Rate | None, BeforeValidator(parse_server_time), Unit("duration for a period", show_server_time)
]
MaxWait = Annotated[float | None, BeforeValidator(parse_max_wait), Unit("duration", show_max_wait)]
Key = Annotated[Template, BeforeValidator(parse_template), Unit("template", str)]


class TierSettings(Section):
    """How much those of one tier may ask for; what is not given is not limited."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    rate: RateField = setting("", "What `count` counts, for a period: `10/min`.")
    burst: Count = setting(
        0, "How much more at once (docs/limits.md: the two meanings, by `pace`).", le=LARGEST
    )
    max_concurrent: Count = setting(0, "Transactions open at once.")
    max_wait: MaxWait = setting("", "As `limits.max_delay`, for this tier.")
    server_time: ServerTime = setting(
        "",
        "How long its transactions may hold servers, for a period: `5s/min`; what is over delays the next.",
    )
    rows: RateField = setting("", "Rows that it may be sent, for a period; what is over delays the next.")
    logins: RateField = setting("", "Logins for a period.")
    weight: Count = setting(
        1, "Its turns where clients wait for a server, against the others'.", ge=1, le=1000
    )

    @model_validator(mode="after")
    def check_span(self) -> Self:
        """What a bucket holds is counted in microseconds (limits.bucket), twice which have to fit."""
        for rate in (self.rate, self.logins):
            if rate is not None and (rate.number + self.burst) / rate.number * rate.period > YEARS * YEAR:
                raise ValueError(
                    f"a burst of {self.burst} would not come back in {YEARS} years: make burst smaller, or rate higher"
                )
        return self


def parse_tier(text: str) -> TierSettings:
    """As `SET LIMIT` has it: `500/min burst 50`. ValueError if it is none."""
    found = _TIER.fullmatch(text.strip())
    if found is None or not found[1]:
        raise ValueError(ADVICE)
    return TierSettings(rate=parse_rate(found[1]), burst=int(found[2] or 0))


def show_tier(tier: TierSettings) -> str:
    words = [show_rate(tier.rate)] if tier.rate is not None else []
    words += [f"burst {tier.burst}"] if tier.burst else []
    words += [f"max_concurrent {tier.max_concurrent}"] if tier.max_concurrent else []
    words += [f"server_time {show_server_time(tier.server_time)}"] if tier.server_time is not None else []
    words += [f"rows {tier.rows}"] if tier.rows is not None else []
    words += [f"logins {tier.logins}"] if tier.logins is not None else []
    words += [f"max_wait {show_max_wait(tier.max_wait)}"] if tier.max_wait is not None else []
    words += [f"weight {tier.weight}"] if tier.weight != 1 else []
    return " ".join(words) or "no limit"


NONE = "none"  # the tier of who is not limited
TIERS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "free": {"rate": "10/min", "burst": 2},
        "standard": {"rate": "100/min", "burst": 20},
        "pro": {"rate": "1000/min", "burst": 100},
        "enterprise": {"rate": "10000/min", "burst": 1000},
        NONE: {},
    }
)


def add_tiers(value: Any) -> Any:
    """Those of the plan, and what is written over them."""
    return {**TIERS, **value} if isinstance(value, dict) else value


def show_tiers(tiers: Mapping[str, TierSettings]) -> str:
    return ", ".join(f"{name} {show_tier(tier)}" for name, tier in tiers.items())


class LimitRuleSettings(Section):
    """Who is held to a limit together: all of the same `key`."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str = setting("", "What errors and `SHOW LIMITS` call it; the field of its key where not given.")
    key: Key = setting("{user}", "Made of `{user}`, `{database}`, `{setting.app.tenant_id}` and the like.")
    tier: str = setting("", "The tier of keys that are not listed; `limits.tier` where not given.")
    tiers: dict[str, str] = setting({}, "Keys, and the tier of each.")
    count: Literal["", "transactions", "queries", "logins"] = setting("", "As `limits.count`, for this rule.")
    source: str = setting("", "A query on the primary whose rows are keys and their tiers.")


def name_rules(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return value
    return [_name_rule(rule) if isinstance(rule, dict) else rule for rule in value]


def _name_rule(rule: dict[str, Any]) -> dict[str, Any]:
    fields = re.findall(r"\{(?:[a-z]+\.)?([^{}/]+)", str(rule.get("key", "{user}")))
    return {"name": "+".join(fields) or "key"} | rule


def show_rules(rules: tuple[LimitRuleSettings, ...]) -> str:
    return ", ".join(f"{rule.name} {rule.key} {rule.tier}".strip() for rule in rules)


class LimitKeys(Section):
    """What can be set for one database or one user: whether its clients are limited."""

    mode: Literal["off", "observe", "on"] = setting(
        "off",
        "Whether clients are limited; `observe` counts what would have been refused, and refuses nothing.",
    )
    percent: Count = setting(
        100, "The share of sessions that are limited, for turning it on gradually.", le=100
    )


class LimitSettings(LimitKeys):
    """How much each user, tenant or API key may ask for; docs/limits.md tells how it is decided."""

    tier: str = setting(NONE, "The tier of whoever no rule gives one.")
    tiers: Annotated[dict[str, TierSettings], BeforeValidator(add_tiers), Unit("tables", show_tiers)] = (
        setting(
            {},
            "Each tier's keys, under its name; `free`, `standard`, `pro`, `enterprise` and `none` are there.",
        )
    )
    rules: Annotated[
        tuple[LimitRuleSettings, ...], BeforeValidator(name_rules), Unit("list of tables", show_rules)
    ] = setting(
        [],
        "Who is limited together, each user by default; where several rules hold, all must allow.",
    )
    count: Counted = setting("transactions", "What a rate counts.")
    pace: Literal["quota", "even"] = setting(
        "quota",
        "How a rate and a burst are meant: `quota` lets all of a period's rate and the burst through at once, `even` "
        "spreads the rate, and lets the burst through ahead of it.",
    )
    action: Literal["reject", "delay"] = setting(
        "reject",
        "What becomes of a request over the limit; `delay` holds it back for up to `max_delay` first.",
    )
    max_delay: Duration = setting("1s", "Longest that a request is held back.", le=3600)
    notice_at: Annotated[float, Field(ge=0, le=1)] = setting(
        0.0, "The share of a limit from which on its client is warned (01000), once a minute; 0 is never."
    )
    exempt: Names = setting(
        [], "Users, keys, addresses and networks (`10.0.0.0/8`) that nothing here is for."
    )
    trust: Names = setting(
        [],
        "Users whose word is taken for what a client can set itself: `application_name`, settings, tags; `*`: all.",
    )
    max_keys: Count = setting(
        100000, "Keys that are told apart; those that come when all are in use share one limit.", ge=100
    )
    source_interval: Duration = setting("30s", "How often each rule's `source` is read.", ge=0.1)
    source_channel: str = setting(
        "dbproxy_limits", "The channel on which a NOTIFY has it read at once; empty for none."
    )
    redis_url: RedisUrl = setting(
        "",
        "Where rates are shared with other proxies: `redis://host:6379/0`, `rediss://…`, `unix:///path`; empty: not "
        "shared. Needs `dbproxy[redis]`.",
    )
    redis_key_prefix: str = setting("rl:", "What keys there begin with; also `RATE_LIMIT_REDIS_KEY_PREFIX`.")
    redis_timeout: Duration = setting(
        "20ms", "How long Redis may take for an answer until it counts as gone.", gt=0
    )
    graceful_degradation: bool = setting(
        default=True,
        description="Whether each proxy holds its clients to its share of the limits while Redis is gone; else they "
        "are refused. Also `RATE_LIMIT_GRACEFUL_DEGRADATION`.",
    )

    @model_validator(mode="after")
    def knows_its_tiers(self) -> Self:
        named = {self.tier, *(tier for rule in self.rules for tier in (rule.tier, *rule.tiers.values()))} - {
            ""
        }
        if unknown := sorted(named - self.tiers.keys()):
            shown = HIDDEN if may_hold_secret(unknown[0]) else unknown[0]
            raise ValueError(f"no such tier: {shown}; there are {', '.join(self.tiers)}")
        names = [rule.name for rule in self.rules]
        if len(set(names)) < len(names):
            raise ValueError("two of limits.rules have the same name: give each its own")
        return self

    @model_validator(mode="after")
    def exempts_networks(self) -> Self:
        for word in self.exempt:
            if "/" in word:
                try:
                    ip_network(word)
                except ValueError:
                    raise ValueError(
                        'exempt holds what is no network, such as "10.0.0.0/8" (without host bits)'
                    ) from None
        return self

    def list_doubts(self) -> list[str]:
        """What is valid, but holds nobody to anything."""
        found = [
            f"rule {rule.name} of limits.rules is made of what clients set themselves, and limits.trust is empty: "
            "it holds nobody"
            for rule in self.rules
            if rule.key.is_claim and not self.trust
        ]
        if self.mode != "off" and self.tier == NONE and not self.rules:
            found.append(
                f'limits.mode is "{self.mode}", but limits.tier is "{NONE}" with no limits.rules: nobody is limited'
            )
        return found

    def list_rules(self) -> tuple[LimitRuleSettings, ...]:
        return self.rules or (LimitRuleSettings(name="user"),)

    def tier_of(self, rule: LimitRuleSettings, key: str) -> str:
        """By the configuration alone."""
        return rule.tiers.get(key) or rule.tier or self.tier
