"""What users of other batch tools have reported, and that none of it happens here."""

from pathlib import Path

TESTS = Path(__file__).parents[2]
# By report: what went wrong there, and the test that it does not here.
REPORTS = {
    "Shopify/maintenance_tasks#796": (
        "rows skipped once the size changes",
        "test_sizes_change_in_the_middle_and_no_row_is_left_out",
    ),
    "freehire#2004": ("sparse ids make empty chunks", "test_sparse_ids_make_no_empty_chunks"),
    "freehire#2004, sizes": ("a size of nothing", "test_mistake_exits_by_two_and_says_what_is_wrong"),
    "pg-aiguide#127": ("a gap ends it early", "test_sparse_ids_make_no_empty_chunks"),
    "keeperhub#2460": (
        "microseconds lost, equal times met once",
        "test_equal_times_are_told_apart_by_the_rest_of_the_key",
    ),
    "clawvisor#641, hydra#711": (
        "locked rows skipped for ever",
        "test_rows_that_others_have_are_passed_over_and_revisited",
    ),
    "lobu#395, crowd.dev#4601, TarkovTracker#649": (
        "one long transaction after all",
        "test_each_chunk_is_seen_by_others_before_the_next_begins",
    ),
    "e2b#1960": ("replicas that lag are not waited for", "test_replica_that_lags_is_waited_for"),
    "pgroll#583, #648": (
        "inserts prolong it for ever",
        "test_rows_that_come_all_the_time_do_not_prolong_it_for_ever",
    ),
    "sub2api#7104": ("the application waits for its rows", "test_application_beside_it_loses_no_deadlock"),
    "pt-archiver": (
        "the row with the highest id is left",
        "test_row_with_the_highest_key_is_included_and_what_comes_later_is_not",
    ),
    "gh-ost#763": (
        "a table that was dropped goes unnoticed",
        "test_table_that_is_changed_in_the_middle_ends_it",
    ),
    "DependencyTrack#6710": ("a timeout is retried for ever", "test_chunk_that_takes_too_long_is_halved"),
    "job-iteration#433": (
        "an element twice after an exception",
        "test_commit_in_doubt_is_looked_up_in_the_ledger",
    ),
    "PostHog#69103": ("timeouts leak into a pool", "test_its_timeouts_are_seen_by_no_client_of_a_pool"),
    "GitLab, SubtransSLRU": ("savepoints make replicas slow", "test_batch_sends_no_savepoint"),
    "composite keys": ("descending, mixed case", "test_order_of_the_index_is_followed"),
    "types of keys": ("numeric, bytea, a domain", "test_each_row_is_changed_once_by_any_key"),
    "a newer version": ("a ledger that has grown", "test_batch_of_a_newer_version_is_resumed"),
    "a replica removed": (
        "one that is not configured any more is waited for",
        "test_replica_that_is_not_configured_any_more_does_not_block",
    ),
    "21000 of an upsert": (
        "lines of one chunk with the same key",
        "test_upsert_replaces_rows_and_the_last_line_counts",
    ),
}


def test_each_report_has_a_test():
    texts = "".join(path.read_text() for path in TESTS.rglob("test_batch*.py"))
    assert [name for _, name in REPORTS.values() if f"def {name}(" not in texts] == []
