"""Limits that several proxies share by a real Redis. The proxies are gates without clients (tests.support.sharing)."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from dbproxy.limits.bucket import NEVER
from dbproxy.limits.script import DIGEST, HELLO, SCRIPT, Item, Order, Result, Sender, read, spell
from dbproxy.net.caller import Mismatch
from dbproxy.net.redis import Redis as Connection
from tests.support.certificates import Authority
from tests.support.faults import Line
from tests.support.redis import Redis
from tests.support.sharing import Peer, exhaust, press, sharing, until

KEY = "rl:{limits}:user:app"
SECOND = 1_000_000
TWO = {"rules": [{"key": "{user}", "tier": "enterprise"}, {"key": "{database}", "tier": "free"}]}
LIMITED = {"53400"}


@pytest.fixture
def redis() -> Iterator[Redis]:
    with Redis() as running:
        yield running


def used(redis: Redis, key: str = KEY) -> float:
    """Tokens, as Redis has it."""
    answer = redis.ask("GET", key).split(b"\r\n")
    if len(answer) < 2 or answer[0] == b"$-1":
        return 0.0
    tat, interval = (int(word) for word in answer[1].split())
    time = redis.ask("TIME").split(b"\r\n")
    return (tat - int(time[2]) * SECOND - int(time[4])) / interval


async def ask_script(redis: Redis, *orders: Order, deadline: int = 0) -> tuple[Result, ...]:
    connection = Connection(redis.url)
    words = spell(Sender(b"rl:{limits}", "me"), "me:1", orders, HELLO, deadline)
    try:
        return read(await connection.run(DIGEST, SCRIPT, words, 5.0), "me:1", orders).results
    finally:
        await connection.close()


def order(need: int, capacity: int = 12, interval: int = SECOND, **more: int) -> Order:
    """Tokens."""
    return Order((Item(KEY.encode(), interval, capacity * interval, need * interval, **more),))


# --- exactly so many ---


async def test_small_limit_lets_through_exactly_as_much_over_all_proxies(redis: Redis):
    async with sharing(4, redis.url, tier="free") as peers:
        sessions = [peer.join() for peer in peers]
        answers = await asyncio.gather(*(session.ask() for session in sessions * 5))
        assert answers.count(None) == 12
        error = await sessions[0].ask()
        assert error is not None
        assert (error.sqlstate, error.detail) == ("53400", "Used: 12; limit: 10/min and a burst of 2.")
        assert sum(session.subject.used for session in sessions) == 12


async def test_big_limit_is_used_up_by_all_proxies_together_and_kept(redis: Redis):
    """Three times its pace, after its burst; leases are taken into account."""
    async with sharing(4, redis.url, tiers={"big": {"rate": "6000/min", "burst": 600}}, tier="big") as peers:
        sessions = [peer.join() for peer in peers]
        begun = monotonic()
        let = await exhaust(sessions)
        assert 6600 <= let <= 6600 + (monotonic() - begun) * 100 + 1  # all at once
        load = await press(sessions, rate=75, seconds=3)
        due = load.lasted * 100
        assert 0.95 * due - 5 <= load.let <= 1.05 * due + 5
        assert set(load.refused) == LIMITED


async def test_leases_are_fetched_ahead_and_nobody_waits_for_them(redis: Redis):
    async with sharing(1, redis.url, tier="enterprise") as (peer,):
        session = peer.join()
        await session.ask()
        await until(lambda: session.subject.lease.hand > 0)
        waited = 0
        for _ in range(5000):
            waited += not session.allowance.let_go(SETTINGS, monotonic())
            session.end()
            await until(lambda: not session.subject.lease.fetching)
        assert waited == 0
        assert peer.store.outcomes["granted"] >= 10


async def test_client_that_hammers_costs_no_call_for_each_refusal(redis: Redis):
    async with sharing(1, redis.url, tier="free") as (peer,):
        session = peer.join()
        assert await session.let(12) == 12
        before = peer.calls
        assert await session.let(1000) == 0
        assert peer.calls <= before + 3


async def test_requests_that_wait_at_the_same_moment_share_a_call(redis: Redis):
    async with sharing(1, redis.url, tier="standard") as (peer,):
        sessions = [peer.join() for _ in range(50)]
        before = peer.calls
        assert (await asyncio.gather(*(session.ask() for session in sessions))).count(None) == 50
        assert peer.calls <= before + 5


async def test_request_over_the_limit_is_held_back_where_all_proxies_share_its_turn(redis: Redis):
    tiers = {"slow": {"rate": "120/min", "burst": 0}}
    async with sharing(
        2, redis.url, tier="slow", tiers=tiers, action="delay", max_delay="5s", pace="even"
    ) as peers:
        one, two = (peer.join() for peer in peers)
        begun = monotonic()
        assert (await asyncio.gather(one.ask(), two.ask(), one.ask())).count(None) == 3
        assert 0.99 <= monotonic() - begun < 2.5


async def test_limit_that_is_raised_keeps_what_is_used(redis: Redis):
    """envoyproxy/ratelimit#185: fifty tries of which forty are refused cost ten."""
    async with sharing(1, redis.url, tiers={"own": {"rate": "10/min"}}, tier="own") as (peer,):
        assert await peer.join().let(50) == 10
    async with sharing(1, redis.url, tiers={"own": {"rate": "20/min"}}, tier="own") as (peer,):
        assert await peer.join().let(50) == 10


