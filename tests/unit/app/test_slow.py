"""What is told of a slow query, and to whom."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from dbproxy.app.slow import SlowQueries, is_whole
from dbproxy.observe.exemplars import Exemplars
from dbproxy.pool.request import new_request
from dbproxy.wire import build
from tests.support.speech import bind
from tests.unit.admin.house import settings
from tests.unit.session.fakes import make_client

TEXT = "SELECT 'hunter2' /*request_id='mine'*/"


def note(
    text: str,
    wait: float = 0.1,
    run: float = 0.2,
    values: bytes | None = None,
    exemplars: Exemplars | None = None,
    **environment: str,
) -> list[Any]:
    client = make_client()
    request = new_request(client.identity.connected_at)
    request.note_text(build.query(text), 0)
    request.bind = values
    slow = SlowQueries(settings(**environment), lambda work: work.close(), exemplars or Exemplars([]))
    with capture_logs() as lines:
        slow.note(client, request, wait, run)
    return [{"planned": len(slow.plans.queue), **line} for line in lines] or [
        {"planned": len(slow.plans.queue)}
    ]


def test_line_has_times_ids_and_whose_it_was() -> None:
    (line,) = note(TEXT)
    assert (line["duration_ms"], line["wait_ms"], line["run_ms"]) == (300.0, 100.0, 200.0)
    assert line["statement"] == "SELECT $?"
    assert line["request_id"] == "mine"
    assert {"client", "address", "user", "database", "application_name", "query"} <= line.keys()
    assert "parameters" not in line
    assert line["planned"] == 0


def test_values_are_shown_only_where_that_is_asked_for() -> None:
    values = bind("", "shown", "jane@example.com")
    assert "parameters" not in note(TEXT, values=values)[0]
    (line,) = note(TEXT, values=values, DBPROXY_LOG__PARAMETERS="true")
    assert line["parameters"] == ["shown", "***"]
    assert "'hunter2'" in line["statement"]


def test_plan_is_asked_for_also_where_the_line_is_left_out() -> None:
    (line,) = note("SELECT a FROM t", DBPROXY_SLOW_QUERY__EXPLAIN="reads")
    assert line["planned"] == 1


@pytest.mark.parametrize(("cut", "whole"), [(0, True), (1, False)])
def test_text_of_which_a_part_is_there_is_not_explained(cut: int, whole: bool) -> None:
    request = new_request(0.0)
    message = build.query("SELECT a FROM t WHERE b = 1")
    request.note_text(message[: len(message) - cut], 0)
    assert is_whole(request) == whole


@pytest.mark.parametrize(("mode", "noted"), [("off", 1), ("observe", 1), ("on", 0)])
def test_trace_of_a_slow_query_is_an_example_where_no_spans_are_sent(mode: str, noted: int) -> None:
    exemplars = Exemplars([])
    parent = "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"
    note(f"SELECT 1 /*traceparent='{parent}'*/", exemplars=exemplars, DBPROXY_TRACING__MODE=mode)
    assert len(exemplars.by_pool) == noted
