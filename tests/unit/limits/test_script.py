"""What Redis is asked, and how its answers are read; what it does with it is tested with a real one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.limits.bucket import NEVER
from dbproxy.limits.script import (
    HELLO,
    LONGEST,
    Found,
    Item,
    Order,
    Result,
    Sender,
    name_key,
    read,
    spell,
)
from dbproxy.net.caller import Mismatch

ITEM = Item(b"a", 1000, 12000, need=1000)
ONE = [Order((ITEM,), 5)]
ME = Sender(b"rl:{limits}", "me", 4)


def test_keys_are_named_once_and_all_have_one_hash_tag():
    orders = [Order((ITEM, Item(b"b", 1, 2))), Order((ITEM,))]
    words = spell(ME, "me:1", orders, HELLO)
    assert words[:4] == [3, b"rl:{limits}", b"a", b"b"]
    assert words[4:10] == ["me:1", "me", "1", 5, 4, 0]
    assert words[10:12] == [2, 0]
    assert words[12:20] == [2, 1000, 12000, 1000, 0, 0, 0, 0]


def test_answer_is_read_back_by_order():
    answer = read([b"me:1", 99, 3, 1, 0, 500, 1500], "me:1", ONE)
    assert (answer.time, answer.proxies) == (99, 3)
    assert answer.results == (Result(allowed=True, found=(Found(0, 500, 1500),)),)


def test_never_is_told_apart_from_any_wait():
    (result,) = read([b"me:1", 99, 0, 0, -1, 0, 0], "me:1", ONE).results
    assert (result.allowed, result.found[0].wait) == (False, NEVER)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"OK",
        [],
        [b"me:2", 99, 0, 1, 0, 0, 0],
        [b"me:1", 99, 0],
        [b"me:1", 99, 0, 1, 0, 0],
        [b"me:1", 99, -1],
    ],
)
def test_answer_to_something_else_is_none(answer: object):
    with pytest.raises(Mismatch):
        read(answer, "me:1", ONE)


@given(st.text(min_size=1), st.text(min_size=1))
def test_long_keys_are_hashed_and_no_two_are_named_alike(rule: str, key: str):
    rule, key = (word.encode("utf-8", "replace").decode() for word in (rule, key))
    name = name_key("rl:", rule, key)
    assert len(name) <= LONGEST
    assert name.startswith(b"rl:{limits}:")
    assert name_key("rl:", rule, key + "x") != name
    assert name_key("rl:", rule + "x", key) != name


def test_names_of_a_rule_and_a_key_do_not_run_together():
    assert name_key("rl:", "a:b", "c") != name_key("rl:", "a", "b:c")
