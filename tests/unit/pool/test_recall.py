"""Whether servers are asked what sequences gave out, and for which."""

import pytest

from dbproxy.pool.recall import NAMED_LIMIT, TRIALS, Recall, read_recalled
from dbproxy.pool.relay import may_advance


def test_all_sequences_are_asked_for_until_that_was_in_vain_so_often():
    recall = Recall(able=True)
    for _ in range(TRIALS - 1):
        assert "pg_catalog.pg_sequence" in recall.spell()
    assert recall.asks
    recall.spell()
    assert not recall.asks


def test_whoever_recalls_has_all_asked_from_then_on():
    recall = Recall(able=True)
    for _ in range(TRIALS):
        recall.spell()
    assert recall.want("'s'")
    assert recall.want()
    assert recall.asks
    question = recall.spell()
    assert recall.asks
    assert "('s')::pg_catalog.regclass" in question
    assert "pg_catalog.pg_sequence " not in question


def test_only_so_many_sequences_are_asked_for():
    recall = Recall(able=True)
    assert all(recall.want(f"'s{number}'") for number in range(NAMED_LIMIT))
    assert not recall.want("'one more'")
    assert recall.want("'s1'")


def test_name_cannot_end_the_question():
    recall = Recall(able=True)
    assert not recall.want("'$dbproxy$; DROP TABLE t'")
    assert "DROP" not in recall.spell()


def test_nobody_is_asked_who_has_given_up():
    recall = Recall(able=True)
    recall.give_up()
    assert not recall.want()
    assert not recall.asks
    assert not Recall(able=False).want()


def test_answer_is_read():
    assert read_recalled("7 16385 7 16390 -2") == (7, 16385, 7, 16390, -2)
    assert read_recalled("unknown") is None
    assert read_recalled("") == read_recalled(None) == ()


@pytest.mark.parametrize(
    ("tag", "may"),
    [
        *((tag, True) for tag in ("INSERT 0 1", "UPDATE 0", "DELETE 1", "MERGE 1", "COPY 3", "CALL", "DO")),
        ("CREATE TABLE AS", True),
        *((tag, False) for tag in ("SELECT 1", "BEGIN", "COMMIT", "ROLLBACK", "SET", "FETCH 1", "CLOSE CURSOR")),
        *((tag, False) for tag in ("DISCARD ALL", "DEALLOCATE", "DECLARE CURSOR", "EXPLAIN", "LISTEN")),
    ],
)  # fmt: skip
def test_tag_says_whether_a_sequence_may_have_been_used(tag: str, may: bool):
    assert may_advance(*(tag + "\0").encode()[:3]) is may
