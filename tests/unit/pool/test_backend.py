"""What is known of PostgreSQL's process before it has said anything."""

from dbproxy.net.direct import monotonic
from dbproxy.pool.backend import Backend


def test_each_process_has_a_mailbox_and_parameters_of_its_own():
    one, two = Backend(), Backend()
    assert one.mailbox is not None
    assert two.mailbox is not None
    one.mailbox.put_nowait(None)
    one.parameters["TimeZone"] = "UTC"
    assert two.mailbox.empty()
    assert two.parameters == {}


def test_connection_is_as_old_as_its_object():
    before = monotonic()
    assert before <= Backend().connected_at <= monotonic()
