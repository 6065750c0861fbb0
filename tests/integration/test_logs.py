"""The log of a real proxy: levels by area at run time, floods that are summed, and by reload."""

import signal
from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving


@pytest.fixture
def proxy(module_database: Database) -> Iterator[Proxy]:
    with serving(module_database, {"log.flood_limit": 5, "log.connections": False}) as running:
        yield running


def console(proxy: Proxy) -> psycopg.Connection:
    return psycopg.connect(proxy.dsn("dbproxy", "app"), autocommit=True)


@pytest.fixture
def quiet(module_database: Database) -> Iterator[Proxy]:
    settings = {"auth.type": "trust", "log.level": "warning"}
    with serving(module_database, settings, config='[log]\npool = "error"\n') as running:
        yield running


def areas(proxy: Proxy) -> set[tuple[str, str]]:
    return {(line.get("area", ""), line["level"]) for line in proxy.log_lines()}


async def test_level_of_an_area_is_set_at_run_time_and_taken_back_by_a_reload(quiet: Proxy):
    def work() -> None:
        with psycopg.connect(quiet.dsn(), autocommit=True) as client:
            client.execute("SELECT 1")
        with psycopg.connect(quiet.dsn("dbproxy", "dbproxy"), autocommit=True) as admin:
            admin.execute(b"RECONNECT")

    work()
    assert not areas(quiet) & {("pool", "info"), ("pool", "debug"), ("session", "info")}
    with psycopg.connect(quiet.dsn("dbproxy", "dbproxy"), autocommit=True) as admin:
        admin.execute("SET log.pool = 'debug'")
        work()
        await quiet.logged(lambda line: line["event"] == "server connected" and line["area"] == "pool")
        await quiet.logged(lambda line: (line.get("area"), line["level"]) == ("pool", "debug"))
        assert ("session", "info") not in areas(quiet)
        admin.execute("RELOAD")
        before = len(quiet.log_lines())
        work()
        assert not [line for line in quiet.log_lines()[before:] if line.get("area") == "pool"]


async def test_reload_changes_the_level(quiet: Proxy):
    quiet.config_path.write_text('[log]\nsession = "info"\n')
    quiet.send(signal.SIGHUP)
    with psycopg.connect(quiet.dsn("dbproxy", "dbproxy"), autocommit=True) as admin:
        while admin.execute("SHOW CONFIG").fetchall() and "info" not in levels(admin):
            continue
    with psycopg.connect(quiet.dsn()) as client:
        client.execute("SELECT 1")
    await quiet.logged(lambda line: line["event"] == "client login")


def levels(admin: psycopg.Connection) -> list[str]:
    return [value for key, value, *_ in admin.execute("SHOW CONFIG") if key == "log.session"]


async def test_flood_of_refused_logins_is_summed(proxy: Proxy):
    for number in range(40):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(proxy.dsn(user=f"nobody{number}", password="wrong"))
    while (told := count(proxy))["lines"] + told["more"] < 40:
        await proxy.logged(lambda line: "more" in line)
    assert told["lines"] + told["more"] == 40
    assert told["more"] > 0
    sums = [line for line in proxy.log_lines() if "more" in line]
    assert {(line["event"], line["sqlstate"], line["level"]) for line in sums} == {
        ("client refused", "28P01", "warning")
    }


def count(proxy: Proxy) -> Counter[str]:
    found: Counter[str] = Counter()
    for line in proxy.log_lines():
        if line["event"] == "client refused":
            found["more" if "more" in line else "lines"] += line.get("more", 1)
    return found


async def test_end_of_a_run_tells_of_a_flood_that_has_not_been_told(proxy: Proxy):
    for _ in range(10):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(proxy.dsn(password="wrong"))
    proxy.stop()
    told = count(proxy)
    assert told["lines"] + told["more"] == 10
