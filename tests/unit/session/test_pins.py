"""Which pins began and which ended."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from dbproxy.pool.server import Server
from dbproxy.session.pins import follow_pins
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
