"""`/limits` as JSON."""

import json
from typing import Any

import pytest

from dbproxy.admin.limit_pages import TOP
from dbproxy.demo.postgres import free_port
from dbproxy.limits.store import OUTCOMES
from tests.unit.admin.house import FakeHouse, settings, share
from tests.unit.admin.test_http import fetch
from tests.unit.admin.test_limits import limit, use


@pytest.fixture
def house() -> FakeHouse:
    return FakeHouse(settings(DBPROXY_HTTP__PORT=str(free_port())))


async def ask(house: FakeHouse, path: str = "/limits") -> dict[str, Any]:
    status, kind, text = await fetch(house, path)
    assert (status, kind) == (200, "application/json; charset=utf-8")
    return json.loads(text)


async def test_keys_that_use_most_and_what_was_decided_are_told(house: FakeHouse) -> None:
    book = limit(house, rules=[{"source": "TABLE tiers"}])
    for number in range(TOP + 10):
        use(book, f"user{number}")
    use(book, "busy", 12)
    book.find_tally("free").rejected = 24
    found = await ask(house)
    assert (found["mode"], found["pace"], found["keys"], len(found["top"])) == ("on", "quota", TOP + 11, TOP)
    assert (found["top"][0]["key"], found["top"][0]["left"]) == ("busy", 0)
    (tier,) = found["tiers"]
    assert (tier["tier"], tier["rejected"], tier["refused_share"]) == ("free", 24, 0.25)
    assert found["sources"] == [{"rule": "user", "keys": 0, "unreadable": 0, "read_s_ago": None, "error": ""}]
    assert found["shared"] is None
    assert len((await ask(house, "/limits?limit=3"))["top"]) == 3


async def test_sharing_is_told(house: FakeHouse) -> None:
    share(house.limiter, None, proxies=4)
    leases = dict.fromkeys(OUTCOMES, 0)
    assert (await ask(house))["shared"] == {"degraded": False, "error": "", "proxies": 4, "leases": leases}


async def test_number_that_is_none_is_refused(house: FakeHouse) -> None:
    assert (await fetch(house, "/limits?limit=all"))[0] == 400


async def test_token_is_needed_where_there_is_one() -> None:
    house = FakeHouse(
        settings(DBPROXY_HTTP__PORT=str(free_port()), DBPROXY_HTTP__TOKEN="correct-horse-battery")
    )
    assert (await fetch(house, "/limits"))[0] == 401
    assert (await fetch(house, "/limits", "correct-horse-battery"))[0] == 200


async def test_detailed_health_has_them(house: FakeHouse) -> None:
    limit(house)
    assert (await ask(house, "/health/detailed"))["limits"]["mode"] == "on"
