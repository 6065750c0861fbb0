"""Where bad lines can go, known before there are any."""

import os
from pathlib import Path

import pytest

from dbproxy.jobs.batch.rejects import find_obstacle


def test_file_that_can_be_written_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert find_obstacle(str(tmp_path / "a.bad")) == ""
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.bad").write_text("of an earlier one")
    assert find_obstacle(str(tmp_path / "a.bad")) == ""
    monkeypatch.chdir(tmp_path)
    assert find_obstacle("t-1.bad") == ""


def test_folder_that_is_not_there_or_in_the_place_of_the_file_is_one(tmp_path: Path):
    assert find_obstacle(str(tmp_path / "none" / "a.bad")) == f"there is no folder {tmp_path / 'none'}"
    (tmp_path / "file").touch()
    assert "no folder" in find_obstacle(str(tmp_path / "file" / "a.bad"))
    (tmp_path / "b.bad.reasons").mkdir()
    assert find_obstacle(str(tmp_path / "b.bad")) == "there is a folder of that name"


@pytest.mark.parametrize("which", ["", "a.bad", "a.bad.reasons"])
def test_what_may_not_be_written_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str):
    """Root may write all: so the system is asked in its place."""
    (tmp_path / "a.bad").touch()
    (tmp_path / "a.bad.reasons").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / which)
    assert find_obstacle(str(tmp_path / "a.bad")) == "it may not be written"
