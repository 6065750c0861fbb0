"""The page, its policy, and what it is told."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from time import monotonic
from typing import Any

import aiohttp
import pytest

from dbproxy.admin.http import Endpoints
from dbproxy.admin.page import Page, read_page
from dbproxy.demo.postgres import free_port
from dbproxy.observe.journal import Journal, Plan
from tests.unit.admin.house import FakeHouse, settings


@pytest.fixture
def house() -> FakeHouse:
    return FakeHouse(settings(DBPROXY_HTTP__PORT=str(free_port())))


def make_page(house: FakeHouse) -> Page:
    return Page(house, Journal())


def told(page: Page, name: str) -> dict[str, Any]:
    """What a viewer is sent: `news` or `whole`."""
    head, data, *rest = getattr(page.viewers, name).decode().split("\n")
    assert (head, rest) == (f"event: {name}", ["", ""])
    return json.loads(data.removeprefix("data: "))


async def test_page_loads_nothing_and_runs_nothing_but_itself() -> None:
    text, policy = read_page()
    assert not re.search(r"(src|href)=[\"'](?!data:|#)", text)
    assert not re.search(r"\son\w+=|\sstyle=|javascript:", text)  # which the policy forbids
    assert "unsafe" not in policy
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = b64encode(sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    for directive in (
        "default-src 'none'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ):
        assert directive in policy


async def test_no_script_makes_markup_of_texts() -> None:
    text, policy = read_page()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text
    )
    assert "require-trusted-types-for 'script'" in policy


async def test_page_plan_and_events_are_served(house: FakeHouse) -> None:
    endpoints = Endpoints(house)
    endpoints.page.journal = journal = Journal()
    journal.add_plan("00000000000000aa", Plan(1.0, "app", "web", "Seq Scan on a"))
    await endpoints.start()
    url = f"http://127.0.0.1:{house.settings.http.port}"
    try:
        async with aiohttp.ClientSession(url) as client:
            async with client.get("/") as answer:
                assert answer.headers["Content-Security-Policy"] == read_page()[1]
                assert (answer.status, answer.content_type) == (200, "text/html")
            async with client.get("/plans/00000000000000aa") as answer:
                assert (await answer.json())["plan"]["text"] == "Seq Scan on a"
            async with client.get("/plans/00000000000000bb") as answer:
                assert await answer.json() == {"plan": None}
            async with client.get("/events") as answer:
                assert (await answer.content.readline()) == b"event: whole\n"
                data = json.loads((await answer.content.readline()).removeprefix(b"data: "))
                assert data["proxy"]["max_client_conn"] == house.settings.pool.max_client_conn
    finally:
        await endpoints.stop()


async def test_stop_does_not_wait_for_viewers(house: FakeHouse) -> None:
    endpoints = Endpoints(house)
    await endpoints.start()
    url = f"http://127.0.0.1:{house.settings.http.port}/events"
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        await answer.content.readline()
        await endpoints.stop()
        await answer.content.read()  # to the end
    assert endpoints.page.viewers.looking == 0


def test_newcomer_sees_what_was_before(house: FakeHouse) -> None:
    page = make_page(house)
    house.add_pool().stats.query(500)
    page.journal.add("reload", "info", "reloaded", {"changed": ["pool.size"]})
    page.turn(monotonic() + 1)  # nobody looks: nothing is written down
    assert page.viewers.number == 0
    page.publish()
    whole = told(page, "whole")
    assert whole["columns"][:2] == ["at", "queries"]
    assert len(whole["points"]) == 1
    assert whole["events"][0]["details"] == {"changed": "pool.size"}


def test_event_is_new_once(house: FakeHouse) -> None:
    page = make_page(house)
    page.viewers.looking = 1
    page.journal.add("reload", "info", "reloaded", {})
    for texts in (["reloaded"], []):
        page.publish(page.history.sample([], [], 0, monotonic()))
        assert [event["text"] for event in told(page, "news")["events"]] == texts
        assert len(told(page, "news")["points"]) == 1
        assert len(told(page, "whole")["events"]) == 1


def test_rescues_are_told_by_host_and_reason(house: FakeHouse) -> None:
    page = make_page(house)
    router = house.add_router(house.add_pool())
    for _ in range(2):
        router.rescues.counts["replica1", "40001"] += 5
        page.turn(monotonic())
        page.turn(monotonic())
    events = page.journal.since(0)
    assert [event.details for event in events] == [{"host": "replica1", "reason": "40001", "number": "5"}] * 2


def test_names_that_clients_choose_stay_in_their_line(house: FakeHouse) -> None:
    page = make_page(house)
    pool = house.add_pool("a\n\ndata: b")
    house.queue(house.add_client(pool, application_name="</script>\r\nevent: whole"), monotonic())
    page.publish()
    (waiter,) = told(page, "whole")["waiters"]
    assert waiter["application_name"] == "</script>\r\nevent: whole"
