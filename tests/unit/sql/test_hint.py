"""What comments say about a statement's host, and about keeping its answer."""

import pytest

from dbproxy.sql.cache import StatementCache
from dbproxy.sql.hint import LONGEST, read_cache_hint, read_hint
from dbproxy.sql.parser import find_hints


@pytest.mark.parametrize(
    ("comment", "hint"),
    [
        (b"/* dbproxy: cache */", "cache"),
        (b"/*dbproxy:cache( ttl = 30s,\n tags=a  b )*/", "cache( ttl = 30s, tags=a b )"),
        (b"-- dbproxy: no-cache", "no-cache"),
        (b"/* DBPROXY: Cache please */", "Cache please"),
        (b"/* dbproxy: primary */", ""),
        (b"/* dbproxy: cached */", ""),
        (b"/* cache */", ""),
    ],
)
def test_hint_about_keeping_is_found_be_it_good_or_bad(comment: bytes, hint: str) -> None:
    assert read_cache_hint(comment) == hint


def test_long_one_is_cut() -> None:
    assert len(read_cache_hint(b"/* dbproxy: cache(" + b"x" * 1000 + b") */")) == LONGEST


def test_one_about_keeping_says_nothing_of_the_host() -> None:
    assert read_hint(b"/* dbproxy: cache */") == ""
    text = b"/* dbproxy: cache */ SELECT 1 /* dbproxy: replica */"
    assert find_hints(text) == ("replica", "cache")
    assert find_hints(b"SELECT '/* dbproxy: no-cache */'") == ("", "")


def test_statements_with_other_hints_are_others() -> None:
    cache = StatementCache(16)
    plain, hinted = cache.find(b"SELECT 1"), cache.find(b"SELECT 1 /* dbproxy: no-cache */")
    assert plain.name() != hinted.name()
    assert (plain.effects.cache_hint, hinted.effects.cache_hint) == ("", "no-cache")
    assert not hinted.hinted, "it is for no host"
