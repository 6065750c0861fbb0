"""What is told apart of Redis' answers; what the scripts do is tested with a real one."""

import pytest

from dbproxy.cache.script import Keys, read
from dbproxy.net.caller import Mismatch

WORD = b"0123456789abcdef"


def test_answer_is_read():
    answer = read([b"token", WORD, b"value", 5], "token", 2)
    assert (answer.generation, answer.rest) == (WORD.decode(), [b"value", 5])


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        b"token",
        7,
        [b"other", WORD],
        [b"token"],
        [b"token", 7],
        [b"token", b"short"],
        [b"token", WORD, 1],
    ],
)
def test_answer_to_something_else_is_none(answer: object):
    with pytest.raises(Mismatch):
        read(answer, "token", 0)


def test_keys_show_no_sql_and_are_others_for_others():
    keys = Keys("cache:")
    name = keys.name(b"here", b"SELECT secret")
    assert b"SELECT" not in name
    assert len(name) == len(b"cache:{cache}:") + 32
    assert name == keys.name(b"here", b"SELECT secret")
    assert len({name, keys.name(b"there", b"SELECT secret"), keys.name(b"here", b"SELECT other")}) == 3


def test_all_keys_are_behind_the_prefix():
    keys = Keys("mine:")
    for key in (keys.generation, keys.spent(1000), keys.name(b"", b"")):
        assert key.startswith(b"mine:{cache}:")
