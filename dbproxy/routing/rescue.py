"""Errors of a replica that the primary would not have raised: the read is sent again, there.

PostgreSQL: "Hot Standby", "PostgreSQL Error Codes". Nothing of the answer may have been forwarded.
"""

from collections.abc import Mapping

READ_ONLY = "read only"
CONFLICT = "recovery conflict"
BEHIND = "object missing"
RECOVERY = "not during recovery"
SHUTDOWN = "shutdown"
LOST = "connection lost"
UNREACHABLE = "not reachable"
HEDGED = "hedged"  # it has not begun to answer for longer than routing.hedge_after
SILENT = "no answer"  # the same, of a host that does not answer probes either

_BY_SQLSTATE = {
    "25006": READ_ONLY,
    "40001": CONFLICT,  # canceling statement due to conflict with recovery
    "40P01": CONFLICT,  # the same for a buffer pin
    "42P01": BEHIND,  # tables, columns, functions and schemas that have not been replayed yet
    "42703": BEHIND,
    "42883": BEHIND,
    "3F000": BEHIND,
    "42704": BEHIND,
    "57P01": SHUTDOWN,
    "57P02": SHUTDOWN,
    "57P03": SHUTDOWN,
}


def why_rescue(fields: Mapping[str, str]) -> str:
    """The reason, by an ErrorResponse's fields; "" if the error is the client's own."""
    reason = _BY_SQLSTATE.get(fields.get("C", ""), "")
    if not reason and "recovery" in fields.get("M", ""):
        return RECOVERY
    if not reason and "hot standby" in fields.get("M", ""):
        return RECOVERY
    return reason


def counts_against(reason: str) -> bool:
    """Whether a statement that is rescued for this reason again and again is better sent to the primary at once."""
    return reason in (READ_ONLY, RECOVERY)
