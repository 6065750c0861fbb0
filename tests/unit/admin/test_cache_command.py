"""The console's grammar for kept answers."""

import pytest

from dbproxy.admin.cache_command import CacheCommand, CacheOrder, CacheQuestion, CacheReport
from dbproxy.admin.command import Command, parse
from dbproxy.errors import CommandFailed


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("SHOW CACHE TABLES", CacheReport("tables")),
        ("show cache queries limit 5", CacheReport("queries", 5)),
        ("SHOW CACHE BYPASS", CacheReport("bypass")),
        ("INVALIDATE CACHE", CacheOrder("all", "", "")),
        ("INVALIDATE CACHE ALL", CacheOrder("all", "", "")),
        ("INVALIDATE CACHE ALL shop", CacheOrder("all", "", "shop")),
        ("INVALIDATE CACHE shop", CacheOrder("all", "", "shop")),
        ("INVALIDATE CACHE TABLE Orders", CacheOrder("table", "orders", "")),
        ('INVALIDATE CACHE TABLE public."Orders" "my shop"', CacheOrder("table", "public.Orders", "my shop")),
        ("INVALIDATE CACHE TABLE 'public.orders'", CacheOrder("table", "public.orders", "")),
        ("INVALIDATE CACHE QUERY 0123456789abcdef", CacheOrder("query", "0123456789abcdef", "")),
        ("INVALIDATE CACHE TAG user:1-a shop", CacheOrder("tag", "user:1-a", "shop")),
        ("EXPLAIN CACHE SELECT 1", CacheQuestion("", "SELECT 1")),
        ('EXPLAIN CACHE "SELECT 1"', CacheQuestion("", "SELECT 1")),
        ('EXPLAIN CACHE "SELECT ""a;b""; SELECT 2;"', CacheQuestion("", 'SELECT "a;b"; SELECT 2;')),
        ("EXPLAIN CACHE FOR shop SELECT 1", CacheQuestion("shop", "SELECT 1")),
    ],
)
def test_command_is_read(text: str, command: CacheCommand) -> None:
    assert parse(text) == command


def test_cache_alone_is_shown_as_others_are() -> None:
    assert parse("SHOW CACHE") == Command("show", "CACHE", "SHOW CACHE")


@pytest.mark.parametrize("text", ["INVALIDATE CACHE TABLE", "INVALIDATE CACHE TAG a/b", "EXPLAIN CACHE"])
def test_bad_one_says_what_would_be_right(text: str) -> None:
    with pytest.raises(CommandFailed) as failed:
        parse(text)
    assert "INVALIDATE CACHE [ALL" in failed.value.hint
