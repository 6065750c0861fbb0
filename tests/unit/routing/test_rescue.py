"""Which errors of a replica the primary would not have raised."""

import pytest

from dbproxy.routing import rescue


@pytest.mark.parametrize(
    ("sqlstate", "message", "reason"),
    [
        ("25006", "cannot execute INSERT in a read-only transaction", rescue.READ_ONLY),
        ("40001", "canceling statement due to conflict with recovery", rescue.CONFLICT),
        ("40P01", "canceling statement due to conflict with recovery", rescue.CONFLICT),
        ("42P01", 'relation "t" does not exist', rescue.BEHIND),
        ("42703", 'column "c" does not exist', rescue.BEHIND),
        ("42883", "function f() does not exist", rescue.BEHIND),
        ("3F000", 'schema "s" does not exist', rescue.BEHIND),
        ("55000", "cannot acquire lock mode ShareLock while recovery is in progress", rescue.RECOVERY),
        ("0A000", "cannot use serializable mode in a hot standby", rescue.RECOVERY),
        ("57P01", "terminating connection due to administrator command", rescue.SHUTDOWN),
        ("57P03", "the database system is shutting down", rescue.SHUTDOWN),
        ("22012", "division by zero", ""),
        ("42601", "syntax error", ""),
        ("57014", "canceling statement due to user request", ""),
    ],
)  # fmt: skip
def test_an_error_is_the_replicas_or_the_clients_own(sqlstate: str, message: str, reason: str):
    assert rescue.why_rescue({"C": sqlstate, "M": message}) == reason


def test_what_is_only_late_is_not_held_against_a_statement():
    assert rescue.counts_against(rescue.READ_ONLY)
    assert not rescue.counts_against(rescue.BEHIND)
    assert not rescue.counts_against(rescue.CONFLICT)
