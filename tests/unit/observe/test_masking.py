"""No secret survives in what is logged; what is no secret stays readable."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.observe.masking import is_card, mask, mask_event, mask_value

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
        ("ALTER ROLE r PASSWORD hunter2", "ALTER ROLE r PASSWORD ***"),
        ('ALTER ROLE "a;b" PASSWORD hunter2', 'ALTER ROLE "a;b" PASSWORD ***'),
        ('ALTER ROLE "r PASSWORD hunter2', 'ALTER ROLE "r PASSWORD ***'),
        ('ALTER ROLE r" PASSWORD "hunter2"', 'ALTER ROLE r" PASSWORD ***'),
        ('create user r  with\npassword "hunter2" login', "create user r  with\npassword ***"),
        ('ALTER ROLE r PASSWORD"hunter2"', "ALTER ROLE r PASSWORD***"),
        (r"ALTER ROLE r PASSWORD 'a\''hunter2'", "ALTER ROLE r PASSWORD ***"),
        ("alter user r encrypted password/* x */E'hunter2'", "alter user r encrypted password***"),
        ("alter user r password -- x\n'hunter2'", "alter user r password ***"),
        ("ALTER ROLE r PASSWORD\n$$hunter2$$", "ALTER ROLE r PASSWORD\n***"),
        ("secret SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy for u", "secret SCRAM-SHA-256$*** for u"),
        ('"u" "md50123456789abcdef0123456789abcdef"', '"u" "md5***"'),
        ("a Bearer abc.def-123456", "a Bearer ***"),
        ("Authorization: Bearer abc.def-123456", "Authorization: ***"),
        ("authorization: Basic dXNlcjpodW50ZXIy", "authorization: ***"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "***"),
        ("sk_live_4eC39HqLyjWDarjtT1zdp7dc and ghp_16C7e42F292c6912E7710c838347Ae178B4a", "*** and ***"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("api_key=hunter2 access-key: hunter2", "api_key=*** access-key: ***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nhunter2", "-----BEGIN RSA PRIVATE KEY-----***"),
        ("mail to jane.doe+x@mail.example.com, now", "mail to ***, now"),
        ("/users/jane%40example.com", "/users/***"),
        ("card 4111111111111111.", "card ***."),
        ("4111 1111 1111 1111", "***"),
        ("5555-5555-5555-4444 12/28", "*** 12/28"),
        ("3782 822463 10005", "***"),
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
        "postgresql://app@db1.example.com:5432/db and postgresql://u:***@db1.example.com/db",
        "app@db and app@10.0.0.1",
        "4111111111111112",
        "1795817173000 1795817173000000",
        "order 4111-1111",
        "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01",
        "2026-11-28 22:06:05.123456",
    ],
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "PASSWORD " + "/**/" * 100 + "x",
        "PASSWORD " + "/*" * 5000,
        "PASSWORD--\n" * 1000,
        "-eyJ" * 2500,
        "CREATE ROLE " * 2500,
    ],
)
def test_no_text_takes_longer_than_in_proportion_to_its_length(text: str) -> None:
    """Some took for ever: whoever could say a name, let in or not, stopped the proxy."""
    mask(text)


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


@pytest.mark.parametrize(
    "number",
    ["4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "30569309025904"],
)
def test_cards_are_known_by_their_check_digit(number: str) -> None:
    assert is_card(number)
    assert not any(is_card(number[:-1] + digit) for digit in "0123456789" if digit != number[-1])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1 " * 8000, "1 " * 8000),
        ("4111111111111111 " * 1000, "*** " * 1000),
        ("0 " * 4000 + "4111 1111 1111 1111 12/28", "0 " * 4000 + "*** 12/28"),
        ("1-1 " * 4000 + "a", "1-1 " * 4000 + "a"),
    ],
)
@pytest.mark.timeout(20)
def test_many_groups_of_digits_hold_nobody_up(text: str, shown: str) -> None:
    assert mask(text) == shown


def test_a_name_may_be_an_email_address_and_a_message_quotes_no_value() -> None:
    event = {
        "user": "jane@example.com",
        "application_name": "jane@example.com",
        "error": 'invalid value for parameter "TimeZone": "hunter2"',
        "reason": "valeur invalide pour le paramètre « TimeZone » : « hunter2 »",
        "detail": 'user "app" is not known',
        "traceparent": "00-41111111111111110000000000000000-4111111111111111-01",
    }
    assert mask_event(None, "info", event) == {
        "user": "jane@example.com",
        "application_name": "***",
        "error": 'invalid value for parameter "TimeZone": ***',
        "reason": "valeur invalide pour le paramètre « TimeZone » : ***",
        "detail": 'user "app" is not known',
        "traceparent": event["traceparent"],
    }
