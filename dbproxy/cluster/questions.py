"""What a host is asked, and what its answer says.

The position of a primary is what it has written, not what it has inserted: only that can have reached a replica. The
timeline that a replica receives is told to pg_monitor alone; the control file, which anybody may read, has it late.
"""

from typing import Any

from dbproxy.cluster.finding import Finding
from dbproxy.cluster.lag import settle
from dbproxy.cluster.member import Role

POSITION = """
    (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0')::bigint"""
RECEIVED = "(pg_last_wal_receive_lsn() - '0/0')::bigint"
EXACT = (
    "NOT pg_is_in_recovery() OR EXISTS (SELECT received_tli FROM pg_stat_wal_receiver WHERE received_tli > 0)"
)
TIMELINE = """
    CASE WHEN pg_is_in_recovery()
    THEN coalesce(
        (SELECT nullif(received_tli, 0) FROM pg_stat_wal_receiver),
        (SELECT greatest(timeline_id, min_recovery_end_timeline) FROM pg_control_checkpoint(), pg_control_recovery()))
    ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END"""
SERVER = "(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint"
LOADED = "extract(epoch FROM pg_conf_load_time())::text"
QUESTIONS = (  # from the best to the least that a server may answer: a service may have taken functions away
    f"SELECT pg_is_in_recovery(), {POSITION}, {TIMELINE}, {RECEIVED}, {EXACT}, {SERVER}, {LOADED}",
    f"SELECT pg_is_in_recovery(), {POSITION}, 0, 0, true, {SERVER}, {LOADED}",
    f"SELECT pg_is_in_recovery(), NULL, 0, 0, true, {SERVER}, {LOADED}",
    "SELECT pg_is_in_recovery(), NULL, 0, 0, true, 0, ''",
)


KINDS = (bool, int | None, int | None, int | None, bool, int | None, str | None)  # of the values of an answer


class NoAnswer(ValueError):
    """The host says something else than what it was asked for: whatever it is, it is no PostgreSQL."""


def read(row: Any, question: int) -> Finding:
    """The answer to `QUESTIONS[question]`. Raises NoAnswer."""
    values = tuple(row) if row is not None else ()
    if len(values) != len(KINDS) or not all(map(isinstance, values, KINDS)):
        raise NoAnswer("it does not answer what it was asked")
    in_recovery, lsn, timeline, received, exact, server, loaded = values
    role: Role = "replica" if in_recovery else "primary"
    return Finding(
        role, question < 2, settle(lsn or 0), timeline or 0, received or 0, exact, server or 0, loaded or ""
    )
