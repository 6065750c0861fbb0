"""What becomes of a login that fails, and of questions to a connection that is lost."""

import socket

import asyncpg
import pytest

from dbproxy.errors import LoginRefused, ServerUnavailable
from dbproxy.jobs.primary import LOST, advise, answered, make_error


class Line:
    """Of asyncpg: it may have been cut, and is terminated if no answer comes."""

    def __init__(self, *, closed: bool) -> None:
        self.closed = closed

    def is_closed(self) -> bool:
        return self.closed

    def terminate(self) -> None:
        self.closed = True


async def test_line_that_is_cut_between_two_messages_is_lost():
    with pytest.raises(LOST), answered(Line(closed=True), 10):
        None.bind_execute()  # type: ignore[attr-defined]  # what asyncpg does then


async def test_mistake_of_ours_is_no_lost_line():
    with pytest.raises(AttributeError), answered(Line(closed=False), 10):
        None.bind_execute()  # type: ignore[attr-defined]  # as above


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (asyncpg.InvalidPasswordError("no"), "password"),
        (asyncpg.InvalidAuthorizationSpecificationError("no"), "user"),
        (asyncpg.InvalidCatalogNameError("no"), "database"),
        (socket.gaierror(socket.EAI_NONAME, "no"), "host's name"),
    ],
)
def test_login_that_its_url_does_not_allow_is_refused(error: Exception, said: str):
    assert said in advise(error)
    refused = make_error(["a: no"], [advise(error)])
    assert (type(refused), refused.hint) == (LoginRefused, advise(error))


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError("no"),
        TimeoutError(),
        asyncpg.TooManyConnectionsError("no"),
        socket.gaierror(socket.EAI_AGAIN, "no"),
    ],
)
def test_host_that_may_come_back_is_unavailable(error: Exception):
    hints = [advise(asyncpg.InvalidPasswordError("no")), advise(error)]
    assert type(make_error(["a: no", "b: no"], hints)) is ServerUnavailable
