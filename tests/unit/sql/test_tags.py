"""Who asks is read from the tags that are cut, and from nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.sql.comments import cut_comments
from dbproxy.sql.tags import KEYS, LONGEST, MOST, read_pairs, read_tags, trace_id
from tests.unit.sql.test_comments import TAGS

PARENT = "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-00"


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        (f"SELECT 1 /*traceparent='{PARENT}'*/", {"traceparent": PARENT}),
        (f"/*dddbs='shop',traceparent='{PARENT}'*/ SELECT 1", {"traceparent": PARENT, "dddbs": "shop"}),
        ("/*request_id='a1'*/ SELECT 1; /*route='%2Fparam*d'*/;", {"request_id": "a1", "route": "/param*d"}),
        (r"SELECT 1 /*action='it\'s',controller='a%20b'*/", {"controller": "a b", "action": "it's"}),
        ("SELECT 1 /* job = 'Mail' , framework='rails:7'*/", {"job": "Mail", "framework": "rails:7"}),
        (f"SELECT 1 /*traceparent='{OTHER}'*/ /*traceparent='{PARENT}'*/", {"traceparent": PARENT}),
        (f"SELECT 1 /*traceparent='{PARENT}'*/ /*traceparent='nonsense'*/", {"traceparent": PARENT}),
        ("SELECT 1 /*password='x',request_id='a'*/", {"request_id": "a"}),
        ("SELECT 1 /*request_id='a%0Ab%1B'*/", {"request_id": "a\ufffdb\ufffd"}),
        ("SELECT 1 /*request_id='%FF'*/", {"request_id": "\ufffd"}),
        ("SELECT 1 /*request_id=''*/", {}),
        ("SELECT '/*request_id=''a''*/'", {}),
        ("SELECT '/*request_id=1*/' -- /*request_id='a'*/", {}),
        ("SELECT 1 AS \"/*request_id='a'*/\"", {}),
        ("SELECT $$ /*request_id='a'*/", {}),
        ("SELECT /*request_id='a'*/ 1", {}),
        ("SELECT 1 /*request_id='a' and more*/", {}),
        ("SELECT 1 /*+ Set(request_id='a') */", {}),
        (r"SELECT '\' /*request_id='a'*/", {}),  # with standard_conforming_strings off it is part of the string
        (r"/*request_id='b'*/SELECT '\' /*request_id='a'*/", {"request_id": "b"}),
        ("SELECT 1", {}),
        ("", {}),
    ],
)  # fmt: skip
def test_known_keys_are_read_and_decoded(text: str, tags: dict[str, str]) -> None:
    assert read_tags(text.encode()) == tags


@pytest.mark.parametrize(
    "value",
    [
        PARENT.upper(),
        PARENT[:-1],
        PARENT + "-01",
        "ff" + PARENT[2:],
        f"00-{'0' * 32}-c532cb4098ac3dd2-01",
        f"00-5bd66ef5095369c7b0d1f8f4bd33716a-{'0' * 16}-01",
    ],
)
def test_a_traceparent_that_is_none_is_not_taken_over(value: str) -> None:
    assert read_tags(f"SELECT 1 /*traceparent='{value}'*/".encode()) == {}


def test_many_keys_and_long_values_are_bounded_the_most_important_first() -> None:
    pairs = ",".join(f"{key}='{'v' * 500}'" for key in sorted(KEYS) if key != "traceparent")
    found = read_tags(f"SELECT 1 /*{pairs},traceparent='{PARENT}'*/".encode())
    assert list(found) == list(KEYS[:MOST])
    assert {len(value) for key, value in found.items() if key != "traceparent"} == {LONGEST}


def test_the_trace_is_known_by_its_id() -> None:
    assert trace_id(PARENT) == "5bd66ef5095369c7b0d1f8f4bd33716a"


@given(TAGS, st.sampled_from([b"SELECT a FROM t", b"SELECT 'x', $1;", b"SELECT 1 -- c\n"]))
def test_what_is_read_is_what_is_cut(tags: bytes, text: bytes) -> None:
    assert read_tags(cut_comments(tags + text)) == {}
    assert read_tags(tags + text) == read_tags(text + b" " + tags)


def test_all_pairs_are_read_where_the_keys_are_not_known_ahead():
    text = b"SELECT 1 /*Tenant='a%20b',request_id='a'*/"
    assert dict(read_pairs(text)) == {"tenant": "a b", "request_id": "a"}
