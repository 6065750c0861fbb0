import psycopg.pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.auth.saslprep import saslprep
from dbproxy.auth.scram import derive_keys, parse_verifier


def libpq_verifier(password: str) -> str:
    """What PostgreSQL stores for a password, as its own library computes it."""
    connection = psycopg.pq.PGconn.connect_start(b"host=/nowhere")
    return connection.encrypt_password(password.encode(), b"anyone", b"scram-sha-256").decode()


@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        ("user", "user"),
        ("I\u00adX", "IX"),  # RFC 4013, section 3: a soft hyphen is mapped to nothing
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("\u0627\u0628", "\u0627\u0628"),
    ],
)
def test_password_is_prepared(password: str, prepared: str) -> None:
    assert saslprep(password) == prepared


@pytest.mark.parametrize(
    "password",
    [
        "a\x07b",  # control characters pass in plain ASCII
        "\u00aa\x07",  # and forbid everything else
        "\u00ad",  # nothing would be left
        "\u0627\u00aa",  # right-to-left letters among others
        "\u06271",  # or not at both ends
        "\ue000\u00aa",  # private use
        "\u0378\u00aa",  # not assigned
        "\u00aa\udcff",  # not UTF-8
    ],
)
def test_password_that_cannot_be_prepared_stays_as_typed(password: str) -> None:
    assert saslprep(password) == password


INTERESTING = (
    "aZ \u00a0\u00ad\u00aa\u2168\u00e9e\u0301\u0627\u0628\u0378\ue000\ufb01\u1e9b\u0323\u200b\U000e0001\x07"
)


def test_password_too_long_to_be_put_in_order_stays_as_typed() -> None:
    accents = "\u0300\u0316"  # of two classes: sorting them takes the square of their number
    assert saslprep("q" + accents * 10) == "q" + "\u0316" * 10 + "\u0300" * 10
    assert saslprep("q" + accents * 16_000) == "q" + accents * 16_000


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from(INTERESTING), max_size=8)
)
def test_libpq_hashes_the_same_password(password: str) -> None:
    verifier = parse_verifier(libpq_verifier(password))
    assert verifier is not None
    assert derive_keys(password, verifier.salt, verifier.iterations).verifier() == verifier
