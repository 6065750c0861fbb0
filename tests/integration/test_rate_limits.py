"""Rate limits before real PostgreSQL: how much each tier lets through, what is never refused, who waits for whom."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from dbproxy.config.limits import TIERS, parse_rate
from tests.support.postgres import PASSWORD, Database
from tests.support.proxy import Proxy
from tests.support.serving import serving

Connection = psycopg.Connection[tuple[object, ...]]


@contextmanager
def limited(database: Database, **settings: object) -> Iterator[Proxy]:
    given = {"limits.mode": "on", "auth.type": "trust"} | {
        key.replace("__", "."): value for key, value in settings.items()
    }
    with serving(database, given) as proxy:
        yield proxy


def enter(proxy: Proxy, name: str = "") -> Connection:
    return psycopg.connect(proxy.dsn("", "app", PASSWORD), autocommit=True, application_name=name)


def ask_until_refused(client: Connection) -> tuple[int, psycopg.Error]:
    """How many have gone through, and the refusal."""
    number = 0
    while True:
        try:
            client.execute("SELECT 1", prepare=False)
        except psycopg.errors.ConfigurationLimitExceeded as refusal:
            return number, refusal
        number += 1


@pytest.mark.parametrize("tier", ["free", "standard", "pro"])
def test_tier_lets_exactly_its_capacity_through_at_once_and_then_keeps_its_pace(
    database: Database, tier: str
):
    """What has come back meanwhile goes through, too."""
    rate = parse_rate(TIERS[tier]["rate"])
    assert rate is not None
    capacity, interval = rate.number + TIERS[tier]["burst"], rate.period / rate.number
    with limited(database, limits__tier=tier) as proxy, enter(proxy) as client:
        began = time.monotonic()
        number = ask_until_refused(client)[0]
        assert capacity <= number <= capacity + (time.monotonic() - began) / interval + 1
        while number < capacity + 5 and interval < 1:  # that it goes on
            number += ask_until_refused(client)[0]
            assert number <= capacity + (time.monotonic() - began) / interval + 1


def test_transactions_that_are_open_at_the_limit_go_on_to_their_end(database: Database):
    with limited(database, limits__tier="standard", pool__size=40) as proxy, ExitStack() as stack:
        clients = [stack.enter_context(enter(proxy)) for _ in range(40)]
        for client in clients:
            client.execute("BEGIN")
        last = stack.enter_context(enter(proxy))
        ask_until_refused(last)
        for round_ in range(3):
            for client in clients:
                assert client.execute(f"SELECT {round_}").fetchone() == (round_,)
        for client in clients[:20]:
            client.execute("SAVEPOINT a")
            client.execute("ROLLBACK TO a")
            client.execute("COMMIT")
        for client in clients[20:]:
            with pytest.raises(psycopg.errors.DivisionByZero):
                client.execute("SELECT 1/0")
            client.execute("ROLLBACK")
        refused = ask_until_refused(clients[0])[1]
        assert refused.diag.message_primary == 'rate limit exceeded for user "app" (tier standard)'
        assert str(refused.diag.message_hint).startswith("retry after ")
        assert clients[0].execute("ROLLBACK").statusmessage == "ROLLBACK", "which is free"


def test_crowd_of_one_name_leaves_another_its_turns(database: Database):
    """As many are served of the crowd as of the one beside it, but for those who have a server already."""
    served: Counter[str] = Counter()
    over = threading.Event()

    def crowd(proxy: Proxy) -> None:
        with enter(proxy, "noisy") as client:
            while not over.is_set():
                client.execute("SELECT pg_sleep(0.002)", prepare=False)
                served["noisy"] += 1

    settings = {"limits.mode": "off", "pool.size": 1, "pool.reserve_timeout": "0s"}
    with (
        limited(database, **settings, pool__fair_by="application_name") as proxy,
        enter(proxy, "quiet") as quiet,
    ):
        threads = [threading.Thread(target=crowd, args=[proxy]) for _ in range(30)]
        for thread in threads:
            thread.start()
        try:
            while served["noisy"] < 100:
                quiet.execute("SELECT 1", prepare=False)
            before = served["noisy"]
            for _ in range(50):
                quiet.execute("SELECT 1", prepare=False)
            beside = served["noisy"] - before
        finally:
            over.set()
            for thread in threads:
                thread.join()
    assert beside < 300, "first come, first served, it would be 30 for each of 50"
