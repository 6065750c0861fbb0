import math

import pytest

from dbproxy.auth.query import EXPIRED, NO_PASSWORD, UNKNOWN, Answer, Answers, read_answer
from dbproxy.auth.users import Secret
from dbproxy.errors import ConfigurationError

PLAIN = Secret("plain", "hers")


def test_row_is_a_secret_whose_kind_its_text_tells() -> None:
    assert read_answer("app", [[b"app", b"hers"]], [], 5.0) == Answer(PLAIN, "", 5.0, math.inf)
    md5 = b"md5" + b"0" * 32
    found = read_answer("app", [[b"app", md5, b"more"]], [[b""]], 5.0)
    assert found.secret == Secret("md5", md5.decode())


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], UNKNOWN),
        ([[b"app", b""]], NO_PASSWORD),
        ([[b"other", b"hers"]], UNKNOWN),
        ([[b"", b"hers"]], UNKNOWN),
    ],
)
def test_no_password_and_no_user_are_told_apart_for_our_log(rows: list[list[bytes]], why: str) -> None:
    assert read_answer("app", rows, [], 5.0) == Answer(None, why, 5.0)


@pytest.mark.parametrize(
    "rows", [[[b"app"]], [[b"app", b"x"], [b"app", b"y"]], [[b"app", b"SCRAM-SHA-256$1:x"]]]
)
def test_rows_that_no_such_query_gives_are_refused_without_showing_them(rows: list[list[bytes]]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_answer("app", rows, [], 5.0)
    assert "SCRAM-SHA" not in str(caught.value)


def test_password_counts_until_it_expires() -> None:
    answer = read_answer("app", [[b"app", b"hers"]], [[b"10.5"]], 5.0)
    assert answer.at(15.4).secret == PLAIN
    assert answer.at(15.5) == Answer(None, EXPIRED, 5.0)
    assert read_answer("app", [[b"app", b"hers"]], [[b"0"]], 5.0).why == EXPIRED


def test_answer_counts_for_a_while_and_in_it_no_longer_than_the_password() -> None:
    answers = Answers()
    answers.keep("here", "app", Answer(PLAIN, "", 5.0, 7.0))
    answers.keep("here", "nobody", Answer(None, UNKNOWN, 5.0))
    found = answers.find("here", "app", 6.0, ttl=10)
    assert found is not None
    assert found.secret == PLAIN
    found = answers.find("here", "app", 7.0, ttl=10)
    assert found is not None
    assert found.secret is None
    assert answers.find("here", "nobody", 14.9, ttl=10) is not None
    assert answers.find("here", "nobody", 15.0, ttl=10) is None
    assert answers.find("there", "app", 6.0, ttl=10) is None
    assert answers.find("here", "app", 5.0, ttl=0) is None


def test_answers_are_bounded_and_the_oldest_goes() -> None:
    answers = Answers(size=2)
    for user in ("a", "b", "c"):
        answers.keep("here", user, Answer(PLAIN, "", 1.0))
    assert len(answers) == 2
    assert answers.find("here", "a", 1.0, 5) is None


def test_failed_login_puts_an_answer_in_doubt_unless_it_is_fresh() -> None:
    answers = Answers()
    answers.keep("here", "app", Answer(PLAIN, "", 1.0))
    answers.doubt("here", "app", 1.5)
    assert answers.find("here", "app", 1.5, 60) is not None
    answers.doubt("here", "app", 2.0)
    assert answers.find("here", "app", 2.0, 60) is None
    answers.doubt("here", "nobody", 2.0)


def test_secret_is_never_shown() -> None:
    assert "hers" not in repr(Answer(PLAIN))


@pytest.mark.parametrize("expiry", [[[]], [[b"soon"]]])
def test_expiry_that_is_no_number_is_told(expiry: list[list[bytes]]) -> None:
    with pytest.raises(ConfigurationError, match="how long the password is valid"):
        read_answer("app", [[b"app", b"hers"]], expiry, 5.0)
