from email.message import Message
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.error import HTTPError

import pytest
from typer.testing import CliRunner

from dbproxy.admin.query_report import fetch, make_request, report_changes, spell_address
from dbproxy.cli import app
from dbproxy.errors import ConfigurationError, ProxyError
from dbproxy.observe.queries import BadQuestion
from dbproxy.observe.snapshots import Snapshot, write
from tests.unit.admin.house import settings

NOBODY = {"DBPROXY_HTTP__PORT": "1"}
URL = "postgresql://app:secret@db.internal/app"
ROW: dict[str, Any] = {
    "id": "a", "database": "", "user": "", "role": "", "text": "SELECT a", "calls": 50, "total_us": 9, "p95_us": 9,
}  # fmt: skip


@pytest.mark.parametrize(
    ("host", "address"),
    [("0.0.0.0", "http://127.0.0.1:9127"), ("::", "http://[::1]:9127"), ("db", "http://db:9127")],
)
def test_address(host: str, address: str):
    assert spell_address(settings(DBPROXY_HTTP__HOST=host, DBPROXY_HTTP__TOKEN="t" * 32)) == address


def test_token_goes_with_the_question():
    assert make_request(settings(), "http://db:1").headers == {}
    assert make_request(settings(DBPROXY_HTTP__TOKEN="t" * 32), "http://db:1").headers == {
        "Authorization": "Bearer " + "t" * 32
    }


def test_nobody_answers():
    with pytest.raises(ProxyError, match=r"no proxy answers at http://127\.0\.0\.1:1: Connection refused"):
        fetch(settings(**NOBODY), {})


def test_what_the_proxy_cannot_be_asked_so_is_bad_usage():
    body = b'{"error": "window must be one of 1m"}'
    answers = [HTTPError("http://db:1", 400, "Bad Request", Message(), BytesIO(body)) for _ in range(2)]
    with patch("dbproxy.admin.query_report.urlopen", side_effect=answers):
        with pytest.raises(BadQuestion, match="window must be one of 1m"):
            fetch(settings(), {"window": "7m"})
        result = CliRunner().invoke(app, ["queries", "--window", "7m"], env={"DATABASE_URL": URL})
    assert (result.exit_code, "window must be one of 1m" in result.stderr) == (2, True)


def test_who_has_no_token_is_told_where_to_give_it():
    answer = HTTPError(
        "http://db:1", 401, "Unauthorized", Message(), BytesIO(b'{"error": "a token is needed"}')
    )
    with (
        patch("dbproxy.admin.query_report.urlopen", side_effect=answer),
        pytest.raises(ProxyError, match="a token is needed") as raised,
    ):
        fetch(settings(), {})
    assert "DBPROXY_HTTP__TOKEN" in raised.value.hint


def test_no_folder_is_a_mistake():
    with pytest.raises(ConfigurationError, match="state_dir is empty") as raised:
        report_changes(settings(), 86400)
    assert "DBPROXY_QUERY_STATS__STATE_DIR" in raised.value.hint


def test_newest_snapshot_stands_for_a_proxy_that_does_not_answer(tmp_path: Path):
    here = settings(DBPROXY_QUERY_STATS__STATE_DIR=str(tmp_path), **NOBODY)
    with pytest.raises(ProxyError, match="no proxy answers"):
        report_changes(here, 86400)
    write(tmp_path, Snapshot(1e9, 3600, []))
    write(tmp_path, Snapshot(1e9 + 86400, 3600, [ROW]))
    head, line = report_changes(here, 86400)
    assert "24.0 h before" in head
    assert line.startswith("new")
    assert report_changes(here, 0)[1] == "nothing is new, gone, slower or more frequent"


def test_where_there_is_no_snapshot_yet_it_is_told_when_one_comes(tmp_path: Path):
    here = settings(DBPROXY_QUERY_STATS__STATE_DIR=str(tmp_path))
    answer = BytesIO(b'{"window_s": 3600, "queries": []}')
    with (
        patch("dbproxy.admin.query_report.urlopen", return_value=answer),
        pytest.raises(ProxyError, match="no snapshot yet") as raised,
    ):
        report_changes(here, 86400)
    assert "every 1h" in raised.value.hint


def test_broken_snapshot_is_told(tmp_path: Path):
    here = settings(DBPROXY_QUERY_STATS__STATE_DIR=str(tmp_path), **NOBODY)
    (tmp_path / "queries-20231114T221320Z.jsonl").write_text("{}")
    with pytest.raises(ProxyError, match="cannot be read"):
        report_changes(here, 86400)
