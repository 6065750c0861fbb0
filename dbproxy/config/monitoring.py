"""The sections that say what is counted of each statement, what is logged of slow ones, and how."""

from typing import Literal

from dbproxy.config.section import Section, setting
from dbproxy.config.units import Count, Duration, Size

Level = Literal["debug", "info", "warning", "error"]
AreaLevel = Literal["", "debug", "info", "warning", "error"]
AREAS = (
    "admin",
    "app",
    "cache",
    "cluster",
    "jobs",
    "limits",
    "net",
    "observe",
    "pool",
    "routing",
    "session",
)  # that log
Explain = Literal["off", "reads", "all"]


class QueryStatsSettings(Section):
    """What is counted of each statement (`SHOW QUERIES`), and what of that is kept in files."""

    enabled: bool = setting(default=True, description="Whether statements are counted.", restart=True)
    capacity: Count = setting(
        5000, "Statements that are told apart; beyond, those not used for longest are added to `<other>`.",
        restart=True, ge=10,
    )  # fmt: skip
    memory_limit: Size = setting(
        "32MiB", "Memory for their figures, about; beyond it as beyond `capacity`.", restart=True, ge=65536
    )
    by_user: bool = setting(
        default=True,
        description="Whether a statement is counted for each user apart; else for each database.",
        restart=True,
    )
    track_utility: bool = setting(
        default=True,
        description="Whether BEGIN, COMMIT, SET, DDL and the like are counted, too.",
        restart=True,
    )
    state_dir: str = setting(
        "",
        "Folder for snapshots, which `dbproxy queries diff` compares; made if it is not there. Empty for none.",
        restart=True,
    )
    snapshot: Duration = setting(
        "1h",
        "How often a snapshot of what has been counted since the last is written, in whole minutes.",
        ge=60,
        le=3600,
    )
    keep: Duration = setting("7d", "How long snapshots are kept; 0 is for ever.")


class SlowQueryKeys(Section):
    """What can be set for one database or one user: which queries are logged as slow, and what with them."""

    enabled: bool = setting(default=True, description="Whether slow queries are logged.")
    threshold: Duration = setting("100ms", "A query that takes longer is logged; 0 logs every query.")
    limit: Count = setting(
        20,
        "Lines a second for one database and user; of more slow queries a sample is logged, and how many there were; 0 "
        "logs all.",
    )
    explain: Explain = setting(
        "off",
        "Whether the plan of a slow query is logged, too, once an hour for each statement: of `reads`, of `all` "
        "(INSERT, UPDATE, DELETE and MERGE, too), or `off`. It is a plain EXPLAIN, which runs nothing, on a server "
        "connection that nobody waits for.",
    )


class SlowQuerySettings(SlowQueryKeys):
    """Which queries are logged as slow."""


class LogSettings(Section):
    """What is logged, and how. `SET log.pool = 'debug'` on the console changes a level until the next RELOAD."""

    level: Level = setting("info", "The least important level that is logged.")
    format: Literal["auto", "json", "console"] = setting(
        "auto",
        "JSON lines, or text for people; `auto` is text on a terminal and JSON elsewhere.",
        restart=True,
    )
    connections: bool = setting(
        default=True, description="Whether each client's login and disconnect is logged."
    )
    flood_limit: Count = setting(
        50, "Lines a second of one kind of event; of more only the number is logged; 0 logs all."
    )
    parameters: bool = setting(
        default=False,
        description="Whether lines about slow queries show the values in them: literals and parameters. What is "
        "known by its form is hidden all the same (passwords, tokens, e-mail and card numbers), the rest is not.",
    )
    admin: AreaLevel = setting("", "The level for the console and HTTP; where empty, `level`.")
    app: AreaLevel = setting(
        "", "The level for start, stop and reload, clients that leave, and what the proxy asks by itself."
    )
    cache: AreaLevel = setting("", "The level for answers that are kept.")
    cluster: AreaLevel = setting("", "The level for hosts: their state, the primary, lag, probes.")
    jobs: AreaLevel = setting("", "The level for batches; their command writes warnings where empty.")
    limits: AreaLevel = setting("", "The level for limits that are shared by Redis.")
    net: AreaLevel = setting("", "The level for listening.")
    observe: AreaLevel = setting("", "The level for slow queries and their plans.")
    pool: AreaLevel = setting("", "The level for server connections.")
    routing: AreaLevel = setting("", "The level for where reads go.")
    session: AreaLevel = setting("", "The level for clients: logins, pins, refused requests.")

    def areas(self) -> dict[str, str]:
        """The levels of areas that have their own."""
        return {area: level for area in AREAS if (level := getattr(self, area))}
