"""Addresses of names: asked for once, remembered, and the last known where the resolver fails."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dbproxy.net import names as module
from dbproxy.net.names import Names, is_numeric, names_here

V4, V6 = socket.AF_INET, socket.AF_INET6


class Resolver:
    """Stands for the system's."""

    def __init__(self) -> None:
        self.answers: dict[str, list[str] | OSError] = {}
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.slow: set[str] = set()

    def getaddrinfo(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked.append(host)
        if host in self.slow:
            self.gate.wait(30)
        answer = self.answers.get(host, [host])
        if isinstance(answer, OSError):
            raise answer
        return [
            (
                V6 if ":" in ip else V4,
                socket.SOCK_STREAM,
                6,
                "",
                (ip, port, 0, 0) if ":" in ip else (ip, port),
            )
            for ip in answer
        ]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    fake = Resolver()
    monkeypatch.setattr(module.socket, "getaddrinfo", fake.getaddrinfo)
    yield fake
    fake.gate.set()


async def find(names: Names, host: str = "db.test", **how: bool) -> list[str]:
    return [endpoint[0] for _, endpoint in await names.find(host, 5432, **how)]


async def settled(names: Names) -> None:
    while names.pending():  # noqa: ASYNC110  # a thread ends it
        await asyncio.sleep(0.001)


async def test_answer_counts_until_it_is_too_old(resolver: Resolver):
    resolver.answers["db.test"] = ["10.0.0.1"]
    names = Names(max_ttl=1000)
    assert await find(names) == await find(names) == ["10.0.0.1"]
    assert resolver.asked == ["db.test"]
    resolver.answers["db.test"] = ["10.0.0.2"]
    assert await find(names, anew=True) == ["10.0.0.2"]
    names.max_ttl = 0
    resolver.answers["db.test"] = ["10.0.0.3"]
    assert await find(names) == ["10.0.0.3"]


async def test_last_answer_serves_while_the_resolver_fails(resolver: Resolver):
    resolver.answers["db.test"] = ["10.0.0.1"]
    names = Names(max_ttl=0)
    await find(names)
    resolver.answers["db.test"] = socket.gaierror(socket.EAI_AGAIN, "later")
    assert await find(names) == ["10.0.0.1"]


async def test_name_that_was_never_found_is_an_error_in_the_system_s_words(resolver: Resolver):
    resolver.answers["db.test"] = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    with pytest.raises(OSError, match="not known"):
        await find(Names())


async def test_slow_look_up_holds_up_neither_others_nor_who_has_an_old_answer(resolver: Resolver):
    resolver.answers |= {"slow.test": ["10.0.0.1"], "db.test": ["10.0.0.2"]}
    names = Names(max_ttl=0)
    await find(names, "slow.test")
    resolver.gate.clear()
    resolver.slow = {"slow.test", "new.test"}
    waiting = asyncio.create_task(find(names, "new.test"))
    assert await find(names, "slow.test") == ["10.0.0.1"]
    assert await find(names, "db.test") == ["10.0.0.2"]
    for _ in range(100):
        await find(names, "slow.test")
    assert resolver.asked.count("slow.test") == 2  # one look-up of a name at a time
    assert not waiting.done()
    resolver.gate.set()
    assert await waiting == ["new.test"]
    await settled(names)


async def test_number_of_look_ups_is_bounded(resolver: Resolver, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST", 2)
    resolver.gate.clear()
    resolver.slow = {"a", "b"}
    names = Names()
    waiting = [asyncio.create_task(find(names, name)) for name in "ab"]
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="too many names"):
        await find(names, "c")
    resolver.gate.set()
    await asyncio.gather(*waiting)


async def test_address_that_left_the_name_is_told_and_one_that_came_is_not(resolver: Resolver):
    told: list[tuple[str, int, frozenset[Any]]] = []
    names = Names(max_ttl=1000)
    names.on_change = lambda *change: told.append(change)
    resolver.answers["db.test"] = ["10.0.0.1"]
    await find(names)
    resolver.answers["db.test"] = ["10.0.0.1", "10.0.0.2"]
    await find(names, anew=True)
    assert told == []
    resolver.answers["db.test"] = ["10.0.0.2"]
    await find(names, anew=True)
    assert told == [("db.test", 5432, frozenset({("10.0.0.2", 5432)}))]


async def test_names_are_looked_up_again_without_a_connect(resolver: Resolver):
    names = Names(max_ttl=15)
    resolver.answers["db.test"] = ["10.0.0.1"]
    await find(names)
    [name] = names.known.values()
    resolver.answers["db.test"] = ["10.0.0.2"]
    names.refresh(name.learned_at + 14)
    assert not names.pending()
    names.refresh(name.learned_at + 15)
    await settled(names)
    assert await find(names) == ["10.0.0.2"]


async def test_address_that_did_not_answer_is_tried_last(resolver: Resolver):
    resolver.answers["db.test"] = ["10.0.0.1", "10.0.0.2"]
    names = Names()
    first, _ = await names.find("db.test", 5432)
    names.note("db.test", 5432, first, answers=False)
    assert await find(names) == ["10.0.0.2", "10.0.0.1"]
    assert await find(names, shuffles=True) == ["10.0.0.2", "10.0.0.1"]
    names.note("db.test", 5432, first, answers=True)
    assert await find(names) == ["10.0.0.1", "10.0.0.2"]


async def test_families_take_turns(resolver: Resolver):
    resolver.answers["db.test"] = ["fd00::1", "fd00::2", "10.0.0.1"]
    assert await find(Names()) == ["fd00::1", "10.0.0.1", "fd00::2"]


async def test_name_that_is_in_no_setting_any_more_is_forgotten(resolver: Resolver):
    names = Names()
    await find(names, "a")
    await find(names, "b")
    names.keep({("b", 5432)})
    assert [host for host, _, _ in names.list_known(0.0)] == ["b"]


def test_numbers_are_no_names():
    assert all(map(is_numeric, ["127.0.0.1", "::1", "fe80::1%eth0"]))
    assert not any(map(is_numeric, ["db.test", "localhost", "", "1.2.3.4.5"]))


async def test_numbers_are_not_looked_up(resolver: Resolver):
    names = Names()
    assert await find(names, "127.0.0.1") == ["127.0.0.1"]
    assert not names.known


async def test_a_loop_has_its_names():
    assert names_here() is names_here()


def test_without_a_loop_none_are_known():
    assert names_here().known == {}
