from pathlib import Path

import pytest

from dbproxy.app.access import list_doubts, read_access
from dbproxy.auth.users import Secret
from dbproxy.config import Settings
from dbproxy.errors import ConfigurationError


def settings(**auth: object) -> Settings:
    return Settings.model_validate(
        {
            "primary": {"url": "postgresql://app:theirs@db/shop"},
            "users": {"bob": {"password": "his"}, "carol": {}},
            "auth": auth,
        }
    )


def test_users_are_those_of_the_file_the_settings_and_the_urls(tmp_path: Path) -> None:
    file = tmp_path / "userlist.txt"
    file.write_text('"app" "old"\n"alice" "hers"\n')
    assert read_access(settings(file=file)).users == {
        "app": Secret("plain", "theirs"),
        "alice": Secret("plain", "hers"),
        "bob": Secret("plain", "his"),
    }


def test_user_of_a_databases_own_url_counts_for_that_database_alone(tmp_path: Path) -> None:
    tables = {
        "primary": {"url": "postgresql://app:main@db/shop"},
        "replicas": [{"name": "r", "url": "postgresql://app:mistaken@r/shop"}],
        "databases": {"other": {"primary": {"url": "postgresql://app:tenant@elsewhere/other"}}},
        "auth": {"file": tmp_path / "userlist.txt"},
    }
    (tmp_path / "userlist.txt").write_text('"alice" "hers"\n')
    users = read_access(Settings.model_validate(tables)).users
    assert users.find("", "app") == Secret("plain", "main")
    assert users.find("other", "app") == Secret("plain", "tenant")
    assert users.find("other", "alice") == Secret("plain", "hers")  # the file is for all
    assert users.find("other", "nobody") is None


def test_method_of_all_without_rules() -> None:
    found = read_access(settings(type="plain", allow_cleartext=True))
    assert (found.method, found.rules, found.allow_cleartext) == ("password", None, True)


def test_lines_of_the_settings_are_ahead_of_the_files(tmp_path: Path) -> None:
    rules, maps = tmp_path / "pg_hba.conf", tmp_path / "pg_ident.conf"
    rules.write_text("local all all peer map=m\n")
    maps.write_text("m a b\n")
    found = read_access(
        settings(type="hba", hba=["host all all all md5"], hba_file=rules, ident=["m x y"], ident_file=maps)
    )
    assert found.rules is not None
    assert [rule.where for rule in found.rules] == ["auth.hba:1", f"{rules}:1"]
    assert [entry.where for entry in found.maps] == ["auth.ident:1", f"{maps}:1"]


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        ({"hba": ["host all +x all md5"]}, "auth.hba:1: a role's members have to be asked for"),
        (
            {"hba": ["local all all peer map=m"], "ident": ["m a +x"]},
            'auth.hba:1: map "m": a role\'s members',
        ),
        ({"hba": ["host all all all ldap"]}, 'auth.hba:1: authentication method "ldap" is not served'),
    ],
)
def test_rules_that_cannot_be_kept_are_refused(auth: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_access(settings(type="hba", **auth))
    assert caught.value.message.startswith(message)


def test_roles_are_asked_for_where_there_is_who_may_ask() -> None:
    assert read_access(settings(type="hba", user="asker", hba=["host all +x all md5"])).rules


@pytest.mark.parametrize(
    ("line", "asked", "missing"),
    [
        ("host all +x all md5", True, "auth.user"),
        ("host one +x all md5", True, ""),
        ("host one,two +x all md5", True, "databases.two.auth_user"),
        ("host two +x all md5", False, ""),
        ('host "all" +x all md5', False, ""),
        ("host samerole all all md5", True, "auth.user"),
        ("host /^o +x all md5", True, "auth.user"),
    ],
)
def test_roles_are_asked_for_by_a_database_s_own_user(line: str, asked: bool, missing: str) -> None:
    tables = {"auth": {"type": "hba", "hba": [line]}, "databases": {"one": {"auth_user": "bob"}, "two": {}}}
    given = Settings.model_validate({**settings().model_dump(exclude_unset=True), **tables})
    if not asked:
        with pytest.raises(ConfigurationError, match="a role's members have to be asked for"):
            read_access(given)
        return
    doubts = list_doubts(given, read_access(given))
    assert [missing in doubt for doubt in doubts] == [True] * bool(missing)


def test_user_who_asks_for_one_database_has_to_have_a_password() -> None:
    tables = {"databases": {"own": {"auth_user": "asker"}}}
    given = Settings.model_validate({**settings().model_dump(exclude_unset=True), **tables})
    (doubt,) = list_doubts(given, read_access(given))
    assert doubt.startswith('databases.own.auth_user "asker" has no password')


@pytest.mark.parametrize(
    ("auth", "doubt"),
    [
        ({"type": "hba", "hba": ["hostssl all all all md5"]}, "auth.hba:1: hostssl is for nobody"),
        ({"type": "hba", "hba": ["host all all all password"]}, "auth.hba:1: password is for nobody"),
        ({"type": "hba", "hba": ["host all all all password"], "allow_cleartext": True}, ""),
        ({"type": "hba", "hba": ["local all all password"]}, ""),
        (
            {"type": "hba", "hba": ["local all all peer map=m"]},
            "auth.hba:1: is for nobody: no line of auth.ident",
        ),
        ({"type": "hba", "hba": ["local all all peer map=m"], "ident": ["m root app"]}, ""),
        ({"type": "peer"}, "auth.type is peer, and listen.unix_socket_dir is empty"),
        ({"type": "cert"}, "nobody can log in: auth.type is cert"),
        ({"user": "asker"}, 'auth.user "asker" has no password'),
        ({"user": "bob"}, ""),
        ({"type": "hba", "hba": ["host all all all md5"]}, ""),
    ],
)
def test_what_does_not_do_what_one_may_think_is_told(auth: dict[str, object], doubt: str) -> None:
    given = settings(**auth)
    found = list_doubts(given, read_access(given))
    assert len(found) == bool(doubt)
    assert all(text.startswith(doubt) for text in found)