# --- all or nothing ---


async def test_nobody_pays_for_what_one_limit_refuses(redis: Redis):
    """envoyproxy/ratelimit#443, #808; one of the limits is leased, the other asked about."""
    async with sharing(2, redis.url, **TWO) as peers:
        one, two = (peer.join() for peer in peers)
        assert await one.let(6) + await two.let(20) == 12
        user = one.subject
        hands = sum(session.subject.lease.hand for session in (one, two)) // user.rate.interval
        assert await one.let(100) + await two.let(100) == 0
        for peer in peers:
            peer.sweep(later=2)  # what is in hand goes back
        await asyncio.gather(*(peer.settle() for peer in peers))
        assert hands >= 0
        assert sum(session.subject.lease.hand for session in (one, two)) == 0
        assert used(redis) <= 12
        assert (one.subject.used + two.subject.used, used(redis, "rl:{limits}:database:shop") > 11) == (
            12,
            True,
        )


async def test_cost_of_more_than_is_left_consumes_nothing(redis: Redis):
    """animir/node-rate-limiter-flexible#286."""
    first, second, third = await ask_script(redis, order(9), order(5), order(3))
    assert (first.allowed, second.allowed, third.allowed) == (True, False, True)
    assert second.found[0].used == 9 * SECOND


async def test_all_there_is_can_be_had_after_a_finite_wait(redis: Redis):
    """redis/redis#14826."""
    _, refused = await ask_script(redis, order(3), order(12))
    assert not refused.allowed
    assert refused.found[0].wait == 3 * SECOND


async def test_more_than_there_ever_is_never_comes_and_takes_nothing(redis: Redis):
    """redis/redis#15113."""
    refused, after = await ask_script(redis, order(13), order(12))
    assert (refused.allowed, refused.found[0].wait, refused.found[0].used) == (False, NEVER, 0)
    assert after.allowed


async def test_what_redis_comes_to_too_late_is_not_done(redis: Redis):
    with pytest.raises(Mismatch):
        await ask_script(redis, order(12), deadline=1)
    (result,) = await ask_script(redis, order(12), deadline=(1 << 53) - 1)
    assert result.allowed


# --- keys ---


async def test_no_key_is_without_a_ttl(redis: Redis):
    """alisaifee/limits#15: such a key blocks for ever."""
    async with sharing(2, redis.url, **TWO) as peers:
        for peer in peers:
            await peer.join().let(20)
        keys = [line for line in redis.ask("KEYS", "*").split(b"\r\n") if line.startswith(b"rl:")]
        assert len(keys) == 3
        for key in keys:
            assert int(redis.ask("PTTL", key.decode()).strip()[1:]) > 0


