"""What users of other caches have reported, and that none of it happens here."""

import re
from pathlib import Path

import dbproxy.cache

TESTS = Path(__file__).parents[2]
IDENTITY = "test_change_of_identity_is_another_answer"
WRITTEN = "test_whatever_was_written_is_seen"
# By report: what went wrong there, and the test that it does not here.
REPORTS = {
    "Pgpool-II 6b7d585eb, CVE-2024-45624": ("SET ROLE and row-level security", IDENTITY),
    "Pgpool-II 6b7d585eb, REVOKE and BYPASSRLS": (
        "rights that change",
        "test_what_is_altered_is_another_answer",
    ),
    "Pgpool-II 3f36fe3a3": ("an UPDATE in parts", WRITTEN),
    "Pgpool-II 35a5a79d6": ("a Bind long after its Parse", WRITTEN),
    "Pgpool-II 7398ae009": (
        "a SELECT between writes",
        "test_nothing_of_an_open_transaction_is_seen_by_others",
    ),
    "Pgpool-II 39eb7efa3": ("an answer in parts", "test_second_execute_of_a_portal_has_no_rows"),
    "Pgpool-II 4dd7371c2": ("two Binds before a Sync", "test_two_statements_bound_before_one_sync"),
    "Pgpool-II 57752e4ab": ("Execute, Flush, Sync", "test_node_postgres_is_answered_and_sees_its_writes"),
    "Pgpool-II c947114af": (
        "behind a Sync it hangs",
        "test_execute_with_flush_and_sync_is_answered_and_nothing_hangs",
    ),
    "Pgpool-II 247559856": ("MERGE", WRITTEN),
    "Pgpool-II c7d3ad9fd": ("EXPLAIN ANALYZE of a write", WRITTEN),
    "Pgpool-II c7aa75cd7, CURRENT_TIME": ("the time", "test_what_differs_by_itself_is_not_kept"),
    "Pgpool-II 859ca1734": ("a literal after SET TIME ZONE", IDENTITY),
    "Pgpool-II 1333d2ae8": (
        "another feature takes the mark of a write",
        "test_write_of_a_transaction_is_seen_whatever_else_is_on",
    ),
    "Pgpool-II 4a772e468": ("REFRESH", "test_write_is_seen_where_it_reaches"),
    "cacheops#302": ("a write during a fill", "test_write_during_a_fill"),
    "cachalot#269": ("a restart, then a write", "test_write_behind_a_restart_of_the_database_is_seen"),
    "cachalot#84": ("clocks that are apart", "test_clocks_that_are_apart_change_nothing"),
    "ReadySet#206": ("transactions over two tables", "test_no_read_shows_less_than_was_acknowledged"),
    "elizaOS#11126": ("no row is an answer", "test_empty_answer_is_kept_and_dropped_like_others"),
    "metabase#78339": (
        "old data while it is fetched again",
        "test_what_has_expired_is_told_to_nobody_while_it_is_fetched",
    ),
    "redis-py#2624": ("another's answer", "test_late_answer_is_never_taken_for_another"),
    "databend#19210": ("SET app.tenant", IDENTITY),
    "prisma/orm#30132": ("failed answers are kept", "test_failed_and_half_read_answers_are_not_kept"),
}


def test_each_report_has_a_test():
    texts = "".join(path.read_text() for path in TESTS.rglob("test_cache*.py"))
    texts += "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [name for _, name in REPORTS.values() if f"def {name}(" not in texts] == []


def test_no_clock_of_a_host_decides():
    """Only how much time has passed does, for one process (cachalot's limits: clocks of hosts must agree)."""
    (folder,) = dbproxy.cache.__path__
    clocks = re.compile(r"import time\b|\btime\.time|import datetime|from time import .*\btime\b")
    found = [path.name for path in Path(folder).glob("*.py") if clocks.search(path.read_text())]
    assert found == []
