"""What is a traceparent, and what only looks like one."""

import pytest

from dbproxy.observe.context import Context, parse_traceparent, read_settings, read_text

TRACE, SPAN = "5bd66ef5095369c7b0d1f8f4bd33716a", "c532cb4098ac3dd2"
PARENT = f"00-{TRACE}-{SPAN}-01"
CONTEXT = Context(TRACE, SPAN, True)
OTHER = f"00-{TRACE}-aaaaaaaaaaaaaaaa-00"


@pytest.mark.parametrize(
    ("text", "sampled"),
    [(PARENT, True), (PARENT[:-2] + "00", False), (PARENT[:-2] + "03", True), (PARENT[:-2] + "02", False),
     ("cc" + PARENT[2:], True), ("01" + PARENT[2:] + "-more", True)],
)  # fmt: skip
def test_traceparent(text: str, sampled: bool):
    assert parse_traceparent(text) == Context(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "text",
    ["", PARENT[:-1], PARENT + "0", PARENT + "-more", "ff" + PARENT[2:], PARENT.upper(), f"00-{'0' * 32}-{SPAN}-01",
     f"00-{TRACE}-{'0' * 16}-01", " " + PARENT, "01" + PARENT[2:] + "more", f"00-{TRACE[:-1]}g-{SPAN}-01"],
)  # fmt: skip
def test_what_is_none(text: str):
    assert parse_traceparent(text) is None


@pytest.mark.parametrize(
    "text",
    [
        f"SELECT 1 /*traceparent='{PARENT}'*/",
        f"SELECT 1 /*traceparent='{PARENT}'*/;",
        f"/*dddbs='db',traceparent='{PARENT}'*/ SELECT 1",
        f"SELECT 1 /*traceparent='{OTHER}'*/ /*traceparent='{PARENT}'*/",
        f"SELECT 1 /*traceparent='{PARENT}'*/ /*traceparent='ff{PARENT[2:]}'*/",
        f"SELECT '/*' /*traceparent='{PARENT}'*/",
    ],
)
def test_last_valid_one_of_the_tags_counts(text: str):
    assert read_text(text.encode())[0] == CONTEXT


@pytest.mark.parametrize(
    "text",
    [
        f"SELECT '/*traceparent=''{PARENT}''*/'",
        f"SELECT $$/*traceparent='{PARENT}'*/$$",
        f"SELECT \"/*traceparent='{PARENT}'*/\"",
        f"SELECT '-- not a comment', 1 -- /*traceparent='{PARENT}'*/",
        f"SELECT /*traceparent='{PARENT}'*/ 1",
        f"SELECT 1 /*traceparent='{PARENT.upper()}'*/",
    ],
)
def test_what_is_no_tag_is_no_context(text: str):
    assert read_text(text.encode())[0] is None


def test_other_tags_are_decoded():
    text = rf"SELECT 1 /*action='it\'s',route='%2Fparam*d',traceparent='{PARENT}'*/"
    assert read_text(text.encode()) == (CONTEXT, {"route": "/param*d", "action": "it's"})


def test_settings():
    assert read_settings({"dbproxy.traceparent": PARENT}) == (CONTEXT, "setting")
    assert read_settings({"application_name": f"shop {PARENT}"}) == (CONTEXT, "application_name")
    both = {"dbproxy.traceparent": PARENT, "application_name": OTHER}
    assert read_settings(both).source == "setting"
    assert read_settings({"dbproxy.traceparent": "garbage"}) == (None, "setting")
    assert read_settings({"application_name": f"a{PARENT}", "dbproxy.traceparent": ""}) == (None, "")
