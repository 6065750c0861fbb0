"""A request, from its first message to its ReadyForQuery."""

from dbproxy.pool.request import Refusal, new_request
from dbproxy.wire import build
from dbproxy.wire.extended import statement_text


def test_request_says_when_it_came_and_where_its_text_is():
    request = new_request(12.5)
    assert (request.arrived, request.refusal) == (12.5, None)
    assert statement_text(request.chunk, request.at) == b""
    request.note_text(build.sync() + build.query("SELECT 1"), 5)
    assert statement_text(request.chunk, request.at) == b"SELECT 1"


def test_refusal_is_of_a_pin_or_of_something_else():
    refusal = Refusal("temp", b"E")
    assert (refusal.reason, refusal.error) == ("temp", b"E")