async def test_limit_of_a_million_a_second_keeps_its_key(redis: Redis):
    """redis/redis#15093: what comes back in less than a millisecond is not forgotten at once."""
    one, two = await ask_script(redis, order(1, 1000, 1), order(1, 1000, 1))
    assert (one.found[0].used, two.found[0].used) == (1, 2)
    await ask_script(redis, order(1000, 1_000_000, 1), order(0, more=60 * SECOND))
    assert int(redis.ask("PTTL", KEY).strip()[1:]) > 0


async def test_keys_that_expire_while_many_ask_lose_nothing(redis: Redis):
    """alisaifee/limits#277."""
    tiers = {"quick": {"rate": "3/s"}}
    async with sharing(4, redis.url, tier="quick", tiers=tiers) as peers:
        load = await press([peer.join() for peer in peers for _ in range(3)], rate=40, seconds=2.5)
        assert 3 + int(2.4 * 3) - 1 <= load.let <= 3 + load.lasted * 3 + 1


async def test_what_somebody_else_has_put_there_is_no_obstacle(redis: Redis):
    redis.ask("RPUSH", KEY, "theirs")
    async with sharing(1, redis.url, tier="free") as (peer,):
        assert await peer.join().let(20) == 12


# --- what is in hand ---


async def test_what_is_in_hand_is_given_back_when_idle(redis: Redis):
    async with sharing(1, redis.url, tier="enterprise") as (peer,):
        session = peer.join()
        await session.let(40)
        await peer.settle()
        assert session.subject.lease.hand > 0
        peer.sweep(later=1.5)
        await peer.settle()
        assert session.subject.lease.hand == 0
        assert used(redis) <= 40


async def test_proxy_that_stops_gives_back_what_it_has_and_is_not_counted(redis: Redis):
    async with sharing(2, redis.url, tier="enterprise") as peers:
        sessions = [peer.join() for peer in peers]
        for session in sessions:
            await session.let(20)
        await peers[0].store.stop()
        await peers[1].greet()
        assert peers[1].store.fleet.proxies == 1
        await peers[1].store.stop()
        assert used(redis) <= 40
        assert redis.ask("EXISTS", "rl:{limits}") == b":0\r\n"
        assert await sessions[0].ask() is None  # by its own limit


