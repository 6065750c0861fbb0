"""The endpoints start, stop, say which setting to change, and show what they may to whom."""

import asyncio
import json
import socket
from time import monotonic
from typing import Any

import aiohttp
import pytest

from dbproxy import __version__
from dbproxy.admin.http import Endpoints
from dbproxy.cluster.finding import Finding
from dbproxy.cluster.monitor import Probe
from dbproxy.demo.postgres import free_port
from dbproxy.errors import ConfigurationError
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


async def fetch(house: FakeHouse, path: str, token: str = "", method: str = "GET") -> tuple[int, str, str]:
    """Status, content type and text of one request."""
    endpoints = Endpoints(house)
    await endpoints.start()
    try:
        async with (
            asyncio.timeout(10),
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"} if token else {}) as client,
            client.request(method, f"http://127.0.0.1:{house.settings.http.port}{path}") as answer,
        ):
            assert "Server" not in answer.headers  # whose versions are nobody's business
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


async def ask(house: FakeHouse, path: str, token: str = "") -> tuple[int, dict[str, Any]]:
    status, _, text = await fetch(house, path, token)
    return status, json.loads(text)


@pytest.fixture(autouse=True)
def primary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is there whenever it is asked."""

    async def probe(probe: Probe) -> None:
        probe.cluster.learn(probe.member, Finding("primary"), monotonic())

    monkeypatch.setattr(Probe, "probe", probe)


def lose_primary(monkeypatch: pytest.MonkeyPatch) -> None:
    async def probe(probe: Probe) -> None:
        probe.cluster.failed(probe.member, "refuses", monotonic())

    monkeypatch.setattr(Probe, "probe", probe)


async def test_health_is_well_as_long_as_there_is_an_answer(
    house: FakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_primary(monkeypatch)
    status, kind, text = await fetch(house, "/health")
    assert (status, kind) == (200, "application/json; charset=utf-8")
    assert json.loads(text)["status"] == "ok"
    house.stopping = True
    status, answer = await ask(house, "/health")
    assert (status, answer["status"]) == (200, "stopping")


async def test_ready_says_that_all_is_well(house: FakeHouse) -> None:
    status, answer = await ask(house, "/health/ready")
    assert (status, answer["status"], answer["reason"]) == (200, "ok", "")
    assert answer["write"] == answer["read"] == {"ready": True, "reason": ""}


async def test_ready_says_what_is_wrong_with_what_is_asked_for(
    house: FakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_primary(monkeypatch)
    for path in ("/health/ready", "/health/ready?for=write", "/health/ready?for=read"):
        status, answer = await ask(house, path)
        assert (status, answer["status"]) == (503, "failing")
        assert answer["reason"].endswith(
            "no host takes writes (primary is down): primary (primary.example:5433): refuses"
        )
    assert (await ask(house, "/health/ready?for=lunch"))[0] == 400


async def test_detailed_health_tells_of_what_is_degraded(
    house: FakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, answer = await ask(house, "/health/detailed")
    assert (status, answer["status"], answer["degraded"]) == (200, "ok", [])
    assert answer["versions"]["dbproxy"] == __version__
    house.pause("app")
    status, answer = await ask(house, "/health/detailed")
    assert (status, answer["status"]) == (200, "degraded")
    assert [(one["what"], one["kind"]) for one in answer["degraded"]] == [("database app", "paused")]
    lose_primary(monkeypatch)
    status, answer = await ask(house, "/health/detailed")
    assert (status, answer["status"], answer["write"]["ready"]) == (200, "failing", False)
    (host,) = answer["hosts"]
    assert (host["state"], host["failures"], host["last_error"]) == ("down", 1, "refuses")


async def test_path_where_nothing_is_says_where_something_is(house: FakeHouse) -> None:
    status, answer = await ask(house, "/helath")
    assert (status, answer["error"]) == (404, "there is nothing here")
    assert {"/health", "/metrics"} <= set(answer["paths"])


async def test_detailed_health_can_be_turned_off() -> None:
    house = FakeHouse(settings(DBPROXY_HTTP__PORT=str(free_port()), DETAILED_HEALTH_CHECK_ENABLED="false"))
    status, answer = await ask(house, "/health/detailed")
    assert status == 404
    assert "DETAILED_HEALTH_CHECK_ENABLED" in answer["error"]


# --- the guard ---

TOKEN = "correct-horse-battery"
PRIVATE = ("/metrics", "/health/detailed", "/no/such/page")


@pytest.fixture
def guarded() -> FakeHouse:
    return FakeHouse(
        settings(DBPROXY_HTTP__HOST="0.0.0.0", DBPROXY_HTTP__PORT=str(free_port()), DBPROXY_HTTP__TOKEN=TOKEN)
    )


@pytest.mark.parametrize("token", ["", "wrong"])
async def test_who_has_no_token_is_told_only_whether_it_is_well(
    guarded: FakeHouse, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_primary(monkeypatch)
    for path in PRIVATE:
        assert (await ask(guarded, path, token))[0] == 401
    assert await ask(guarded, "/health", token) == (200, {"status": "ok"})
    status, answer = await ask(guarded, "/health/ready", token)
    assert (status, answer["reason"]) == (503, "no host takes writes (primary is down)")
    assert "primary.example" not in str(answer)


async def test_who_has_the_token_sees_all(guarded: FakeHouse) -> None:
    statuses = [(await fetch(guarded, path, TOKEN))[0] for path in PRIVATE]
    assert statuses == [200, 200, 404]
    assert "uptime_s" in (await ask(guarded, "/health", TOKEN))[1]


async def test_token_that_a_reload_takes_away_opens_nothing(guarded: FakeHouse) -> None:
    endpoints = Endpoints(guarded)
    await endpoints.start()
    try:
        port = guarded.settings.http.port
        guarded.apply(settings(DBPROXY_HTTP__PORT=str(port)))  # on 127.0.0.1, after the next start
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://127.0.0.1:{port}/metrics") as answer,
        ):
            assert answer.status == 401
    finally:
        await endpoints.stop()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_health_and_metrics_can_only_be_read(house: FakeHouse, method: str) -> None:
    for path in ("/metrics", "/health", "/health/ready", "/health/detailed"):
        assert (await fetch(house, path, method=method))[0] == 405


async def test_tracing_hears_of_each_request_by_its_route(house: FakeHouse) -> None:
    await fetch(house, "/health?secret=1")
    await fetch(house, "/nowhere")
    assert house.tracing.heard == [("GET", "/health", 200, ""), ("GET", "", 404, "")]


async def test_name_that_was_made_to_lead_here_is_told_nothing(house: FakeHouse) -> None:
    endpoints = Endpoints(house)
    await endpoints.start()
    try:
        async with asyncio.timeout(10), aiohttp.ClientSession(headers={"Host": "evil.example"}) as client:
            for path, status in (
                ("/metrics", 401),
                ("/metrics/queries", 401),
                ("/events", 401),
                ("/health", 200),
            ):
                async with client.get(f"http://127.0.0.1:{house.settings.http.port}{path}") as answer:
                    assert answer.status == status
                    told = await answer.text()
                    assert status == 200 or "ask for localhost" in told
            assert told == '{"status": "ok"}'
    finally:
        await endpoints.stop()
