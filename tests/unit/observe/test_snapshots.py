from pathlib import Path

import pytest

from dbproxy.observe.snapshots import Snapshot, find_nearest, forget, list_files, read, write

DAY = 86400.0
ROW = {"id": "0123456789abcdef", "text": "SELECT 'ä'", "calls": 3}


def test_what_is_written_is_read(tmp_path: Path):
    snapshot = Snapshot(1_700_000_000.0, 3600.0, [ROW, ROW | {"calls": 4}])
    path = write(tmp_path / "new" / "folder", snapshot)
    assert path.name == "queries-20231114T221320Z.jsonl"
    assert read(path) == snapshot
    assert list(path.parent.iterdir()) == [path]


def test_name_that_is_no_utf_8_costs_no_snapshot(tmp_path: Path):
    path = write(tmp_path, Snapshot(DAY, 3600.0, [{"database": "\udce9"}]))
    assert read(path).rows == [{"database": "?"}]


def test_snapshot_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fill(path: Path, text: str, **_: str) -> None:
        path.write_bytes(text[:10].encode())
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", fill)
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path, Snapshot(DAY, 3600.0, [ROW]))
    assert list(tmp_path.iterdir()) == []


def test_nearest_is_found_and_old_ones_are_forgotten(tmp_path: Path):
    other = tmp_path / "queries-mine.jsonl"
    other.write_text("not ours")
    days = [write(tmp_path, Snapshot(DAY * day, 3600.0, [])) for day in (1, 2, 3)]
    assert find_nearest(tmp_path, 2.2 * DAY) == days[1]
    assert find_nearest(tmp_path, 99 * DAY) == days[2]
    forget(tmp_path, 2.5 * DAY)
    assert list_files(tmp_path) == [(3 * DAY, days[2])]
    assert other.exists()


def test_there_is_none(tmp_path: Path):
    assert find_nearest(tmp_path, 0.0) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}\n",
        '{"version": 99}\n',
        "[]\n",
        "7\n",
        "{",
        '{"version": 1}\n',
        '{"version": 1, "at": 0, "window_s": 1}\n{',
    ],
)
def test_other_files_are_no_snapshots(tmp_path: Path, text: str):
    path = tmp_path / "queries-20231114T221320Z.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match="no snapshot"):
        read(path)
