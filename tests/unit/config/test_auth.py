from pathlib import Path

import pytest
from pydantic import ValidationError

from dbproxy.config import Settings
from dbproxy.config.auth import QUERY
from dbproxy.config.keys import list_entries
from dbproxy.config.secrecy import HIDDEN
from dbproxy.config.settings import Authority


def settings(**tables: object) -> Settings:
    return Settings.model_validate({"primary": {"url": "postgresql://app:theirs@db/shop"}, **tables})


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        ({"hba": "host all all all trust"}, 'count only with type = "hba"'),
        ({"type": "hba"}, 'type = "hba" needs hba_file or hba'),
        ({"type": "hba", "hba": [1]}, "must be a list of lines"),
        ({"query": "SELECT 1"}, r"must have the user's name as \$1"),
        ({"hba_file": "/no/such"}, "no such file"),
    ],
)
def test_mistakes(auth: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(auth=auth)


def test_lines_are_a_list_or_one_text() -> None:
    assert settings(auth={"type": "hba", "hba": "a b\n\nc d\n"}).auth.hba == ("a b", "c d")


def test_one_password_for_a_user() -> None:
    with pytest.raises(
        ValidationError, match="must have one of password, password_file and password_command"
    ):
        settings(users={"app": {"password": "x", "password_command": "y"}})
    assert "topmost" not in repr(settings(users={"app": {"password": "topmost"}}))


def test_keys_of_the_star_are_those_of_databases_that_are_not_listed() -> None:
    given = settings(
        databases={"*": {"user": "web", "dbname": "all", "pool": {"size": 3}}, "own": {"pool": {"size": 4}}}
    )
    assert given.server_for("any").dbname == "all"
    assert given.server_for("own").dbname == "own"
    assert (given.user_for("any", "bob"), given.user_for("own", "bob")) == ("web", "bob")
    assert (given.pool_for("any", "bob").size, given.pool_for("own", "bob").size) == (3, 4)
    assert given.listed("any") is given.databases["*"]
    assert settings().listed("any") is None


def test_who_knows_the_passwords_of_a_databases_users() -> None:
    given = settings(
        auth={"user": "asker"},
        databases={
            "same": {"pool": {"size": 1}},
            "own": {"primary": {"url": "postgresql://elsewhere/theirs"}, "auth_user": "other"},
            "query": {"auth_query": "SELECT $1", "auth_dbname": "auth"},
        },
    )
    usual = Authority("", "asker", QUERY, "shop")
    assert given.authority_for("shop") == given.authority_for("same") == given.authority_for("any") == usual
    assert given.authority_for("own") == Authority("own", "other", QUERY, "theirs")
    assert given.authority_for("query") == Authority("query", "asker", "SELECT $1", "auth")
    assert not settings().authority_for("shop").user


def test_who_asks_is_known_by_the_key_that_says_so() -> None:
    given = settings(auth={"user": "asker"}, databases={"same": {}, "own": {"auth_user": "other"}})
    found = {key: authority.user for key, authority in given.authorities().items()}
    assert found == {"auth.user": "asker", "databases.own.auth_user": "other"}
    given = settings(databases={"*": {"auth_user": "asker"}})
    assert given.authorities().keys() == {"databases.*.auth_user"}
    assert [authority.user for authority in settings().authorities().values()] == [""]


def test_databases_that_are_not_listed_share_who_knows_their_users() -> None:
    """However many names clients make up, one is asked."""
    given = settings(databases={"*": {"auth_user": "asker"}})
    assert given.authority_for("one") == given.authority_for("two") == Authority("*", "asker", QUERY, "shop")


def test_users_of_the_primary_are_looked_up_there_wherever_databases_are_that_are_not_listed() -> None:
    given = settings(
        databases={"*": {"primary": {"url": "postgresql://elsewhere/"}}, "listed": {}}, auth={"user": "asker"}
    )
    authority = given.authority_for("listed")
    assert given.server_for(authority.database).host == "db"
    assert given.server_for(given.authority_for("any").database).host == "elsewhere"


def test_files_of_passwords_that_others_may_read_are_told(tmp_path: Path) -> None:
    file, kept = tmp_path / "userlist.txt", tmp_path / "password"
    file.write_text("")
    kept.write_text("")
    file.chmod(0o604)
    kept.chmod(0o640)
    given = settings(auth={"file": file}, users={"app": {"password_file": kept}})
    (warning,) = [text for text in given.warnings() if "chmod" in text]
    assert (
        warning
        == f"auth.file: everybody on this machine may read the passwords in {file}; chmod o-rwx {file}"
    )
    file.chmod(0o600)
    kept.chmod(0o644)
    (warning,) = [text for text in given.warnings() if "chmod" in text]
    assert warning.startswith("users.app.password_file: ")


@pytest.mark.parametrize("command", ["cat 'x", "cat \\", "  "])
def test_command_whose_words_cannot_be_told_apart_is_a_mistake(command: str) -> None:
    with pytest.raises(ValidationError, match=r"words are quoted as in a shell|must be a program"):
        settings(users={"app": {"password_command": command}})


def test_arguments_of_a_password_command_are_not_shown():
    written = settings(users={"app": {"password_command": "vault read --token hunter2"}})
    shown = {entry.key: entry.shown for entry in list_entries(written)}
    assert shown["users.app.password_command"] == f"vault {HIDDEN}"


def test_command_that_is_not_there_is_warned_of() -> None:
    given = settings(
        users={"app": {"password_command": "true"}},
        databases={"shop": {"password_command": "/no/such program"}},
    )
    assert [text for text in given.warnings() if "no program" in text] == [
        "databases.shop.password_command: there is no program /no/such that may be run here"
    ]


@pytest.mark.parametrize(
    "tables",
    [
        {"auth": {"user": "asker"}},
        {"users": {"app": {"password": "x"}}},
        {"databases": {"own": {"auth_user": "asker"}}},
        {"auth": {"type": "hba", "hba": "host all all all trust"}},
    ],
)
def test_somebody_can_log_in(tables: dict[str, object]) -> None:
    given = Settings.model_validate({"primary": {"url": "postgresql://db/shop"}, **tables})
    assert not [text for text in given.warnings() if "nobody can log in" in text]


@pytest.mark.parametrize("stored", ["SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy", f"md5{'0' * 32}"])
@pytest.mark.parametrize("section", ["users", "databases"])
def test_what_postgresql_stores_of_a_password_is_not_taken_for_the_password(
    section: str, stored: str
) -> None:
    with pytest.raises(ValidationError, match=r"must be the password itself.*auth\.file") as raised:
        settings(**{section: {"app": {"password": stored}}})
    assert stored not in str(raised.value)