async def test_client_that_leaves_while_it_is_asked_about_has_used_nothing(redis: Redis):
    async with sharing(1, redis.url, tier="free") as (peer,):
        session = peer.join()
        tasks = [asyncio.create_task(session.ask()) for _ in range(5)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await peer.settle()
        peer.sweep(later=2)
        await peer.settle()
        assert used(redis) <= 0
        assert await session.let(20) == 12


# --- observed ---


async def test_observed_request_never_waits_and_what_on_would_refuse_is_counted(redis: Redis):
    async with sharing(2, redis.url, tier="free", mode="observe") as peers:
        sessions = [peer.join() for peer in peers]
        for _ in range(20):
            for session in sessions:
                assert session.observe()
            await asyncio.gather(*(peer.settle() for peer in peers))
        tallies = [session.subject.tally for session in sessions]
        assert sum(tally.allowed + tally.burst for tally in tallies) == 12
        assert sum(tally.observed for tally in tallies) == 28
        assert all(tally.rejected == 0 for tally in tallies)


# --- how it is reached ---


async def test_redis_may_be_reached_by_tls_and_who_nobody_vouches_for_is_not(tmp_path: Path):
    authority, other = Authority(tmp_path), Authority(make_folder(tmp_path / "other"))
    with Redis(password="hunter2", tls=authority.issue_server(), authority=str(authority.path)) as redis:
        async with sharing(1, redis.url, tier="free") as (peer,):
            assert await peer.join().let(20) == 12
            assert not peer.store.fleet.degraded
        redis.authority = str(other.path)
        async with sharing(1, redis.url, tier="free") as (peer,):
            assert peer.store.fleet.degraded


async def test_redis_may_be_reached_by_a_unix_socket(redis: Redis):
    async with sharing(1, redis.socket_url, tier="free") as (peer,):
        assert await peer.join().let(20) == 12
        assert used(redis) > 11


async def test_script_that_redis_has_forgotten_is_sent_again(redis: Redis):
    async with sharing(1, redis.url, tier="free") as (peer,):
        assert await peer.join().let(5) == 5
        redis.ask("SCRIPT", "FLUSH")
        assert await peer.join().let(20) == 7
        assert peer.store.courier.caller.calls.errors == 0


# --- Redis is not there ---


async def test_redis_that_is_away_at_the_start_is_found_later(redis: Redis):
    """alisaifee/flask-limiter#16."""
    redis.kill()
    peer = Peer(redis.url, tier="free")
    await peer.store.start()
    try:
        session = peer.join()
        assert peer.store.courier.contact.since is not None
        assert peer.store.courier.contact.error.startswith("ConnectionError")
        assert await session.let(20) == 12
        redis.start()
        await until(lambda: not peer.store.fleet.degraded)
        assert (peer.store.courier.contact.since, peer.store.courier.contact.error) == (None, "")
        assert await session.let(20) == 0  # it was told
        assert used(redis) > 11
    finally:
        await peer.store.stop()


async def test_outage_is_not_told_as_the_clients_fault(redis: Redis):
    """mendableai/firecrawl#3728."""
    async with sharing(1, redis.url, tier="free", graceful=False, timeout=0.05) as (peer,):
        session = peer.join()
        assert await session.ask() is None
        redis.freeze()
        errors = [await session.ask() for _ in range(3)]
        redis.thaw()
        assert {str(error) for error in errors} == {"rate limits cannot be checked"}
        assert {error.sqlstate for error in errors if error is not None} == LIMITED
        assert "graceful_degradation" in (errors[0].hint or "")  # type: ignore[union-attr]
        assert (session.subject.refused, session.subject.tally.rejected) == (0, 0)
        await until(lambda: not peer.store.fleet.degraded)
        assert await session.ask() is None


async def test_exhaustion_is_no_outage(redis: Redis):
    """animir/node-rate-limiter-flexible#337: no fallback is asked for more."""
    async with sharing(2, redis.url, tier="free") as peers:
        sessions = [peer.join() for peer in peers]
        assert sum([await session.let(50) for session in sessions]) == 12
        assert not any(peer.store.fleet.degraded or peer.store.courier.caller.calls.errors for peer in peers)


async def test_each_proxy_has_its_share_while_redis_is_gone_and_pays_for_it_later(redis: Redis):
    async with sharing(4, redis.url, timeout=0.1, tiers={"own": {"rate": "40/h"}}, tier="own") as peers:
        sessions = [peer.join() for peer in peers]
        for session in sessions:
            assert await session.let(2) == 2
        assert await sessions[0].let(1) + await sessions[1].let(1) == 2
        redis.freeze()
        shares = [await session.let(40) for session in sessions]
        assert all(peer.store.fleet.degraded for peer in peers)
        assert sum(shares) <= 40 - 10 + 4
        assert min(shares) >= 7
        redis.thaw()
        for peer in peers:
            await until(lambda peer=peer: not peer.store.fleet.degraded)
        assert (
            10 + sum(shares) - 0.5 <= used(redis) <= 10 + sum(shares) + 4.5
        )  # and at most what was under way
        assert sum([await session.let(10) for session in sessions]) <= max(0, 40 - 10 - sum(shares))


async def test_redis_that_has_forgotten_all_is_no_new_quota(redis: Redis):
    """animir/node-rate-limiter-flexible#49: it is asked again by itself."""
    async with sharing(4, redis.url, timeout=0.1, tiers={"own": {"rate": "40/h"}}, tier="own") as peers:
        sessions = [peer.join() for peer in peers]
        assert sum([await session.let(50) for session in sessions]) == 40
        redis.kill()
        await until(lambda: all(peer.store.fleet.degraded for peer in peers))
        assert sum([await session.let(50) for session in sessions]) <= 1
        redis.start()
        begun = monotonic()
        for peer in peers:
            await until(lambda peer=peer: not peer.store.fleet.degraded)
        assert monotonic() - begun < 2.5
        assert sum([await session.let(50) for session in sessions]) <= 1
        assert used(redis) > 38


async def test_late_answer_is_never_taken_for_another(redis: Redis):
    """CVE-2023-28858: the connection is given up with what is still to come on it."""
    async with Line(redis.port) as line:
        peer = Peer(redis.url_at(line.port), timeout=0.05, tiers={"own": {"rate": "100/h"}}, tier="own")
        await peer.store.start()
        try:
            one, two = peer.join("one"), peer.join("two")
            assert await one.let(3) == 3
            line.down.delay = 0.2
            assert await two.ask() is None  # by its own bucket
            assert peer.store.fleet.degraded
            line.down.delay = 0
            await until(lambda: not peer.store.fleet.degraded)
            assert await one.let(10) + await two.let(10) == 20
            await peer.settle()
            assert 12.5 < used(redis, "rl:{limits}:user:one") <= 13
            assert 10.5 < used(redis, "rl:{limits}:user:two") <= 12  # the answer that was lost was a yes
        finally:
            await peer.store.stop()


@pytest.mark.soak  # it goes by time, and wants a machine of its own
@pytest.mark.parametrize("fault", ["killed", "frozen", "slow"])
async def test_fault_of_redis_under_load_costs_no_client_more_than_a_moment(redis: Redis, fault: str):
    """Nothing but 53400, no long wait, no second burst, and Redis decides again soon after."""
    tiers = {"big": {"rate": "6000/min", "burst": 600}}
    async with (
        Line(redis.port) as line,
        sharing(4, redis.url_at(line.port), timeout=0.02, tier="big", tiers=tiers) as peers,
    ):
        sessions = [peer.join() for peer in peers for _ in range(5)]
        begun = monotonic()
        at_once = await exhaust(sessions[::5])
        quiet = await press(sessions, rate=15, seconds=1)
        begin, end = {
            "killed": (redis.kill, redis.start),
            "frozen": (redis.freeze, redis.thaw),
            "slow": (lambda: setattr(line.down, "delay", 0.5), lambda: setattr(line.down, "delay", 0)),
        }[fault]
        back: list[float] = []

        async def fail() -> None:
            begin()
            await until(lambda: all(peer.store.fleet.degraded for peer in peers))
            await asyncio.sleep(1.0)
            end()
            back.append(monotonic())
            await until(lambda: not any(peer.store.fleet.degraded for peer in peers))
            back.append(monotonic())

        load = await press(sessions, rate=15, seconds=4.5, then=fail)
        assert set(load.refused) | set(quiet.refused) <= LIMITED
        assert load.percentile(0.99) <= quiet.percentile(0.99) + 0.1  # 0.025 on a machine of one's own
        assert at_once + quiet.let + load.let <= 1.25 * (6600 + (monotonic() - begun) * 100)
        assert load.let <= 1.25 * load.lasted * 100  # no second burst
        assert back[1] - back[0] < 3


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path


class _Settings:
    values: dict[str, str] = {}  # noqa: RUF012


SETTINGS: Any = _Settings()


async def test_who_is_called_keeps_its_place_while_redis_is_asked(redis: Redis):
    tiers = {"few": {"rate": "100/min", "max_concurrent": 1, "max_wait": "10s"}}
    async with sharing(1, redis.url, tier="few", tiers=tiers) as (peer,):
        first, second = peer.join(), peer.join()
        assert await first.ask() is None
        subject = first.subject
        subject.open()
        waiting = asyncio.create_task(second.ask())
        await until(lambda: bool(subject.queue))
        subject.end()
        promised = set()
        while not waiting.done():
            promised.add(subject.promised)
            await asyncio.sleep(0)
        assert (await waiting, promised) == (None, {1})
        assert (subject.running, subject.promised, len(subject.queue)) == (0, 0, 0)
