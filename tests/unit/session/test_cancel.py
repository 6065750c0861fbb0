"""Who gets a cancel request: decided without a socket (what goes over the wire: tests/protocol/test_cancel.py)."""

from types import SimpleNamespace
from typing import Any

import pytest

from dbproxy.errors import QueryCanceled
from dbproxy.session.cancel import cancel_client
from dbproxy.session.wait import NOT, RETRY, SERVER, TASK


def client(*, wait: int = NOT, server: Any = None) -> Any:
    made = SimpleNamespace(is_parked=lambda: wait != NOT, server=server, refusal=None, left=[])
    made.inbound = SimpleNamespace(wait=wait, room=SimpleNamespace(leave=made.left.append))
    made.refuse = lambda error: setattr(made, "refusal", error)
    return made


def server(*, answering: bool) -> Any:
    return SimpleNamespace(cancel=lambda: answering)


def test_server_that_owes_the_client_an_answer_is_cancelled():
    busy = server(answering=True)
    assert cancel_client(client(server=busy)) is busy


def test_server_that_owes_the_client_nothing_is_left_alone():
    assert cancel_client(client(server=server(answering=False))) is None
    assert cancel_client(client()) is None


@pytest.mark.parametrize("waiting", [client(wait=SERVER), client(wait=TASK, server=server(answering=False))])
def test_client_that_waits_is_refused_and_waits_no_more(waiting: Any):
    assert cancel_client(waiting) is None
    assert isinstance(waiting.refusal, QueryCanceled)
    assert (waiting.refusal.sqlstate, waiting.left) == ("57014", [waiting])


def test_request_that_is_about_to_be_sent_again_is_cancelled_on_its_server():
    busy = server(answering=True)
    retrying = client(wait=RETRY, server=busy)
    assert cancel_client(retrying) is busy
    assert retrying.refusal is None
