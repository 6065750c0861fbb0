"""When sources are read, and what stays while they cannot be."""

import asyncio
from typing import Any

import asyncpg
import pytest

from dbproxy.app import sources
from dbproxy.app.sources import Sources, describe, locate
from dbproxy.config import load
from dbproxy.config.limits import LimitSettings
from dbproxy.config.url import parse_url
from dbproxy.errors import ServerUnavailable
from dbproxy.limits.book import Book

URL = "postgresql://app:secret@primary:5432/shop"


class Transaction:
    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


class Cursor:
    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows

    async def fetch(self, number: int) -> list[Any]:
        some, self.rows = self.rows[:number], self.rows[number:]
        return some


class Connection:
    """Answers with `rows`, or fails."""

    def __init__(self, rows: list[Any] | Exception) -> None:
        self.rows = rows
        self.closed = False
        self.channels: dict[str, Any] = {}

    def transaction(self, *, readonly: bool) -> Transaction:
        assert readonly
        return Transaction()

    async def cursor(self, query: str) -> Cursor:
        if isinstance(self.rows, Exception):
            raise self.rows
        return Cursor(self.rows)

    async def add_listener(self, channel: str, callback: Any) -> None:
        self.channels[channel] = callback

    def add_termination_listener(self, callback: Any) -> None: ...
    def remove_termination_listener(self, callback: Any) -> None: ...

    def is_closed(self) -> bool:
        return self.closed

    def terminate(self) -> None:
        self.closed = True


def make(connection: Connection, monkeypatch: pytest.MonkeyPatch, **keys: Any) -> Sources:
    opened = []

    async def connect(cluster: Any, url: Any, timeout: float, name: str) -> Connection:  # noqa: ASYNC109
        opened.append(url.address)
        return connection

    monkeypatch.setattr(sources, "connect_as_servers", connect)
    rules = [{"name": "user", "source": "TABLE tiers"}]
    book = Book(LimitSettings(**{"rules": rules, **keys}))
    found = Sources(book, None, lambda: parse_url(URL))  # type: ignore[arg-type]
    found.opened_at = opened  # type: ignore[attr-defined]
    return found


async def test_rows_are_listed_and_the_channel_is_listened_to(monkeypatch: pytest.MonkeyPatch):
    connection = Connection([("acme", "pro")])
    read = make(connection, monkeypatch)
    assert await read.read_all()
    (rule,) = read.book.rules
    assert (rule.listed, rule.reading.keys, rule.reading.error) == ({"acme": "pro"}, 1, "")
    assert await read.read_all()
    assert read.opened_at == ["primary:5432"]  # type: ignore[attr-defined]
    connection.channels["dbproxy_limits"](connection, 1, "dbproxy_limits", "")
    assert read.due.is_set()


async def test_what_was_read_stays_when_it_cannot_be_read_again(monkeypatch: pytest.MonkeyPatch):
    connection = Connection([("acme", "pro")])
    read = make(connection, monkeypatch)
    await read.read_all()
    version = read.book.version
    connection.rows = asyncpg.UndefinedTableError('relation "tiers" does not exist')
    assert not await read.read_all()
    (rule,) = read.book.rules
    assert rule.listed == {"acme": "pro"}
    assert rule.reading.error == 'relation "tiers" does not exist (42P01)'
    connection.rows = [("acme", "pro")]
    assert await read.read_all()
    assert rule.reading.error == ""
    assert read.book.version == version, "nobody is looked up anew for nothing"


async def test_place_or_channel_that_has_changed_has_another_connection_opened(
    monkeypatch: pytest.MonkeyPatch,
):
    connection = Connection([])
    read = make(connection, monkeypatch)
    await read.read_all()
    read.find_primary = lambda: parse_url("postgresql://app@replica:5432/shop")  # type: ignore[assignment,return-value]
    await read.read_all()
    connection.closed = True  # the server has closed it
    await read.read_all()
    assert read.opened_at == ["primary:5432", "replica:5432", "replica:5432"]  # type: ignore[attr-defined]


async def test_lost_primary_is_told_and_too_many_rows_are_refused(monkeypatch: pytest.MonkeyPatch):
    read = make(Connection([(str(number), "pro") for number in range(101)]), monkeypatch, max_keys=100)
    assert not await read.read_all()
    (rule,) = read.book.rules
    assert "more than 100 rows (limits.max_keys)" in rule.reading.error

    def nobody() -> Any:
        raise ServerUnavailable("the primary is lost")

    read.find_primary = nobody
    assert not await read.read_all()
    assert rule.reading.error == "the primary is lost"


async def test_nothing_is_opened_where_no_rule_has_a_source(monkeypatch: pytest.MonkeyPatch):
    read = make(Connection([]), monkeypatch, rules=[{}])
    assert await read.read_all()
    assert read.opened_at == []  # type: ignore[attr-defined]


async def test_database_that_is_to_be_dropped_is_left(monkeypatch: pytest.MonkeyPatch):
    connection = Connection([])
    read = make(connection, monkeypatch)
    await read.read_all()
    read.vacate({"other"})
    assert not connection.closed
    read.vacate({"shop"})
    assert connection.closed


async def test_reading_goes_on_until_it_is_cancelled(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sources, "LEAST", 0.0)
    connection = Connection([])
    read = make(connection, monkeypatch)
    task = asyncio.create_task(read.run())
    rule = read.book.rules[0]
    async with asyncio.timeout(5):
        while rule.reading.at is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
        first = rule.reading.at
        while rule.reading.at == first:
            read.hurry()
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert connection.closed


def test_primary_is_read_as_the_user_of_its_url():
    settings = load(None, {"DATABASE_URL": URL})
    with pytest.raises(ServerUnavailable):
        locate(settings, None)
    assert locate(settings, settings.primary.url) is settings.primary.url
    moved = locate(settings, parse_url("postgresql://probe@replica:6000/other"))
    assert (moved.address, moved.user, moved.dbname) == ("replica:6000", "app", "shop")


def test_errors_are_told_in_words():
    assert describe(TimeoutError()) == "no answer within 10 s"
    assert describe(ConnectionResetError()) == "the connection was closed"
