import psycopg.pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.auth import md5

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(TEXT, TEXT)
def test_libpq_makes_the_same_secret(user: str, password: str) -> None:
    connection = psycopg.pq.PGconn.connect_start(b"host=/nowhere")
    expected = connection.encrypt_password(password.encode(), user.encode(), b"md5").decode()
    assert md5.make_md5_secret(user, password) == expected
    assert md5.is_md5_secret(expected)


def test_answer_is_the_digest_of_digest_and_salt() -> None:
    secret = md5.make_md5_secret("u", "secret")
    assert secret == "md514ac701963725e89bfe34a2219d114a2"
    # printf '14ac701963725e89bfe34a2219d114a2\1\2\3\4' | md5sum
    assert md5.answer_challenge(secret, b"\1\2\3\4") == "md5dffd2564502f75393b3854e1532b9fa6"


@pytest.mark.parametrize(
    "text", ["", "md5", "md5" + "g" * 32, "md5" + "A" * 32, "md5" + "a" * 33, "MD5" + "a" * 32]
)
def test_what_postgresql_would_not_take_for_a_hash_is_none(text: str) -> None:
    assert not md5.is_md5_secret(text)
