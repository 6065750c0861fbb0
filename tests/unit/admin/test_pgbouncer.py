"""PgBouncer's console against ours: every SHOW with its columns and types, every action, every error text.

`pgbouncer.toml` has the facts. What is not there has to be declined: with an error, and a line in compatibility.md.
"""

import re
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dbproxy.admin.actions import ACTIONS
from dbproxy.admin.aliases import SETTABLE
from dbproxy.admin.assignment import find_setting
from dbproxy.admin.show import FAKES, SHOWS, fake
from dbproxy.errors import FeatureNotSupported
from tests.unit.admin.house import FakeHouse, settings
from tests.unit.admin.test_console import Session, tags

FACTS = tomllib.loads(Path(__file__).with_name("pgbouncer.toml").read_text())
COMPATIBILITY = Path(__file__).parents[3] / "docs" / "compatibility.md"
LETTERS = {25: "s", 23: "i", 20: "q", 1700: "N", 17: "b"}
DECLINED = {"fds", "suspend"}
BEHIND = {"clients", "servers"}  # where columns of ours stand behind PgBouncer's: scripts count from the left


def layout(text: str) -> list[str]:
    """The columns of a declaration, each with its type."""
    while found := re.search(r"@(\w+)", text):
        text = text.replace(found[0], FACTS["shared"][found[1]])
    return [" ".join(column.split()) for column in text.split(",")]


@pytest.fixture
def house() -> FakeHouse:
    return FakeHouse(settings(DBPROXY_AUTH__STATS_USERS="stats"))


@pytest.fixture
async def session(house: FakeHouse) -> AsyncIterator[Session]:
    session = Session(house)
    yield session
    session.console.disconnect("the test is over")


@pytest.mark.parametrize("what", sorted(FACTS["show"].keys() - DECLINED))
def test_columns_are_pgbouncers_by_name_order_and_type(house: FakeHouse, what: str) -> None:
    house.lend(house.add_client(house.add_pool()))
    found = [f"{name} {LETTERS[oid]}" for name, oid, _ in SHOWS[what](house).columns]
    expected = layout(FACTS["show"][what])
    assert found[: len(expected)] == expected
    assert what in BEHIND or len(found) == len(expected)


@pytest.mark.parametrize("what", FACTS["rows"])
def test_rows_that_never_change_are_pgbouncers(house: FakeHouse, what: str) -> None:
    expected = [name.strip() for name in FACTS["rows"][what].split(",")]
    assert [row[0] for row in SHOWS[what](house).rows] == expected


def test_fakes_are_pgbouncers() -> None:
    assert FACTS["fakes"] == FAKES
    assert [list(fake(name).rows) for name in FAKES] == [[(value,)] for value in FAKES.values()]


@pytest.mark.parametrize("what", sorted(FACTS["show"].keys() - DECLINED))
async def test_every_show_is_answered_to_who_may_only_look(house: FakeHouse, what: str) -> None:
    session = Session(house, "stats")
    for command in (f"SHOW {what}", f"select {what.upper()};"):
        assert tags(await session.ask(command)) == ["SHOW"]
    session.console.disconnect("the test is over")


@pytest.mark.parametrize("verb", sorted(FACTS["actions"].keys() - DECLINED))
async def test_every_action_is_done_and_answered_with_its_tag(session: Session, verb: str) -> None:
    action = FACTS["actions"][verb]
    client = session.house.add_client(session.house.add_pool())
    if "after" in action:
        await session.ask(action["after"])
    assert tags(await session.ask(action["query"].format(client=client.id))) == [action["tag"]]
    assert verb in ACTIONS or verb == "set"


@pytest.mark.parametrize("verb", FACTS["actions"])
async def test_no_action_is_for_who_may_only_look(house: FakeHouse, verb: str) -> None:
    session = Session(house, "stats")
    fields = await session.error(FACTS["actions"][verb]["query"].format(client=1))
    assert (fields["M"], fields["C"]) == ("admin access needed", "08P01")
    session.console.disconnect("the test is over")


@pytest.mark.parametrize("error", FACTS["errors"], ids=lambda error: error["query"])
async def test_error_texts_are_pgbouncers(session: Session, error: dict[str, Any]) -> None:
    if "after" in error:
        await session.ask(error["after"])
    fields = await session.error(error["query"])
    assert (fields["S"], fields["C"], fields["M"]) == ("ERROR", error.get("sqlstate", "08P01"), error["text"])


async def test_what_is_declined_says_so_and_is_written_down(session: Session) -> None:
    for command in ("SHOW FDS", "SUSPEND"):
        fields = await session.error(command)
        assert fields["C"] == FeatureNotSupported.sqlstate
        assert f"{command} is not supported" in fields["M"]
        assert f"`{command}`" in COMPATIBILITY.read_text()


async def test_sockets_with_their_secrets_are_not_shown_to_who_may_only_look(house: FakeHouse) -> None:
    session = Session(house, "stats")
    assert (await session.error("SHOW FDS"))["M"] == "admin access needed"
    session.console.disconnect("the test is over")


@pytest.mark.parametrize("name", SETTABLE)
def test_settings_by_pgbouncers_names_are_settings_of_ours(name: str) -> None:
    section, key = find_setting(name)
    assert f"{section}.{key}" == SETTABLE[name]
