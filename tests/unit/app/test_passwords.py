"""What servers are logged in to with."""

import sys
from pathlib import Path

import pytest

from dbproxy.app import passwords
from dbproxy.app.passwords import Passwords, choose, read_password, run_command
from dbproxy.auth.scram import Keys
from dbproxy.auth.users import Secret, Users
from dbproxy.config import Settings
from dbproxy.config.sections import PasswordKeys
from dbproxy.errors import ConfigurationError

SCRAM = Secret("scram-sha-256", "SCRAM-SHA-256$x")
KEYS = Keys(b"salt", 1, b"client", b"server")


def settings(**tables: object) -> Settings:
    return Settings.model_validate({"primary": {"url": "postgresql://app:theirs@db/shop"}, **tables})


def users(**known: Secret) -> Users:
    return Users(known)


async def test_the_settings_word_is_first_then_the_file_then_what_was_shown() -> None:
    kept = Passwords()
    given = settings(
        users={"bob": {"password": "his"}}, databases={"own": {"user": "app", "password": "its"}}
    )
    known = users(bob=Secret("plain", "old"), app=SCRAM, carol=Secret("plain", "hers"))
    assert await kept.find(given, known, "shop", "bob") == Secret("plain", "his")
    assert await kept.find(given, known, "own", "app") == Secret("plain", "its")
    assert await kept.find(given, known, "shop", "carol") == Secret("plain", "hers")
    assert await kept.find(given, known, "shop", "app") == SCRAM
    kept.learn(given, "shop", "app", KEYS)
    assert await kept.find(given, known, "shop", "app") == KEYS
    assert await kept.find(given, known, "shop", "nobody") is None


MD5 = Secret("md5", "md5x")
PLAIN = Secret("plain", "hers")


@pytest.mark.parametrize(
    ("listed", "shown", "chosen"),
    [
        (PLAIN, KEYS, PLAIN),
        (MD5, PLAIN, PLAIN),
        (SCRAM, PLAIN, PLAIN),
        (MD5, KEYS, MD5),
        (MD5, None, MD5),
        (SCRAM, KEYS, KEYS),
        (None, KEYS, KEYS),
        (None, MD5, MD5),
        (SCRAM, None, SCRAM),
        (None, None, None),
    ],
)
def test_what_opens_most_is_used(listed, shown, chosen) -> None:  # type: ignore[no-untyped-def]
    assert choose(listed, shown) == chosen


async def test_what_a_client_has_shown_is_good_for_who_vouched_for_it() -> None:
    kept = Passwords()
    given = settings(databases={"other": {"primary": {"url": "postgresql://elsewhere/other"}}})
    kept.learn(given, "other", "app", KEYS)
    assert await kept.find(given, users(), "shop", "app") is None
    assert await kept.find(given, users(), "other", "app") == KEYS


def test_file_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hers \r\nmore\n")
    assert read_password(file) == "hers "
    file.write_text("\n")
    with pytest.raises(ConfigurationError, match="its first line has to be"):
        read_password(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="its first line has to be"):
        read_password(file)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_password(tmp_path / "missing")


def script(text: str) -> str:
    return f"{sys.executable} -c '{text}'"


def test_command_prints_the_password() -> None:
    assert run_command(script('print("token"); print("more")')) == "token"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (script('import sys; print("token"); sys.exit("no token: password=topmost")'), r"failed \(1\)$"),
        (script("pass"), "has printed no password"),
        ("/no/such/program", "cannot be run: No such file"),
    ],
)
def test_command_that_fails_is_told_without_what_it_printed(command: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        run_command(command)
    assert "topmost" not in str(caught.value)
    assert "print" not in str(caught.value).replace("printed", "")


def test_what_a_command_complains_of_is_for_the_log_alone() -> None:
    with pytest.raises(ConfigurationError) as caught:
        run_command(script('import sys; sys.exit("no credentials: password=topmost")'))
    assert "credentials" not in str(caught.value)
    assert "no credentials" in caught.value.detail_log
    assert "topmost" not in caught.value.detail_log


def test_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "COMMAND_TIMEOUT", 0.05)
    with pytest.raises(ConfigurationError, match="took longer than"):
        run_command(script("import time; time.sleep(60)"))


async def test_command_is_run_again_when_its_word_is_old_or_was_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs: list[str] = []
    now = [100.0]
    monkeypatch.setattr(passwords, "run_command", lambda command: runs.append(command) or f"token{len(runs)}")
    monkeypatch.setattr(passwords, "monotonic", lambda: now[0])
    kept = Passwords()
    keys = PasswordKeys(password_command="token", password_lifetime="10s")  # type: ignore[arg-type]
    assert [await kept.read(keys) for _ in range(2)] == ["token1", "token1"]
    now[0] = 110.0
    assert await kept.read(keys) == "token2"
    assert await kept.renew(keys, began=105.0) == Secret("plain", "token2")  # a newer one is there already
    assert await kept.renew(keys, began=115.0) == Secret("plain", "token3")
    assert await kept.read(keys) == "token3"
    assert kept.renewal(keys) is not None
    assert kept.renewal(PasswordKeys(password="fixed")) is kept.renewal(None) is None  # type: ignore[arg-type]


def test_password_is_not_shown() -> None:
    assert "token" not in repr(passwords.Printed("token", 1.0))
