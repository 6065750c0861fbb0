import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dbproxy.app import snapshots
from dbproxy.app.snapshots import count_minutes, keep_snapshots, seconds_left, take
from dbproxy.config.monitoring import QueryStatsSettings
from dbproxy.observe.querystats import MINUTE, PRIMARY, QueryStats
from dbproxy.observe.snapshots import Snapshot
from dbproxy.observe.snapshots import write as write_snapshot
from dbproxy.sql.cache import StatementCache


async def test_whole_minutes_are_taken():
    stats, shape = QueryStats(100, 1 << 20, 0.0), StatementCache(10).find(b"SELECT 1")
    for minute in range(5):
        entry = stats.find(shape, stats.find_account("app", "app"), PRIMARY, 0.0)
        assert entry is not None
        stats.record(entry, minute * MINUTE, 10, 0, 0, 0, 0, None)
    snapshot = await take(stats, 3, 4.5 * MINUTE, 1e9)
    assert (snapshot.at, snapshot.window_s, [row["calls"] for row in snapshot.rows]) == (1e9, 180.0, [3])
    assert (await take(stats, 60, 4.5 * MINUTE, 1e9)).window_s == 240.0


def test_each_minute_is_in_one_snapshot():
    stats = QueryStats(100, 1 << 20, 100.0)
    assert 0 < seconds_left(stats, 60, 100.0 + 59 * MINUTE) - MINUTE < 1
    assert count_minutes(QueryStatsSettings(snapshot="90s")) == 1  # type: ignore[arg-type]


async def test_folder_that_cannot_be_written_to_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    blocked, settings = tmp_path / "state", QueryStatsSettings(state_dir=str(tmp_path / "state"))
    blocked.write_text("no folder")
    loop, written = asyncio.get_running_loop(), asyncio.Event()

    def write(folder: Path, snapshot: Snapshot) -> None:
        try:
            snapshots_written.append(write_snapshot(folder, snapshot))
            loop.call_soon_threadsafe(written.set)
        finally:
            if blocked.is_file():
                blocked.unlink()

    snapshots_written: list[Path] = []
    monkeypatch.setattr(snapshots, "seconds_left", lambda *_: 0.0)
    monkeypatch.setattr(snapshots, "write", write)
    with capture_logs() as lines:
        task = asyncio.create_task(keep_snapshots(QueryStats(100, 1 << 20, 0.0), lambda: settings))
        async with asyncio.timeout(20):
            await written.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [line["event"] for line in lines] == ["snapshot of queries not written"]
    assert snapshots_written[0].exists()
