"""Who asks for what: equal keys are told the same."""

import pytest

from dbproxy.cache.key import (
    PREFIX,
    digest,
    key_of_bind,
    key_of_query,
    read_text,
    read_values,
)
from dbproxy.sql.settings import changes_answers
from dbproxy.wire import build
from tests.support.speech import FLUSH, SYNC, bind, close, describe_portal, execute, parse

TEXT = "SELECT * FROM items WHERE id = $1"
BODY = TEXT.encode() + b"\0\0\0"


def kinds_of(*messages: bytes) -> bytes:
    return b"".join(message[:1] for message in messages)


def values(*messages: bytes) -> bytes | None:
    return read_values(kinds_of(*messages), b"".join(messages))


# --- what is asked ---

FORMS = [
    (parse("", TEXT), bind("", "1"), execute(), SYNC),
    (parse("", TEXT), bind("", "1"), describe_portal(), execute(), SYNC),
    (parse("", TEXT), bind("", "1"), describe_portal(), execute(), FLUSH, SYNC),
    (parse("s", TEXT), bind("s", "1"), execute(), SYNC),
    (bind("s", "1"), execute(), SYNC),
    (bind("s", "1"), describe_portal(), execute(), SYNC),
    (bind("", "1"), execute(), FLUSH, SYNC),
]


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_that_ask_for_all_of_an_answer_have_one_key(form: tuple[bytes, ...]):
    found = values(*form)
    assert found is not None
    assert found == values(*FORMS[0])


@pytest.mark.parametrize(
    "form",
    [
        (parse("", TEXT), bind("", "1"), execute("", 5), SYNC),
        (parse("", TEXT), bind("", "1", portal="p"), execute("p"), SYNC),
        (parse("", TEXT), bind("", "1"), execute(), execute(), SYNC),
        (parse("", TEXT), bind("", "1"), SYNC),
        (parse("", TEXT), SYNC),
        (parse("", TEXT), b"D\0\0\0\6S\0", SYNC),
        (parse("", TEXT), b"D\0\0\0\6S\0", bind("", "1"), execute(), SYNC),
        (parse("", TEXT), bind("", "1"), b"D\0\0\0\6S\0", execute(), SYNC),
        (parse("s", TEXT), bind("other", "1"), execute(), SYNC),
        (parse("", TEXT), parse("", TEXT), bind("", "1"), execute(), SYNC),
        (bind("s", "1"), execute(), bind("s", "2"), execute(), SYNC),
        (bind("s", "1"), execute(), FLUSH),
        (bind("s", "1"), execute(), close("s"), SYNC),
        (SYNC,),
        (execute(), SYNC),
        (close("s"), SYNC),
        (describe_portal(), execute(), SYNC),
    ],
)
def test_other_forms_have_none(form: tuple[bytes, ...]):
    assert values(*form) is None


def test_query_and_bind_without_parameters_have_one_key():
    prefix, text = b"x" * PREFIX, b"SELECT 1"
    asked = values(parse("", "SELECT 1"), bind(), execute(), SYNC)
    assert asked is not None
    assert key_of_query(prefix, text) == key_of_bind(prefix, text + b"\0\0\0", asked)


def test_one_format_for_all_is_as_good_as_none():
    short = b"B\0\0\0\x0c\0\0\0\0\0\0\0\0"
    long = b"B\0\0\0\x0e\0\0\0\0\0\0\0\1\0\0"
    binary = b"B\0\0\0\x0e\0\0\0\0\0\0\0\1\0\1"
    assert values(short, execute(), SYNC) == values(long, execute(), SYNC) != values(binary, execute(), SYNC)


def test_texts_types_and_values_do_not_run_into_each_other():
    prefix = b"x" * PREFIX
    bodies = [b"SELECT $1\0\0\0", b"SELECT $1\0\0\1\0\0\0\x17", b"SELECT $1::int\0\0\0", b"SELECT $1 \0\0\0"]
    binds = [values(bind("s", *given), execute(), SYNC) for given in ([], ["1"], ["12"], ["1", "2"], ["1\0"])]
    keys = {key_of_bind(prefix, body, asked or b"") for body in bodies for asked in binds}
    assert len(keys) == len(bodies) * len(binds)


# --- who asks ---


@pytest.mark.parametrize(
    "changed",
    [
        {"place": "h/other"},
        {"user": "other"},
        {"settings": {"role": "b"}},
        {"settings": {"session_authorization": "b"}},
        {"settings": {"search_path": "a, b"}},
        {"settings": {"app.tenant": "1"}},
        {"settings": {"app.tenant": ""}},
        {"settings": {"TimeZone": "UTC"}},
        {"settings": {"client_encoding": "LATIN1"}},
        {"settings": {"row_security": "off"}},
        {"settings": {"enable_seqscan": "off"}},
        {"settings": {"default_transaction_isolation": "serializable"}},
    ],
)
def test_whoever_may_be_told_something_else_has_another_key(changed: dict):
    plain = {"place": "h/d", "user": "u", "settings": {}}
    assert digest(**plain) != digest(**{**plain, **changed})


def test_settings_do_not_run_into_each_other():
    assert digest("h", "u", {"a": "b", "c": "d"}) != digest("h", "u", {"a": "b', 'c': 'd"})
    assert digest("h", "u", {"a": "b", "c": "d"}) == digest("h", "u", {"c": "d", "a": "b"})
    assert digest("h", "uv", {}) != digest("hu", "v", {})
    assert len(digest("h", "u", {"a": "\udcff"})) == PREFIX


@pytest.mark.parametrize("setting", ["application_name", "statement_timeout", "work_mem", "dbproxy.route"])
def test_settings_that_change_no_answer_do_not_count(setting: str):
    assert not changes_answers(setting)
    assert digest("h", "u", {setting: "5"}) == digest("h", "u", {})


# --- values that are read by the clock ---


def test_text_of_a_query_is_read_to_its_end_and_a_malformed_one_not_at_all():
    assert read_text(build.query("SELECT 1")) == b"SELECT 1"
    assert read_text(b"Q\0\0\0\x0fSELECT 1\0\0\0") is None
