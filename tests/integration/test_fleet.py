"""Four proxies, each a process, in front of one database, with one Redis: as applications see their limits."""

import asyncio
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from tests.support.postgres import Database
from tests.support.proxy import ROOT, Proxy
from tests.support.redis import Redis
from tests.support.serving import serving
from tests.support.sharing import until

LIMITED = "53400"
FAST = 10_000 / 60  # transactions a second of the tier `enterprise`


@pytest.fixture
def redis() -> Iterator[Redis]:
    with Redis(password="hunter2") as running:
        yield running


@contextmanager
def running(
    database: Database,
    number: int,
    redis: Redis,
    tier: str = "free",
    rate: str = "",
    burst: int = 0,
    **keys: object,
) -> Iterator[list[Proxy]]:
    """`rate`: of a tier of that name that the configuration defines."""
    given = {"limits.mode": "on", "limits.tier": tier, "limits.redis_url": redis.url, "pool.size": 4}
    given |= {f"limits.{key}": str(value) for key, value in keys.items()}
    config = f'[limits.tiers.{tier}]\nrate = "{rate}"\nburst = {burst}\n' if rate else ""
    with ExitStack() as stack:
        yield [stack.enter_context(serving(database, given, config=config)) for _ in range(number)]


@asynccontextmanager
async def clients(proxies: list[Proxy], each: int = 1) -> AsyncIterator[list[asyncpg.Connection]]:
    async with AsyncExitStack() as stack:
        found = []
        for proxy in proxies:
            for _ in range(each):
                client = await asyncpg.connect(proxy.dsn(), statement_cache_size=0)
                stack.push_async_callback(client.close)
                found.append(client)
        yield found


@dataclass
class Outcome:
    let: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    lasted: float = 0.0


async def press(
    clients: list[asyncpg.Connection],
    rate: float,
    seconds: float,
    then: Callable[[], Awaitable[None]] | None = None,
) -> Outcome:
    """All together ask so often a second."""
    outcome, begun, pace = Outcome(), time.monotonic(), rate / len(clients)

    async def one(client: asyncpg.Connection, number: int) -> None:
        asked = number / len(clients)
        while time.monotonic() - begun < seconds:
            try:
                await client.execute("SELECT 1")
                outcome.let += 1
            except asyncpg.PostgresError as error:
                outcome.refused[error.sqlstate or ""] += 1
            asked += 1
            await asyncio.sleep(max(0.0, begun + asked / pace - time.monotonic()))

    work = [one(client, number) for number, client in enumerate(clients)]
    await asyncio.gather(*work, *([then()] if then is not None else []))
    outcome.lasted = time.monotonic() - begun
    return outcome


