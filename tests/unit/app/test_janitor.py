"""Deadlines that are looked at, and that one which goes wrong holds up no other."""

from time import monotonic

import pytest

from dbproxy.app.janitor import Janitor
from dbproxy.app.proxy import Proxy
from dbproxy.config.load import load


@pytest.fixture
def proxy() -> Proxy:
    return Proxy(load(None, {}, {"primary.url": "postgresql://app@127.0.0.1:1/shop", "auth.type": "trust"}))


def test_pool_that_nobody_uses_is_forgotten(proxy: Proxy):
    proxy.find_pool("shop", "app")
    janitor = Janitor(proxy)
    janitor.sweep(monotonic() + 1e6, clients=False)
    janitor.sweep(monotonic() + 2e6, clients=False)
    assert not proxy.pools


def test_database_that_nobody_uses_is_watched_no_more():
    urls = {
        "DATABASE_URL": "postgresql://app@127.0.0.1:1/shop",
        "DATABASE_READ_REPLICAS": "postgresql://app@127.0.0.1:2/shop",
    }
    proxy = Proxy(load(None, urls, {"auth.type": "trust"}))
    proxy.find_pool("shop", "app")
    assert proxy.caches.watched
    janitor = Janitor(proxy)
    janitor.forget_pools(monotonic() + 1e6)
    janitor.forget_pools(monotonic() + 2e6)
    assert not proxy.pools
    assert not proxy.caches.watched


def test_clients_are_looked_at_once_a_second_or_while_some_are_over_a_limit(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
):
    looked: list[float] = []
    monkeypatch.setattr(Janitor, "sweep_logins", lambda self, now: looked.append(now))
    janitor = Janitor(proxy)
    janitor.sweep(1.0, clients=False)
    assert looked == []
    janitor.sweep(2.0, clients=True)
    janitor.behind = True
    janitor.sweep(3.0, clients=False)
    assert looked == [2.0, 3.0]


def test_step_that_fails_holds_up_no_other(proxy: Proxy, monkeypatch: pytest.MonkeyPatch):
    def fail(_: float) -> None:
        raise ZeroDivisionError

    looked: list[float] = []
    janitor = Janitor(proxy)
    monkeypatch.setattr(janitor, "forget_pools", fail)
    monkeypatch.setattr(janitor, "sweep_hosts", looked.append)
    janitor.sweep(1.0, clients=False)
    assert looked == [1.0]
