"""When a pool is calm, and what is read and written of statements; no server."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from dbproxy.app.warming import FILE, is_calm, read_file, write_file
from dbproxy.cache.warming import Statement, spell_values

STATEMENT = Statement("shop", "app", (("timezone", "UTC"),), b"SELECT 1\0\0\0", spell_values([]))


def pool(**keys: Any) -> Any:
    given = {"active": 1, "idle": 1, "waiting": 0, "opening": 0, "size": 4, "paused": False} | keys
    return SimpleNamespace(
        active=range(given["active"]),
        idle=range(given["idle"]),
        waiting=range(given["waiting"]),
        size=lambda: given["active"] + given["idle"] + given["opening"],
        settings=SimpleNamespace(size=given["size"]),
        paused=given["paused"],
    )


@pytest.mark.parametrize(
    ("keys", "calm"),
    [
        ({}, True),
        ({"active": 0, "idle": 0}, True),  # it opens one
        ({"active": 0, "idle": 0, "opening": 1}, False),
        ({"idle": 0}, False),
        ({"active": 2}, False),
        ({"waiting": 1}, False),
        ({"paused": True}, False),
        ({"active": 0, "size": 1}, True),
    ],
)
def test_clients_go_first(keys: dict[str, Any], calm: bool):
    assert is_calm(pool(**keys)) is calm


def test_what_is_written_is_read_by_its_owner_alone(tmp_path: Path):
    write_file(tmp_path / "new", [STATEMENT, STATEMENT])
    assert read_file(tmp_path / "new" / FILE) == [STATEMENT, STATEMENT]
    assert (tmp_path / "new" / FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "new").iterdir()] == [FILE]


def test_file_that_is_not_there_is_told_unless_it_is_our_own(tmp_path: Path):
    with structlog.testing.capture_logs() as lines:
        assert read_file(tmp_path / FILE, missing_ok=True) == []
        assert read_file("") == []
        assert not lines
        assert read_file(tmp_path / FILE) == []
    assert [line["event"] for line in lines] == ["statements to fetch not read"]