def is_event(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda line: line["event"] == name


def events(proxy: Proxy, event: str) -> list[dict[str, object]]:
    return [line for line in proxy.log_lines() if line["event"] == event]


async def test_free_is_exactly_twelve_over_four_proxies(database: Database, redis: Redis):
    with running(database, 4, redis, redis_timeout="2s") as proxies:  # however busy the machine is
        async with clients(proxies, each=3) as them:
            outcome = await press(them, rate=200, seconds=1)
            assert outcome.let == 12
            assert set(outcome.refused) == {LIMITED}
            with pytest.raises(asyncpg.PostgresError) as caught:
                await them[0].execute("SELECT 1")
            assert "Used: 12; limit: 10/min and a burst of 2." in (caught.value.detail or "")
        assert all(events(proxy, "limits are shared by Redis") for proxy in proxies)


@pytest.mark.soak  # it goes by time, and wants a machine of its own
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seconds", [6, 60])
async def test_enterprise_at_three_times_its_limit_is_let_through_what_it_may(
    database: Database, redis: Redis, seconds: int
):
    """The burst is scaled down with the time; the pace is the tier's."""
    whole = seconds >= 60
    rate, burst = ("10000/min", 1000) if whole else ("1000/6s", 100)
    with running(database, 4, redis, "enterprise", rate, burst, redis_timeout="200ms") as proxies:
        async with clients(proxies, each=4) as them:
            outcome = await press(them, rate=3 * FAST, seconds=seconds)
    due = (11_000 if whole else 1_100) + outcome.lasted * FAST
    assert set(outcome.refused) <= {LIMITED}
    assert 0.98 * due <= outcome.let <= 1.05 * due


@pytest.mark.parametrize("fault", ["killed", "frozen"])
async def test_redis_that_fails_under_load_shows_in_no_client(database: Database, redis: Redis, fault: str):
    with running(database, 4, redis, "big", "100/s", 50) as proxies:
        async with clients(proxies, each=2) as them:
            quiet = await press(them, rate=150, seconds=2)

            async def fail() -> None:
                begin, end = (redis.kill, redis.start) if fault == "killed" else (redis.freeze, redis.thaw)
                await asyncio.sleep(0.5)
                begin()
                await asyncio.sleep(2)
                await asyncio.to_thread(end)

            outcome = await press(them, rate=150, seconds=6, then=fail)
            assert set(outcome.refused) | set(quiet.refused) == {LIMITED}
            assert 0.75 * 100 <= outcome.let / outcome.lasted <= 1.25 * 100
        for proxy in proxies:
            assert len(events(proxy, "limits are decided without Redis")) == 1
            assert "hunter2" not in proxy.log()


async def test_proxy_without_redis_starts_and_has_limits_of_its_own(database: Database, redis: Redis):
    redis.kill()
    with running(database, 1, redis) as (proxy,):
        async with clients([proxy]) as (client,):
            outcome = await press([client], rate=100, seconds=0.5)
            assert (outcome.let, set(outcome.refused)) == (12, {LIMITED})
        redis.start()
        await proxy.logged(is_event("limits are shared by Redis"))
        async with clients([proxy]) as (client,):
            assert (await press([client], rate=50, seconds=0.3)).let == 0  # what was used is


async def test_limits_that_cannot_be_checked_are_told_as_such(database: Database, redis: Redis):
    redis.kill()
    with running(database, 1, redis, graceful_degradation="false") as (proxy,):
        async with clients([proxy]) as (client,):
            with pytest.raises(asyncpg.PostgresError, match="rate limits cannot be checked") as caught:
                await client.execute("SELECT 1")
            assert caught.value.sqlstate == LIMITED
            assert "limits.redis_url" in (caught.value.detail or "")


async def test_redis_may_come_and_go_by_a_reload(database: Database, redis: Redis):
    toml = '[limits]\nmode = "on"\ntier = "free"\n'
    shared = toml + f'redis_url = "{redis.url}"\n'
    with ExitStack() as stack:
        one, two = (stack.enter_context(serving(database, config=toml)) for _ in range(2))
        async with clients([one, two]) as (first, second):
            assert (await press([first], rate=20, seconds=0.3)).let > 3
            used = 0
            for proxy in (one, two):
                proxy.config_path.write_text(shared)
                proxy.send(signal.SIGHUP)
                await proxy.logged(is_event("limits are shared by Redis"))
            used = (await press([first, second], rate=200, seconds=0.5)).let
            assert 0 < used <= 12
            assert (await press([first, second], rate=50, seconds=0.3)).let == 0
            one.config_path.write_text(toml)
            one.send(signal.SIGHUP)
            await until(lambda: len(events(one, "reloaded")) == 2)
            assert (await press([first], rate=50, seconds=0.3)).let == 0  # what is used stays used
        assert one.stop() == 0


async def test_proxy_that_stops_leaves_nothing_in_redis_that_it_did_not_use(database: Database, redis: Redis):
    with running(database, 1, redis, "enterprise") as (proxy,):
        async with clients([proxy]) as (client,):
            assert (await press([client], rate=100, seconds=0.5)).let > 20
        assert proxy.stop() == 0
    assert redis.ask("EXISTS", "rl:{limits}").endswith(b":0\r\n")


def test_start_without_the_package_says_what_to_install(database: Database):
    hide = "import sys; sys.modules['redis'] = None; sys.argv = ['dbproxy', 'serve']; import dbproxy.cli as c; c.main()"
    environment = {"DATABASE_URL": database.dsn, "DBPROXY_LIMITS__REDIS_URL": "redis://:hunter2@127.0.0.1/0"}
    run = subprocess.run(
        [sys.executable, "-c", hide],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert run.returncode == 2
    assert "dbproxy[redis]" in run.stdout + run.stderr
    assert "hunter2" not in run.stdout + run.stderr
