"""The section that says which answers are kept."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dbproxy.config.limits import RedisUrl
from dbproxy.config.section import Section, setting
from dbproxy.config.units import Count, Duration, Names, Size, Unit, show_duration

TAG = re.compile(r"[\w:-]{1,64}", re.ASCII)


class CacheRuleSettings(Section):
    """How answers are kept that all of this is said of: `[[cache.rules]]`."""

    relation: str = setting("", "A table or view that is read; `*` stands for any letters.")
    functions: Names = setting((), "Functions, of which one is called; `*` stands for any letters.")
    user: str = setting("", "A user; `*` stands for any letters.")
    database: str = setting("", "A database; `*` stands for any letters.")
    query: str = setting("", "A statement, by its id in `SHOW QUERIES`: 16 hexadecimal digits.")
    never: bool = setting(default=False, description="They are not kept.")
    ttl: Duration = setting("0s", "How long they are; 0: as `cache.ttl` says.")
    tags: Names = setting((), "What they may be invalidated by.")
    tables: Names | None = setting(
        None,
        "What these functions read; it is taken on trust that they read nothing else and write nothing, in whatever "
        "language, volatile or not. `[]`: no table at all.",
    )

    @model_validator(mode="after")
    def says_what_can_be(self) -> Self:
        if self.query and not re.fullmatch("[0-9a-f]{16}", self.query):
            raise ValueError("a rule's query is 16 hexadecimal digits, as SHOW QUERIES tells them")
        if not all(map(TAG.fullmatch, self.tags)):
            raise ValueError("a tag is at most 64 letters, digits, _, - and :")
        if self.tables is not None and (
            not self.functions or self.user or self.query or self.relation or "*" in self.database
        ):
            raise ValueError("a rule with tables is of functions, and of a database, and of nothing else")
        if not (self.never or self.ttl or self.tags or self.tables is not None):
            raise ValueError("a rule says never, ttl, tags or tables")
        return self


def show_rules(rules: "tuple[CacheRuleSettings, ...]") -> str:
    return ", ".join(map(show_rule, rules))


def show_rule(rule: CacheRuleSettings) -> str:
    given = ((name, getattr(rule, name)) for name in CacheRuleSettings.model_fields)
    return " ".join(
        name if value is True else f"{name}={show_word(value)}"
        for name, value in given
        if value not in ("", (), None, False, 0)
    )


def show_word(value: tuple[str, ...] | float | str) -> str:
    if isinstance(value, tuple):
        return "+".join(value)
    return value if isinstance(value, str) else show_duration(value)


class CacheKeys(Section):
    """What can be set for one database or one user."""

    mode: Literal["off", "observe", "on"] = setting(
        "off",
        "Whether reads are answered from answers that are kept; `observe` keeps them, and counts what could have been "
        "answered.",
    )
    percent: Count = setting(
        100, "The share of sessions that are answered so, for turning it on gradually.", le=100
    )
    ttl: Duration = setting("60s", "How long an answer is kept, a tenth more or less.", gt=0)
    max_result: Size = setting("128KiB", "The largest answer that is kept.")
    coalesce: Duration = setting(
        "1s", "How long those who ask for the same wait for the first of them; 0: nobody waits."
    )
    verify: Annotated[float, Field(ge=0, le=1)] = setting(
        0.01, "The share of what could be answered that is carried out all the same, and compared."
    )


class CacheSettings(CacheKeys):
    """Answers that are kept; docs/caching.md tells when they are given."""

    invalidation: Literal["proxy", "wal", "notify", "ttl"] = setting(
        "proxy",
        "Whose writes are seen: `proxy`: those that pass through here; `wal`: everybody's, by logical replication, for "
        "which primary.url's user needs REPLICATION and the server wal_level = logical; `notify`: everybody's, a "
        "moment later, by triggers; `ttl`: nobody's, answers are as old as `cache.ttl` lets them be (docs/caching.md).",
        restart=True,
    )
    memory: Size = setting("64MiB", "What all that is kept in this process may take.")
    rules: Annotated[tuple[CacheRuleSettings, ...], Unit("list of tables", show_rules)] = setting(
        (),
        "How some answers are kept: of `relation`, `functions`, `user`, `database` and `query` (`*` stands for any "
        "letters) all that are given must fit, and `never`, `ttl` and `tags` say how; the first that fits counts. "
        "With `tables` it vouches for its functions: what they read.",
    )
    redis_url: RedisUrl = setting(
        "",
        "Where proxies keep answers for each other: Redis 6 or newer, `redis://host:6379/0`, `rediss://…`, "
        "`unix:///path`; empty: nowhere. Needs `invalidation = wal` and `dbproxy[redis]`. Answers and parameters lie "
        "there as they are (docs/shared-answers.md).",
        restart=True,
    )
    redis_prefix: str = setting("cache:", "What keys there begin with.", restart=True)
    redis_timeout: Duration = setting(
        "5ms", "How long Redis may take; what is not there then is asked of a server.", gt=0, restart=True
    )
    redis_min_cost: Duration = setting(
        "2ms", "How long a statement must take a server, on average, for its answers to be in Redis."
    )
    redis_memory_limit: Size = setting(
        "96MiB", "What all that proxies keep in one Redis may take there, about.", restart=True
    )
    warming: bool = setting(
        default=False,
        description="Whether what is asked for most is fetched before anybody asks: at start, after all was forgotten, "
        "and after a write. Also `CACHE_WARMING_ENABLED`.",
    )
    warm_file: str = setting(
        "",
        "Statements that are fetched at start, a line of JSON for each (docs/shared-answers.md); empty for none.",
    )
    state_dir: str = setting(
        "",
        "Folder for the statements that were asked for most, which are fetched after a restart; made if it is not "
        "there, and read by its owner alone. Empty: they are forgotten.",
        restart=True,
    )
    refresh_hot: Count = setting(
        20, "How many of those asked for most are fetched again after a write to their tables."
    )
