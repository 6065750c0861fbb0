"""What a server is asked of its settings before it is lent; and that nobody is kept out because it does not say."""

import json
from collections.abc import Awaitable, Callable

from dbproxy.app.defaults import STARTUP
from dbproxy.pool.defaults import SNAPSHOT
from tests.support.house import House
from tests.support.scripted_server import Backend, Greeting, ScriptedServer, let_in
from tests.support.speech import IDLE, complete, error, query, rows

Enter = Callable[..., Awaitable[House]]
SETTINGS = {"pool.size": 1, "pool.reserve_size": 0, "pool.follow_defaults": True}


def greet(*answer: bytes) -> Greeting:
    """Let in whoever is to be lent, with this answer to what it gives its session; nobody beside the pools."""

    async def receive(backend: Backend) -> None:
        if backend.startup.parameters.get("application_name") == STARTUP["application_name"]:
            backend.send(error("3D000", "there is no such database", severity="FATAL"))
            backend.writer.close()
            return
        await let_in(backend)
        await backend.answers(*answer, to=query(SNAPSHOT))

    return receive


async def works(house: House, server: ScriptedServer) -> None:
    client = await house.client()
    backend = await server.accept()
    client.send(query("SELECT 1"))
    await backend.answers(rows("1"), IDLE, to=query("SELECT 1"))
    await client.receives(rows("1"), IDLE)


async def test_server_that_does_not_tell_its_settings_is_lent(enter: Enter, server: ScriptedServer):
    server.greeting = greet(complete("SET"), error("42883", "no such function"), IDLE)
    house = await enter(SETTINGS)
    await works(house, server)
    assert house.pool.defaults.snapshot is None


async def test_server_that_tells_its_settings_is_known(enter: Enter, server: ScriptedServer):
    found = {"work_mem": ["4096", True, False], "": ["5 10", False, False]}
    server.greeting = greet(complete("SET"), rows(json.dumps(found).encode().hex()), IDLE)
    house = await enter(SETTINGS)
    await works(house, server)
    assert house.pool.defaults.snapshot is not None
    assert dict(house.pool.defaults.snapshot.values) == {"work_mem": "4096"}
