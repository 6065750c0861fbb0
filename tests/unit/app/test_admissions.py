import asyncio
from pathlib import Path

from dbproxy.app.access import read_access
from dbproxy.app.admissions import Admissions
from dbproxy.auth.exchange import KeyCache
from dbproxy.auth.users import Secret
from dbproxy.config import Host, Settings


def settings(**auth: object) -> Settings:
    return Settings.model_validate(
        {"primary": {"url": "postgresql://db/shop"}, "users": {"app": {"password": "hers"}}, "auth": auth}
    )


def make(given: Settings) -> Admissions:
    return Admissions(given, KeyCache(), None, asyncio.ensure_future)  # type: ignore[arg-type]


async def test_keys_are_there_before_the_first_login() -> None:
    desk = make(settings())
    await desk.prepare()
    step = desk.authenticator.begin("scram-sha-256", "app", Secret("plain", "hers"))
    assert type(step.receive(b"SCRAM-SHA-256\0\0\0\0\x09n,,n=,r=x")).__name__ == "Challenge"  # and no Work


async def test_unknown_users_are_asked_under_md5_as_known_ones_are(tmp_path: Path) -> None:
    plain, asking = make(settings(type="md5")), make(settings(type="md5", user="asker"))
    tables = {"auth": {"type": "md5"}, "databases": {"own": {"auth_user": "asker"}}}
    apart = make(Settings.model_validate({**settings().model_dump(exclude_unset=True), **tables}))
    for desk in (plain, asking, apart):
        await desk.prepare()
    assert (plain.find_usual("shop"), asking.find_usual("shop")) == ("md5", "scram-sha-256")
    assert (apart.find_usual("shop"), apart.find_usual("own")) == ("md5", "scram-sha-256")


async def test_other_settings_and_what_was_read_by_them() -> None:
    desk = make(settings())
    given = settings(type="md5")
    desk.apply(given, read_access(given))
    assert desk.access.method == "md5"
    assert desk.lookups.settings is given


async def test_probe_has_the_password_of_its_users_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("fresh\n")
    tables = {"primary": {"url": "postgresql://app:old@db/shop"}, "users": {"app": {"password_file": file}}}
    desk = make(Settings.model_validate(tables))
    host = desk.settings.primary.url
    assert host is not None
    assert (await desk.complete(host)).password.get_secret_value() == "fresh"
    file.write_text("")
    assert await desk.complete(host) == host
    assert await make(settings()).complete(Host()) == Host()
