"""What is made of what the primary tells."""

from typing import Any

import pytest

from dbproxy.cluster.rotation import ReplicaLag
from dbproxy.config import Host
from dbproxy.jobs.pressure import server
from dbproxy.jobs.pressure.server import TOLD_AGAIN, Replays, ServerLooks, WalRate, find_backlog
from dbproxy.jobs.primary import Primary

SEGMENT = 16 << 20
HERE = 5 * SEGMENT + 100
FIRST, THIRD = "000000010000000000000001", "000000010000000000000003"


def archive(done: str | None, failed: str | None = None, *, fails: bool = False) -> dict[str, Any]:
    return {"done": done, "failed": failed, "fails": fails, "segment": SEGMENT}


@pytest.mark.parametrize(
    ("slot", "archived", "expected"),
    [
        (None, None, (0, "")),
        ({"name": "s", "lsn": HERE - 1000}, None, (1000, "replication slot s")),
        ({"name": "s", "lsn": HERE}, None, (0, "replication slot s")),
        (None, archive(THIRD), (SEGMENT + 100, "the archive")),
        (None, archive(THIRD, FIRST), (SEGMENT + 100, "the archive")),  # it failed once, and went well since
        (None, archive(THIRD, "000000010000000000000004", fails=True), (SEGMENT + 100, "the archive")),
        (None, archive(None, FIRST, fails=True), (4 * SEGMENT + 100, "the archive")),
        (None, archive(None), (0, "")),  # nothing was archived yet
        (None, archive("00000002.history"), (0, "")),
        (None, archive(f"{THIRD}.00000028.backup"), (SEGMENT + 100, "the archive")),
        ({"name": "s", "lsn": 0}, archive(THIRD), (HERE, "replication slot s")),
    ],
)
def test_what_holds_back_most_is_told(
    slot: dict[str, Any] | None, archived: dict[str, Any] | None, expected: tuple[int, str]
) -> None:
    assert find_backlog(HERE, slot, archived) == expected


def test_segments_of_the_upper_half_are_counted() -> None:
    lsn = (3 << 32) + 2 * SEGMENT
    assert find_backlog(lsn, None, archive("000000070000000300000000")) == (SEGMENT, "the archive")


def test_rate_is_measured_over_a_second_at_least() -> None:
    rate = WalRate()
    assert rate.note(1000, 10.0) is None
    assert rate.note(5000, 10.5) is None
    assert rate.note(9000, 12.0) == 4000.0
    assert rate.note(9500, 12.5) == 4000.0
    assert rate.note(9500, 13.0) == 500.0


def test_replica_of_an_idle_primary_does_not_lag() -> None:
    replays, replica = Replays(), {"name": "r", "address": None, "lsn": 999}
    assert replays.note(999, [replica], 0.0) == [ReplicaLag("r (local)", 0.0)]
    assert replays.note(999, [replica], 3600.0) == [ReplicaLag("r (local)", 0.0)]
    assert replays.note(2000, [replica], 3601.0) == [ReplicaLag("r (local)", 0.0)]
    assert replays.note(2000, [replica], 3603.0) == [ReplicaLag("r (local)", 2.0)]


def test_replica_that_is_copied_to_has_no_lag_yet() -> None:
    assert Replays().note(999, [{"name": "r", "address": "10.0.0.1", "lsn": None}], 0.0) == []


def test_query_that_is_not_heeded_is_told_of_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, now = ServerLooks(Primary([Host()]), lambda: "t"), [5.0]
    monkeypatch.setattr(server, "monotonic", lambda: now[0])
    told = []
    for second in (5.0, 6.0, 64.0, 65.0, 66.0):
        now[0] = second
        told.append((looks._is_news("query: SELECT 1", TOLD_AGAIN), looks._is_news("sees")))
    assert told == [(True, True), (False, False), (False, False), (True, False), (False, False)]
