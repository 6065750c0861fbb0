"""What is known of PostgreSQL's process before it has said anything."""

import pytest

from dbproxy.errors import ProtocolViolation
from dbproxy.net.direct import monotonic
from dbproxy.pool.backend import MOST_PARAMETERS, Backend


def test_each_process_has_a_mailbox_and_parameters_of_its_own():
    one, two = Backend(), Backend()
    assert one.mailbox is not None
    assert two.mailbox is not None
    one.mailbox.put_nowait(None)
    one.parameters["TimeZone"] = "UTC"
    assert two.mailbox.empty()
    assert two.parameters == {}


def test_server_that_reports_parameters_without_end_is_none():
    backend = Backend()
    for number in range(MOST_PARAMETERS):
        backend.note(f"p{number}", "")
    backend.note("p0", "again")
    assert backend.parameters["p0"] == "again"
    with pytest.raises(ProtocolViolation, match="more than 1000 parameters"):
        backend.note("another", "")


def test_connection_is_as_old_as_its_object():
    before = monotonic()
    assert before <= Backend().connected_at <= monotonic()
