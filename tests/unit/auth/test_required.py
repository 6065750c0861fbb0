"""What a server may ask for, as libpq's require_auth has it."""

import pytest

from dbproxy.auth.required import is_allowed

NONE, PASSWORD, MD5, SASL, CONTINUE = 0, 3, 5, 10, 11


@pytest.mark.parametrize(
    ("required", "allowed"),
    [
        ("", {NONE, PASSWORD, MD5, SASL}),
        ("scram-sha-256", {SASL}),
        ("md5,scram-sha-256", {MD5, SASL}),
        ("none", {NONE}),
        ("!password", {NONE, MD5, SASL}),
        ("!none,!password", {MD5, SASL}),
    ],
)
def test_server_may_ask_for_what_the_list_says(required: str, allowed: set[int]):
    assert {
        code for code in (NONE, PASSWORD, MD5, SASL) if is_allowed(required, code, asked=False)
    } == allowed
    assert is_allowed(required, CONTINUE, asked=True)
    assert is_allowed(required, NONE, asked=True)
