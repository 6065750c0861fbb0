from pathlib import Path

import pytest

from dbproxy.demo.installation import made_once


def test_folder_is_filled_once_and_then_only_found(tmp_path: Path):
    for first in (True, False):
        with made_once(tmp_path / "made") as building:
            assert bool(building) is first
            if building:
                (building / "file").touch()
    assert (tmp_path / "made" / "file").exists()


def test_folder_that_was_not_finished_is_gone_and_is_made_anew(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), made_once(tmp_path / "made") as building:
        assert building
        (building / "half").touch()
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["made.lock"]
    with made_once(tmp_path / "made") as building:
        assert building
