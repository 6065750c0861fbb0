"""Pauses of databases and of all, and who waits for the end of one."""

import asyncio

import pytest

from dbproxy.app.pauses import Pauses
from dbproxy.errors import QueryWaitTimeout


def test_pause_of_all_is_one_of_each():
    pauses = Pauses()
    pauses.begin("shop")
    assert ("shop" in pauses, "other" in pauses, "" in pauses) == (True, False, False)
    pauses.begin("")
    pauses.end("shop")
    assert ("shop" in pauses, "" in pauses) == (True, True)
    pauses.end("")
    assert "shop" not in pauses


async def test_who_waits_goes_on_when_the_last_pause_of_its_database_has_ended():
    pauses = Pauses()
    await pauses.outlast("shop", 0)
    for database in ("", "shop", "other"):
        pauses.begin(database)
    waiting = asyncio.ensure_future(pauses.outlast("shop", 0))
    for database in ("", "other"):
        pauses.end(database)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    pauses.end("shop")
    await asyncio.wait_for(waiting, 5)


async def test_who_waits_too_long_is_told_why():
    pauses = Pauses()
    pauses.begin("shop")
    with pytest.raises(QueryWaitTimeout, match=r"paused, and was not resumed within 0.01 s"):
        await pauses.outlast("shop", 0.01)
