"""Which pins began and which ended."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from dbproxy.pool.request import new_request
from dbproxy.pool.server import Server
from dbproxy.session.pins import follow_pins
from dbproxy.wire import build
from tests.unit.session.fakes import make_client, make_server

THEN, NOW = 100.0, 200.0


@pytest.fixture
def server() -> Server:
    return make_server(make_client().pool)


def follow(server: Server, before: dict[str, float], *pins: str) -> tuple[dict[str, float], list[Any]]:
    """What is pinned now, and what was logged."""
    server.dialogue.traces.pins = frozenset(pins)
    identity = make_client(server.pool).identity
    with capture_logs() as logs:
        found = follow_pins(identity, server, before, NOW)
    return found, [(line["event"], line["reason"]) for line in logs]


def test_pin_is_dated_counted_and_logged_when_it_begins(server: Server):
    assert follow(server, {}, "temp") == ({"temp": NOW}, [("client pinned", "temp")])
    assert server.pool.stats.pin_counts["temp"] == 1


def test_pin_that_stays_keeps_its_date_and_is_counted_once(server: Server):
    assert follow(server, {"temp": THEN}, "temp") == ({"temp": THEN}, [])
    assert server.pool.stats.pin_counts["temp"] == 0


def test_pin_that_ends_is_logged(server: Server):
    found, logs = follow(server, {"temp": THEN, "lock": THEN}, "lock")
    assert found == {"lock": THEN}
    assert logs == [("client unpinned", "temp")]


def test_lines_have_the_ids_of_the_request_behind_which_it_was_asked(server: Server):
    request = server.loan.request = new_request(THEN)
    request.note_text(build.query("CREATE TEMP TABLE t () /*request_id='mine'*/"), 0)
    server.dialogue.traces.pins = frozenset({"temp"})
    with capture_logs() as logs:
        follow_pins(make_client(server.pool).identity, server, {}, NOW)
    assert [line["request_id"] for line in logs] == ["mine"]
