"""The section that says what is counted of each statement, and what is kept of that."""

from dbproxy.config.section import Section, setting
from dbproxy.config.units import Count, Duration, Size


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
