"""What is read ahead of a login, and how far."""

import asyncio

import pytest

from dbproxy.net.link import PARKED, Link
from dbproxy.session.inbox import LIMIT, Inbox


class Line(Link):
    """Notes the reasons for which it is not read."""

    def hold(self, reason: int) -> None:
        self.reasons |= reason

    def free(self, reason: int) -> None:
        self.reasons &= ~reason


@pytest.fixture
def inbox() -> Inbox:
    return Inbox(Line())


async def test_what_is_read_may_come_in_pieces(inbox: Inbox):
    reading = asyncio.create_task(inbox.read(3))
    for piece in (b"a", b"b", b"cd"):
        await asyncio.sleep(0)
        assert not reading.done()
        inbox.add(piece)
    assert await reading == b"abc"
    assert inbox.take_rest() == b"d"
    assert inbox.take_rest() == b""


async def test_over_the_limit_the_connection_is_not_read_until_somebody_reads_here(inbox: Inbox):
    inbox.add(bytes(LIMIT))
    assert inbox.link.reasons == 0
    inbox.add(b"x")
    assert inbox.link.reasons == PARKED
    await inbox.read(1)
    assert inbox.link.reasons == 0


async def test_who_takes_the_rest_reads_the_connection_again(inbox: Inbox):
    inbox.add(bytes(LIMIT + 1))
    assert len(inbox.take_rest()) == LIMIT + 1
    assert inbox.link.reasons == 0
