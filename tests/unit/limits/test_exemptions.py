"""Whom no limit is for."""

import pytest

from dbproxy.config.template import Facts
from dbproxy.limits.exemptions import Exemptions, is_free

APP = Facts("app", "shop", "web", "10.0.0.7")


@pytest.mark.parametrize("word", ["app", "acme", "10.0.0.7", "10.0.0.0/8"])
def test_users_keys_addresses_and_networks_are_covered(word: str):
    assert Exemptions(["other", word]).cover(APP, ["acme"])


@pytest.mark.parametrize("word", ["shop", "web", "10.0.0.8", "192.168.0.0/16", "2001:db8::/32"])
def test_nobody_else_is(word: str):
    assert not Exemptions([word]).cover(APP, ["acme"])


def test_client_by_a_unix_socket_is_in_no_network():
    assert not Exemptions(["0.0.0.0/0"]).cover(Facts("app", "shop", "", ""), [])


@pytest.mark.parametrize(
    ("kinds", "text"),
    [
        (b"Q", b"COMMIT"),
        (b"Q", b" rollback ; discard all;"),
        (b"Q", b""),
        (b"PBDES", b"COMMIT"),
        (b"BES", b"END"),
        (b"CS", b""),
    ],
)
def test_what_only_ends_or_cleans_up_is_free(kinds: bytes, text: bytes):
    assert is_free(kinds, text)


@pytest.mark.parametrize(
    ("kinds", "text"),
    [
        (b"Q", b"COMMIT; SELECT 1"),
        (b"Q", b"commitment"),
        (b"Q", b"SELECT 1; COMMIT"),
        (b"PBEPBES", b"COMMIT"),  # another is executed behind it
        (b"PBE", b"COMMIT"),  # may be
        (b"F", b""),
        (b"ES", b""),  # of a cursor WITH HOLD
        (b"BES", b""),
        (b"PS", b"SELECT 1"),
    ],
)
def test_what_does_more_than_that_is_not(kinds: bytes, text: bytes):
    assert not is_free(kinds, text)
