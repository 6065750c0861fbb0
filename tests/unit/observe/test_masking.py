"""No secret survives in what is logged; what is no secret stays readable."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.observe.masking import mask, mask_event, mask_value

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:hunter2@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("postgresql://u:hun@ter2/hunter2@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:hunter2@a/x,postgresql://v:hunter2@b/y", "postgresql://u:***@a/x,postgresql://v:***@b/y"),
        ("redis://:hunter2@h", "redis://:***@h"),
        ("postgresql://h/db?user=u&password=hunter2", "postgresql://h/db?user=u&password=***"),
        ("host=h password=hunter2 user=u", "host=h password=*** user=u"),
        (r"host=h password = 'hunter2 \'hunter2' user=u", "host=h password = *** user=u"),
        (r"password=a\ hunter2 user=u", "password=*** user=u"),
        ('{"password": "a\\"hunter2", "user": "u"}', '{"password": ***, "user": "u"}'),
        ("{'passwd': 'hunter2', 'user': 'u'}", "{'passwd': ***, 'user': 'u'}"),
        ("PGPASSWORD=hunter2 psql", "PGPASSWORD=*** psql"),
        ("CREATE ROLE r PASSWORD 'hunter2' LOGIN", "CREATE ROLE r PASSWORD ***"),
        (r"ALTER ROLE r PASSWORD 'a\''hunter2'", "ALTER ROLE r PASSWORD ***"),
        ("alter user r encrypted password/* x */E'hunter2'", "alter user r encrypted password/* x */***"),
        ("ALTER ROLE r PASSWORD\n$$hunter2$$", "ALTER ROLE r PASSWORD\n***"),
        ("secret SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy for u", "secret SCRAM-SHA-256$*** for u"),
        ('"u" "md50123456789abcdef0123456789abcdef"', '"u" "md5***"'),
    ],
)  # fmt: skip
def test_secrets_are_hidden_and_the_rest_stays(text: str, expected: str) -> None:
    assert mask(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "client login from 127.0.0.1:5432 as app@db",
        "http://127.0.0.1:9127/metrics",
        "postgresql://u@h:5432/db",
        "password authentication failed for user app",
        "SELECT md5(a), passwords FROM t WHERE b = $? AND c @> $?",
        "auth type md5",
    ],
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert mask(text) == text


@given(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1), st.text("ab /:@?"))
def test_no_password_of_a_url_survives(password: str, rest: str) -> None:
    if "://" in password:
        return
    found = mask(f"postgresql://user:Q{password}Q@host/{rest}")
    assert f"Q{password}Q" not in found


@given(st.text())
def test_no_quoted_password_survives(password: str) -> None:
    quoted = password.replace("\\", "\\\\").replace("'", "\\'")
    assert mask(f"password='{SECRET}{quoted}'x") == "password=***x"
    assert SECRET not in mask(f"ALTER ROLE x PASSWORD 'a{password}{SECRET}'")


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError(SECRET)


class Url:
    def __repr__(self) -> str:
        return f"<Url postgresql://u:{SECRET}@h>"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (1.5, 1.5),
        (b"password=hunter2", "password=***"),
        ([Url(), ("password=hunter2",)], ["<Url postgresql://u:***@h>", ["password=***"]]),
        ({"a": {"password": [SECRET]}, 1: "x"}, {"a": {"password": "***"}, "1": "x"}),
        (ValueError("bad password='hunter2'"), "bad password=***"),
        (Unshowable(), "<Unshowable that cannot be shown>"),
    ],
)
def test_values_of_any_kind_become_plain_and_masked(value: Any, expected: Any) -> None:
    assert mask_value(value) == expected


def test_a_value_that_holds_itself_ends() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert "[...]" in str(mask_value(endless))


def test_events_are_masked_by_key_and_by_form() -> None:
    event = {"event": "reload failed", "password": SECRET, "url": f"x://u:{SECRET}@h", "password_set": True}
    assert mask_event(None, "info", event) == {
        "event": "reload failed",
        "password": "***",
        "url": "x://u:***@h",
        "password_set": True,
    }
