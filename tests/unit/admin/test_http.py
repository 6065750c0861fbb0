"""The endpoints start, stop, and say which setting to change."""

import asyncio
import json
import socket

import aiohttp
import pytest

from dbproxy.admin.http import Endpoints
from dbproxy.demo.postgres import free_port
from dbproxy.errors import ConfigurationError, ServerUnavailable
from tests.unit.admin.house import FakeHouse, settings


async def test_port_that_is_taken_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"127.0.0.1 port {port}: ") as raised:
            await Endpoints(FakeHouse(settings(DBPROXY_HTTP__PORT=str(port)))).start()
    assert "http.port (DBPROXY_HTTP__PORT)" in raised.value.hint


async def test_port_0_turns_them_off() -> None:
    endpoints = Endpoints(FakeHouse(settings(DBPROXY_HTTP__PORT="0")))
    await endpoints.start()
    assert endpoints.runner is None
    await endpoints.stop()


async def fetch(house: FakeHouse, path: str) -> tuple[int, str, str]:
    """Status, content type and text of one request."""
    endpoints = Endpoints(house)
    await endpoints.start()
    try:
        async with (
            asyncio.timeout(10),
            aiohttp.ClientSession() as client,
            client.get(f"http://127.0.0.1:{house.settings.http.port}{path}") as answer,
        ):
            return answer.status, answer.headers["Content-Type"], await answer.text()
    finally:
        await endpoints.stop()


@pytest.fixture
def house() -> FakeHouse:
    return FakeHouse(settings(DBPROXY_HTTP__PORT=str(free_port())))


async def test_metrics_are_prometheus_text(house: FakeHouse) -> None:
    house.lend(house.add_client(house.add_pool()))
    status, kind, text = await fetch(house, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain; version=")
    assert 'pgbouncer_pools_server_active_connections{database="app",user="app"} 1.0' in text
    assert 'dbproxy_clients{state="active"} 1.0' in text


async def test_health_says_that_all_is_well(house: FakeHouse) -> None:
    status, kind, text = await fetch(house, "/health")
    assert (status, kind) == (200, "application/json; charset=utf-8")
    assert json.loads(text)["status"] == "ok"


async def test_health_says_what_is_wrong(house: FakeHouse) -> None:
    house.stopping = True
    status, _, text = await fetch(house, "/health")
    assert status == 503
    assert (json.loads(text)["status"], json.loads(text)["reason"]) == (
        "failing",
        "the proxy is shutting down",
    )


async def test_database_on_a_host_of_its_own_does_not_make_the_primary_look_lost() -> None:
    elsewhere = "postgresql://app:secret@elsewhere.example/reports"
    house = FakeHouse(
        settings(DBPROXY_HTTP__PORT=str(free_port()), DBPROXY_DATABASES__REPORTS__PRIMARY__URL=elsewhere)
    )
    pool = house.add_pool("reports")
    house.queue(house.add_client(pool), 0.0)
    pool.open_failed(ServerUnavailable("cannot connect"), 0.0)
    assert (await fetch(house, "/health"))[0] == 200
