"""By which ids a request is found again."""

from dbproxy.pool.request import new_request
from dbproxy.session.correlation import name_request, name_sent
from dbproxy.wire import build
from tests.unit.session.test_identity import ANN

PARENT = "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"
MINE = "SELECT 1 /*request_id='mine'*/"


def test_ids_of_the_client_are_taken_over() -> None:
    text = f"SELECT 1 /*route='a',traceparent='{PARENT}'*/".encode()
    assert name_request(text, ANN, 2.0) == {"route": "a", "traceparent": PARENT, "trace_id": PARENT[3:35]}
    assert name_request(MINE.encode(), ANN, 2.0) == {"request_id": "mine"}


def test_without_one_the_id_is_ours_and_the_same_each_time() -> None:
    assert name_request(b"SELECT 1", ANN, 1.5) == {"request_id": f"7-{500_000:x}"}
    assert name_request(b"SELECT 1 /*route='a'*/", ANN, 1.5) == {"route": "a", "request_id": f"7-{500_000:x}"}


def test_tags_of_a_text_that_an_earlier_request_has_sent_are_not_taken_over() -> None:
    request = new_request(1.5)
    request.note_text(build.query(MINE), 0)
    assert name_sent(request, ANN) == {"request_id": "mine"}
    request.aged = True
    assert name_sent(request, ANN) == {"request_id": f"7-{500_000:x}"}
