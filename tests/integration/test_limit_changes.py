"""Limits that are changed and switched under clients who ask all the time: each answer comes, or is a refusal.

A new limit holds from the moment on at which it was said: none but what was under way then is judged by the old one.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from dbproxy.wire import build
from dbproxy.wire.startup import parse_error_response
from tests.integration.test_console import connect as console
from tests.integration.test_console import show, until
from tests.support.blocking_client import BlockingClient, first_value
from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving

CONFIG = """
[auth]
type = "trust"
admin_users = ["app"]

[limits]
mode = "{mode}"
percent = {percent}
tier = "{tier}"

[limits.tiers.wide]
rate = "100000000/d"

[limits.tiers.narrow]
rate = "10/d"
"""
REFUSED = "53400"
CLIENTS = 6
BURST = 10  # queries that each sends at once
UNDER_WAY = CLIENTS * BURST
MANY = 10 * UNDER_WAY
PATIENCE = 30.0


class Reader(threading.Thread):
    """One client: bursts of queries, each of which has an answer of its own."""

    def __init__(self, proxy: Proxy, database: Database) -> None:
        super().__init__()
        self.client = BlockingClient(proxy.host, proxy.port, user="app", database=database.name)
        self.number = 0
        self.counts = {"let": 0, REFUSED: 0}
        self.last: set[str] = set()  # what the answers to the last burst were
        self.fault: Any = None
        self.over = threading.Event()

    def run(self) -> None:
        try:
            while not self.over.is_set():
                self.ask()
        except Exception as error:
            self.fault = error
        finally:
            self.client.close()

    def ask(self) -> None:
        numbers = range(self.number, self.number + BURST)
        self.number += BURST
        self.client.send(*(build.query(f"SELECT {number}") for number in numbers))
        found = set()
        for number in numbers:
            outcome = "let"
            for kind, payload in self.client.read_until_ready():
                if kind == "E":
                    outcome = parse_error_response(payload)["C"]
                elif kind == "D":
                    assert first_value(payload) == str(number), "an answer of another query"
            self.counts[outcome] += 1  # KeyError: another error than a refusal
            found.add(outcome)
        self.last = found


class Crowd:
    """All clients together."""

    def __init__(self, proxy: Proxy, database: Database) -> None:
        self.readers = [Reader(proxy, database) for _ in range(CLIENTS)]

    def __enter__(self) -> Self:
        for reader in self.readers:
            reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        for reader in self.readers:
            reader.over.set()
        for reader in self.readers:
            reader.join()
        assert [reader.fault for reader in self.readers] == [None] * CLIENTS

    def count(self, outcome: str) -> int:
        return sum(reader.counts[outcome] for reader in self.readers)

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, [(reader.counts, reader.fault) for reader in self.readers]
            time.sleep(0.005)

    def see_only(self, outcome: str, but: int = UNDER_WAY) -> None:
        """From here on there is nothing else; `but` for so many."""
        (other,) = {"let", REFUSED} - {outcome}
        before, seen = self.count(other), self.count(outcome)
        self.until(lambda: self.count(outcome) >= seen + MANY)
        assert self.count(other) - before <= but


@contextmanager
def live(database: Database, **keys: object) -> Iterator[tuple[Proxy, Crowd, psycopg.Connection[Any]]]:
    with (
        serving(database, {"pool.size": 3}, config=write(**keys)) as proxy,
        console(proxy) as admin,
    ):
        with Crowd(proxy, database) as crowd:
            yield proxy, crowd, admin
        until(lambda: [(row["running"], row["sessions"]) for row in show(admin, "LIMITS")] in ([], [(0, 0)]))


def write(mode: str = "on", percent: int = 100, tier: str = "wide") -> str:
    return CONFIG.format(mode=mode, percent=percent, tier=tier)


def reload(proxy: Proxy, **keys: Any) -> None:
    Path(proxy.config_path).write_text(write(**keys))


def test_limit_that_is_set_holds_at_once_and_so_does_the_one_before_once_that_is_reset(database: Database):
    with live(database) as (_, crowd, admin):
        crowd.see_only("let", but=0)
        for _ in range(3):
            admin.execute("SET LIMIT user 'app' = '10/d' FOR '1h'")
            crowd.see_only(REFUSED)
            admin.execute("SET LIMIT user 'app' = '100000000/d burst 50' FOR '1h'")
            crowd.see_only("let")
            admin.execute("SET LIMIT user 'app' = '10/d' FOR '1h'")
            crowd.see_only(REFUSED)
            admin.execute("RESET LIMIT user 'app'")
            crowd.see_only("let")


def test_modes_are_switched_there_and_back(database: Database):
    with live(database, mode="observe", tier="narrow") as (_, crowd, admin):
        crowd.see_only("let", but=0)
        for mode, outcome in (("on", REFUSED), ("off", "let"), ("on", REFUSED), ("observe", "let")) * 2:
            admin.execute(f"SET limits = '{mode}'")
            crowd.see_only(outcome)
        (tier,) = (row for row in show(admin, "LIMIT_TIERS") if row["tier"] == "narrow")
        assert tier["rejected"] == crowd.count(REFUSED)
        assert tier["observed"] >= 3 * MANY


def test_reload_holds_at_once(database: Database):
    with live(database) as (proxy, crowd, admin):
        for _ in range(2):
            reload(proxy, tier="narrow")
            admin.execute("RELOAD")
            crowd.see_only(REFUSED)
            reload(proxy, tier="wide")
            proxy.send(signal.SIGHUP)
            crowd.until(lambda: all(reader.last == {"let"} for reader in crowd.readers))
            crowd.see_only("let")
            reload(proxy, mode="off", tier="narrow")
            admin.execute("RELOAD")
            crowd.see_only("let", but=0)


def test_share_of_the_sessions_is_limited_and_each_wholly(database: Database):
    with live(database, percent=0, tier="narrow") as (_, crowd, admin):
        crowd.see_only("let", but=0)
        limited: set[Reader] = set()
        for percent in (40, 80, 100):
            admin.execute(f"SET limits.percent = {percent}")
            seen = [(reader, reader.number) for reader in crowd.readers]
            crowd.until(lambda seen=seen: all(reader.number > number + 3 * BURST for reader, number in seen))
            found = {reader for reader in crowd.readers if REFUSED in reader.last}
            assert all(len(reader.last) == 1 for reader in crowd.readers)
            assert limited <= found, "none of them is let go as the share grows"
            limited = found
        assert limited == set(crowd.readers)
        admin.execute("SET limits.percent = 0")
        crowd.see_only("let")


@pytest.mark.parametrize("count", ["queries", "transactions"])
def test_clients_that_are_held_back_are_let_go_or_refused_as_their_limit_changes(
    database: Database, count: str
):
    with live(database) as (_, crowd, admin):
        admin.execute(f"SET limits.count = '{count}'")
        admin.execute("SET limits.action = 'delay'")
        admin.execute("SET limits.max_delay = '50ms'")
        for limit in ("3000/min burst 1", "10/d", "100000000/d", "12000/min", "100000000/d"):
            admin.execute(f"SET LIMIT user 'app' = '{limit}' FOR '1h'")
            asked = crowd.count("let") + crowd.count(REFUSED)
            crowd.until(lambda asked=asked: crowd.count("let") + crowd.count(REFUSED) >= asked + MANY)
        crowd.see_only("let")
