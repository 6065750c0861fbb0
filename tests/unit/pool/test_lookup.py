"""A question with a parameter: by the extended protocol, on a server that goes back to its pool."""

import pytest

from dbproxy.errors import ServerRefused
from dbproxy.pool.lookup import Lookup
from dbproxy.pool.states import IDLE
from dbproxy.wire import build
from tests.support import speech
from tests.support.speech import complete, error, row
from tests.unit.pool.test_errand import make_pool, next_query, start

ASKED = build.parse("", "SELECT $1") + build.bind(["o'app"]) + build.execute() + build.sync()
BEGUN = build._message(ord("1")) + build._message(ord("2"))


async def test_parameter_is_no_part_of_the_text_and_the_server_goes_back() -> None:
    fake, server = make_pool()
    async with start(Lookup(fake.pool).find("SELECT $1", "SELECT 2", parameter="o'app")) as task:
        assert await next_query(server) == ASKED
        server.data_received(BEGUN + row("a", "b") + complete("SELECT 1") + speech.IDLE)
        await next_query(server)
        server.data_received(BEGUN + complete("SELECT 0") + speech.IDLE)
        assert await task == [[[b"a", b"b"]], []]
    assert server.state == IDLE


async def test_refusal_is_an_error_and_the_server_goes_back() -> None:
    fake, server = make_pool()
    async with start(Lookup(fake.pool).find("SELECT $1", parameter="app")) as task:
        await next_query(server)
        server.data_received(error("42501", "permission denied") + speech.IDLE)
        with pytest.raises(ServerRefused) as caught:
            await task
    assert caught.value.sqlstate == "42501"
    assert server.state == IDLE
