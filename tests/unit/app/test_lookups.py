"""Users asked for on the server: shared, bounded, and told in words when it cannot be asked."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from dbproxy.app import lookups
from dbproxy.app.lookups import NOT_LISTED, Lookups
from dbproxy.auth.query import EXPIRY, ROLES, UNKNOWN
from dbproxy.auth.users import Secret
from dbproxy.config import Settings
from dbproxy.errors import ServerLost, ServerRefused
from tests.support.speech import BIND_COMPLETE, IDLE, PARSE_COMPLETE, complete
from tests.unit.pool.fakes import FakePool

NOBODY = [[], []]


class Asked(Lookups):
    """Whose servers answer what the test says, when it says so."""

    def __init__(self, **auth: object) -> None:
        tables = {"primary": {"url": "postgresql://db/shop"}, "auth": {"user": "asker", **auth}}
        Lookups.__init__(self, Settings.model_validate(tables), None, spawn)  # type: ignore[arg-type]
        self.questions: list[tuple[str, ...]] = []
        self.answer: Any = [[[b"app", b"hers"]], [[b""]]]
        self.open = asyncio.Event()
        self.open.set()

    async def ask(self, authority: Any, user: str, *texts: str) -> list[list[list[bytes]]]:
        self.questions.append((user, *texts))
        await self.open.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[no-any-return]


def spawn(work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    return asyncio.get_running_loop().create_task(work)


async def test_nobody_is_asked_without_who_may_ask() -> None:
    asked = Asked(user="")
    assert (await asked.find_secret("shop", "app")).why == NOT_LISTED
    assert asked.questions == []


async def test_answer_is_kept_for_all_databases_of_one_server() -> None:
    asked = Asked(query="SELECT $1")
    for database in ("shop", "shop", "other"):
        assert (await asked.find_secret(database, "app")).secret == Secret("plain", "hers")
    assert asked.questions == [("app", "SELECT $1", EXPIRY)]


async def test_logins_at_the_same_time_share_the_question_and_one_that_leaves_takes_it_from_nobody() -> None:
    asked = Asked()
    asked.open.clear()
    waiting = [spawn(asked.find_secret("shop", "app")) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    asked.open.set()
    gone, *found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(gone, asyncio.CancelledError)
    assert [answer.secret for answer in found] == [Secret("plain", "hers")] * 2  # type: ignore[union-attr]
    assert len(asked.questions) == 1
    assert asked.running == {}


async def test_users_asked_for_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "MOST", 1)
    asked = Asked()
    asked.open.clear()
    first = spawn(asked.find_secret("shop", "app"))
    await asyncio.sleep(0)
    with pytest.raises(ServerLost, match="too many users"):
        await asked.find_secret("shop", "other")
    asked.open.set()
    assert (await first).secret


@pytest.mark.parametrize("error", [ServerRefused("permission denied", sqlstate="42501"), TimeoutError()])
async def test_failure_is_told_to_all_who_wait_without_its_reason_and_not_kept(error: Exception) -> None:
    asked = Asked()
    asked.answer = error
    for _ in range(2):
        with pytest.raises(ServerLost) as caught:
            await asked.find_secret("shop", "app")
        assert caught.value.message == 'cannot look up user "app" now'
        assert caught.value.sqlstate == "08006"
    assert len(asked.questions) == 2


async def test_name_that_no_server_has_is_not_asked_for() -> None:
    asked = Asked()
    assert (await asked.find_secret("shop", "\udcff")).why == UNKNOWN
    assert await asked.find_roles("shop", "\udcff") == frozenset()
    assert asked.questions == []


async def test_roles_are_asked_for_each_time() -> None:
    asked = Asked()
    asked.answer = [[[b"app"], [b"staff"]]]
    for _ in range(2):
        assert await asked.find_roles("shop", "app") == {"app", "staff"}
    assert asked.questions == [("app", ROLES)] * 2


async def test_who_has_nobody_to_ask_for_roles_is_let_in_by_no_rule_about_them() -> None:
    asked = Asked(user="")
    with pytest.raises(ServerLost, match='cannot look up user "app" now') as caught:
        await asked.find_roles("shop", "app")
    assert "no auth.user" in caught.value.detail_log


async def test_doubt_and_other_settings_ask_again() -> None:
    asked = Asked()
    asked.answer = NOBODY
    await asked.find_secret("shop", "app")
    asked.doubt("shop", "app")  # too young to be doubted
    await asked.find_secret("shop", "app")
    assert len(asked.questions) == 1
    asked.apply(asked.settings)
    await asked.find_secret("shop", "app")
    assert len(asked.questions) == 2


async def test_connection_that_is_open_when_the_settings_are_read_again_is_counted_until_it_is_closed() -> (
    None
):
    fake = FakePool(size=1)
    asked = Asked()
    asked.make_pool = lambda *_: fake.pool  # type: ignore[assignment]
    asking = spawn(Lookups.ask(asked, asked.settings.authority_for("shop"), "app", "SELECT $1"))
    await asyncio.sleep(0)
    server = fake.connect()
    await asyncio.sleep(0)
    asked.apply(asked.settings)
    asked.forget()
    assert (asked.all_pools(), server.closed) == ([fake.pool], False)
    server.data_received(PARSE_COMPLETE + BIND_COMPLETE + complete("SELECT 0") + IDLE)
    assert await asking == [[]]
    assert server.closed
    asked.forget()
    assert asked.all_pools() == []
