import csv
import json
from typing import Any
from unittest.mock import patch

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from postgast import fingerprint

from dbproxy.admin.query_pages import LINE, QueryPages, defuse, is_local
from dbproxy.observe.queries import COLUMNS
from tests.unit.admin.house import FakeHouse
from tests.unit.admin.test_queries import counting


async def ask(house: FakeHouse, path: str, *, method: str = "GET", **headers: str) -> tuple[int, str]:
    application = web.Application()
    application.add_routes(QueryPages(house).routes())
    async with TestClient(TestServer(application)) as client:
        answer = await client.request(method, f"/metrics/queries{path}", headers=headers)
        return answer.status, await answer.text()


async def test_json_csv_and_text():
    house = counting(("SELECT a, b", 10), ("SELECT c", 20))
    status, body = await ask(house, "?sort=max&limit=1")
    told: dict[str, Any] = json.loads(body)
    assert (status, told["window"], told["entries"]) == (200, "reset", 2)
    assert [row["text"] for row in told["queries"]] == ["SELECT c"]
    _, body = await ask(house, "?format=csv")
    rows = list(csv.DictReader(body.splitlines()))
    assert {row["text"] for row in rows} == {"SELECT a, b", "SELECT c"}
    assert tuple(rows[0]) == COLUMNS
    _, body = await ask(house, "?format=text&window=5m")
    assert body.startswith("window 5m, 0 s\n")
    assert body.splitlines()[2].endswith("SELECT c")
    assert body.splitlines()[1].split() == [
        *LINE,
        "text",
    ]  # tells waiting from running, a replica from the primary
    assert {"wait_us", "run_us", "stall_us", "role"} <= set(LINE)


async def test_name_in_a_statement_does_not_steer_the_terminal_of_who_reads_it():
    _, body = await ask(counting(('SELECT a AS "\x1b[2J\x9b\x07"', 10), database="d\nb"), "?format=text")
    assert body.replace("\n", "").isprintable()
    assert len(body.splitlines()) == 3


@pytest.mark.parametrize("form", ["json", "csv", "text"])
async def test_names_that_are_no_utf_8_are_told(form: str):
    house = counting(("SELECT a", 10), database="\udce9")
    status, body = await ask(house, f"?format={form}")
    assert status == 200
    assert "SELECT a" in body


async def test_one_query():
    house = counting(("SELECT a", 10), ("SELECT a", 3000))
    _, body = await ask(house, "")
    (row,) = json.loads(body)["queries"]
    status, body = await ask(house, f"/{row['id']}")
    (told,) = json.loads(body)["queries"]
    assert status == 200
    assert [bucket["calls"] for bucket in told["histogram"]] == [1, 1]
    assert [minute["calls"] for minute in told["minutes"]] == [2]
    assert {name: window["calls"] for name, window in told["windows"].items()}["1h"] == 2
    assert told["habits"]["loops"] == 0
    assert told["pg_fingerprint"] == fingerprint("SELECT a").hex


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("?window=7m", 400, "window must be one of"),
        ("?format=xml", 400, "format must be one of"),
        ("?role=master", 400, "role must be one of primary, replica"),
        ("?kind=update", 400, "kind must be one of read, write"),
        ("/0123456789abcdef", 404, "no such query: 0123456789abcdef"),
        ("/abc", 404, "no such query: abc"),
    ],
)
async def test_what_cannot_be_told(path: str, status: int, reason: str):
    found, body = await ask(counting(), path)
    assert found == status
    assert reason in json.loads(body)["error"]


@pytest.mark.parametrize("path", ["", "/0123456789abcdef"])
async def test_nothing_is_counted(path: str):
    status, body = await ask(FakeHouse(), path)
    assert (status, "not counted" in body) == (404, True)


async def test_reset_is_a_post():
    house = counting(("SELECT a", 10))
    assert (await ask(house, "/reset"))[0] == 405
    assert (await ask(house, "/reset", method="POST", Origin="http://evil.example"))[0] == 403
    with patch("dbproxy.admin.query_pages.is_local", return_value=False):
        assert (await ask(house, "/reset", method="POST"))[0] == 403
    assert json.loads((await ask(house, ""))[1])["entries"] == 1
    assert (await ask(house, "/reset", method="POST"))[0] == 200
    assert json.loads((await ask(house, ""))[1])["entries"] == 0


def test_local_addresses():
    assert [is_local(address) for address in ("127.0.0.1", "::1", "10.0.0.1", "")] == [
        True,
        True,
        False,
        False,
    ]


def test_formulas_are_defused():
    assert [defuse(value) for value in ("=1+1", "\r=1", "SELECT 1", 5)] == ["'=1+1", "'\r=1", "SELECT 1", 5]
