import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.auth.users import Secret, Users
from dbproxy.errors import ConfigurationError

MD5 = "md5" + "0" * 32
SCRAM = f"SCRAM-SHA-256$4096:c2FsdA==${'A' * 43}=:{'B' * 42}A="


def test_file_of_pgbouncer_is_read() -> None:
    users = Users.parse(
        f'''; a comment
# another
"plain" "secret"
"hashed" "{MD5}" and what follows is ignored
   "verified"\t"{SCRAM}"

"quoted ""name""" "se""cret"
"twice" "one"
"twice" "two"
"nothing" ""
''',
        "userlist.txt",
    )
    assert users == {
        "plain": Secret("plain", "secret"),
        "hashed": Secret("md5", MD5),
        "verified": Secret("scram-sha-256", SCRAM),
        'quoted "name"': Secret("plain", 'se"cret'),
        "twice": Secret("plain", "two"),
        "nothing": Secret("plain", ""),
    }


FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1)


@given(
    st.dictionaries(FIELD, FIELD.filter(lambda text: not text.startswith(("md5", "SCRAM")))),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_quoted_comes_back(users: dict[str, str], newline: str) -> None:
    def quote(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    text = "".join(f"{quote(user)} {quote(secret)}{newline}" for user, secret in users.items())
    assert Users.parse(text, "f") == {user: Secret("plain", secret) for user, secret in users.items()}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("user hunter2", "not a user"),
        ('"user" hunter2', "not a user"),
        ('"user" "hunter2', "not a user"),
        ('"user""hunter2"', "not a user"),
        ('"" "hunter2"', "the user name is empty"),
        ('"user" "SCRAM-SHA-256$4096:hunter2"', "SCRAM secret of user 'user' is malformed"),
    ],
)
def test_bad_line_is_named_without_its_secret(line: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        Users.parse(f'"a" "b"\n{line}\n', "userlist.txt")
    assert caught.value.message.startswith("userlist.txt:2: ")
    error = caught.value
    assert "hunter2" not in error.message + error.hint + error.detail + repr(error)
    assert "hunter2" not in "".join(traceback.format_exception_only(error))


def test_password_of_a_url_is_never_taken_for_a_hash() -> None:
    users = Users()
    users.add("app", MD5)
    assert users["app"] == Secret("plain", MD5)


def test_nothing_shows_a_secret() -> None:
    users = Users.parse('"app" "hunter2"', "f")
    assert repr(users) == "{'app': Secret(kind='plain')}"
