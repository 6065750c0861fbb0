"""Who gets a connection where several pools share a limit: nobody starves, nothing is lost count of."""

from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.config import Settings
from dbproxy.errors import ServerUnavailable, TooManyConnections
from dbproxy.pool.quota import Quotas, Share
from dbproxy.pool.sharing import TURN, Sharing
from dbproxy.pool.states import YIELDS
from tests.unit.pool.fakes import FakeClient, FakePool


class Shop:
    """One database, a pool for each user; `most` server connections in all."""

    def __init__(self, most: int, *users: str, of_user: int = 0, **settings: object) -> None:
        self.quotas = Quotas(
            Settings.model_validate({"pool": {"max_db_connections": most, "max_user_connections": of_user}})
        )
        self.database = self.quotas.find("max_db_connections", "shop")
        self.sharing = Sharing(self.quotas, lambda: [fake.pool for fake in self.fakes.values()])
        limits: dict[str, object] = {"size": 50, "reserve_size": 0, **settings}
        self.fakes = {user: FakePool(user=user, share=self.share(user), **limits) for user in users}

    def share(self, user: str, *, standing: bool = False) -> Share:
        quotas = [self.database, self.quotas.find("max_user_connections", user)]
        return Share(quotas, self.sharing.ask, self.sharing.freed, standing=standing)

    def want(self, user: str, number: int = 1, now: float = 0) -> list[FakeClient]:
        """Clients that ask for a server, each; those whose connection is begun for them get it."""
        clients = [FakeClient(f"{user}{number}") for number in range(number)]
        for client in clients:
            self.fakes[user].lend(client, now)
        self.connect(now)
        return clients

    def connect(self, now: float = 0) -> None:
        """What is being opened is there."""
        for fake in self.fakes.values():
            while fake.pool.opening:
                fake.open(now=now).backend.connected_at = now

    def give_back(self, client: FakeClient, now: float = 0) -> None:
        server, client.server = client.server, None
        server.pool.checkin(server, now)
        self.connect(now)

    def sizes(self) -> list[int]:
        return [fake.pool.size() for fake in self.fakes.values()]

    def check_count(self) -> None:
        assert self.database.used == sum(self.sizes())


def test_no_more_than_the_limit_are_opened_and_the_rest_wait():
    shop = Shop(3, "a", "b")
    shop.want("a", 2)
    clients = shop.want("b", 2)
    assert shop.sizes() == [2, 1]
    assert [client.server is not None for client in clients] == [True, False]
    shop.check_count()


def test_idle_connection_of_the_greediest_makes_room_and_its_oldest():
    shop = Shop(4, "a", "b", "c")
    a, b = shop.want("a", 3), shop.want("b", 1)
    servers = [client.server for client in a]
    for client in (a[1], a[0], a[2], b[0]):
        shop.give_back(client)
    (client,) = shop.want("c")
    assert client.server is not None
    assert servers[1].closed_for == "max_db_connections: its place goes to shop/c"
    assert shop.sizes() == [2, 1, 1]
    shop.check_count()


def test_place_that_becomes_free_goes_to_the_poorest_and_not_back():
    shop = Shop(3, "a", "b")
    a = shop.want("a", 6)
    (b,) = shop.want("b", 1)
    assert (shop.sizes(), b.server) == ([3, 0], None)
    shop.give_back(a[0])
    assert b.server is not None
    assert shop.sizes() == [2, 1]
    assert a[3].server is None
    shop.check_count()


def test_pools_that_never_rest_end_with_equal_shares():
    shop = Shop(10, "a", "b")
    busy = {user: shop.want(user, 30) for user in ("a", "b")}
    for turn in range(100):
        for user, clients in busy.items():
            held = next((client for client in clients if client.server is not None), None)
            if held is not None:
                shop.give_back(held, turn * 0.01)
                shop.fakes[user].lend(held, turn * 0.01)
        shop.connect(turn * 0.01)
    assert shop.sizes() == [5, 5]
    shop.check_count()


def test_more_pools_than_places_take_turns():
    users = ("a", "b", "c")
    shop = Shop(1, *users)
    busy = {user: shop.want(user, 3) for user in users}
    turns: list[str] = []
    for tick in range(60):
        now = tick * 0.1
        for user, clients in busy.items():
            held = next((client for client in clients if client.server is not None), None)
            if held is not None:
                if turns[-1:] != [user]:
                    turns.append(user)
                shop.give_back(held, now)
                shop.fakes[user].lend(held, now)
        shop.sharing.sweep(now)
        shop.connect(now)
    rounds = turns[:9]
    assert sorted(rounds[:3]) == list(users)
    assert rounds[3:6] == rounds[:3]
    shop.check_count()


def test_equal_keeps_its_only_connection_for_a_turn():
    shop = Shop(1, "a", "b")
    (a,) = shop.want("a")
    shop.want("b")
    shop.sharing.sweep(TURN - 0.1)
    assert a.server.upkeep.condemned == ""
    shop.sharing.sweep(TURN)
    assert a.server.upkeep.condemned == YIELDS


def test_connection_that_was_to_yield_is_pardoned_when_nobody_wants_its_place():
    shop = Shop(2, "a", "b")
    a = shop.want("a", 2)
    (b,) = shop.want("b")
    assert [client.server.upkeep.condemned for client in a] == [YIELDS, YIELDS]
    shop.fakes["b"].pool.leave(b)
    shop.sharing.sweep(0)
    assert [client.server.upkeep.condemned for client in a] == ["", ""]
    assert not shop.sharing.wanting


def test_only_one_yields():
    shop = Shop(4, "a", "b")
    a = shop.want("a", 4)
    shop.want("b")
    shop.give_back(a[0])
    assert [client.server.upkeep.condemned for client in a[1:]] == ["", "", ""]
    assert shop.sizes() == [3, 1]


def test_other_reason_to_be_closed_is_not_pardoned():
    shop = Shop(2, "a", "b")
    a = shop.want("a", 2)
    (b,) = shop.want("b")
    a[0].server.condemn("a cancel request may still be on its way")
    shop.fakes["b"].pool.leave(b)
    shop.sharing.sweep(0)
    assert a[0].server.upkeep.condemned == "a cancel request may still be on its way"


def test_lost_connection_gives_its_place_to_who_waits():
    shop = Shop(1, "a", "b")
    (a,) = shop.want("a")
    (b,) = shop.want("b")
    a.server.close("lost")
    shop.connect()
    assert b.server is not None
    shop.check_count()


def test_pool_whose_server_cannot_be_reached_leaves_its_place_to_another():
    shop = Shop(1, "a", "b")
    shop.fakes["a"].lend(FakeClient())
    b = FakeClient("b")
    shop.fakes["b"].lend(b)
    assert shop.fakes["a"].pool.opening == 1
    shop.fakes["a"].pool.open_failed(ServerUnavailable("down"), 0)
    assert (shop.fakes["a"].pool.opening, shop.fakes["b"].pool.opening) == (0, 1)
    shop.check_count()


def test_min_pool_size_takes_only_what_nobody_waits_for():
    shop = Shop(3, "a", "b", min_pool_size=2)
    a = shop.want("a", 2)
    shop.fakes["b"].pool.open_more(0)
    shop.connect()
    assert shop.sizes() == [2, 1]
    more = shop.want("a", 1)
    assert more[0].server is not None  # b's idle one was closed for it, and is not opened again
    shop.fakes["b"].pool.open_more(0)
    assert shop.sizes() == [3, 0]
    for client in (*a, *more):
        assert client.server is not None
    shop.check_count()


def test_limit_of_a_user_leaves_other_users_alone():
    shop = Shop(10, "a", "b", of_user=2)
    shop.want("a", 5)
    (b,) = shop.want("b")
    assert b.server is not None
    assert shop.sizes() == [2, 1]


def test_nobody_yields_to_who_is_at_its_own_limit():
    shop = Shop(6, "a", "b", of_user=0)
    shop.quotas.find("max_user_connections", "a").most = 1
    shop.want("a", 3)
    b = shop.want("b", 8)
    shop.sharing.sweep(TURN)
    assert shop.sizes() == [1, 5]
    assert [client.server.upkeep.condemned for client in b[:5]] == [""] * 5


def test_pool_that_needs_a_place_under_two_limits_is_kept_the_one_that_is_free_first():
    """Its user's is another pool's to give up, its database's yet another's: neither takes it back meanwhile."""
    shop = Shop(2, "a", "b", of_user=2)
    away = Share(
        [shop.quotas.find("max_db_connections", "away"), shop.quotas.find("max_user_connections", "a")],
        shop.sharing.ask,
        shop.sharing.freed,
    )
    elsewhere = shop.fakes["away"] = FakePool(user="a", share=away, size=50, reserve_size=0)
    busy, others = shop.want("b", 5), shop.want("away", 5)
    (client,) = shop.want("a", 1)
    assert client.server is None
    shop.give_back(busy[0])  # b would like to have it back
    assert (client.server, shop.fakes["b"].pool.size(), shop.database.used) == (None, 1, 1)
    held = next(one for one in others if one.server is not None)
    shop.give_back(held)
    assert client.server is not None
    assert (shop.fakes["b"].pool.size(), elsewhere.pool.size()) == (1, 1)


def test_both_limits_full_are_freed_by_one_connection_if_one_will_do():
    shop = Shop(2, "a", "b", of_user=1)
    replica = shop.fakes["replica"] = FakePool(user="a", host=object(), share=shop.share("a"), size=5)
    (a,), (b,) = shop.want("a"), shop.want("b")
    shop.give_back(a)
    client = FakeClient("reader")
    replica.lend(client)
    shop.connect()
    assert client.server is not None
    assert b.server.closed_for == ""
    assert shop.sizes() == [0, 1, 1]


def test_limit_that_was_lowered_closes_what_is_idle_and_the_rest_when_it_is_free():
    shop = Shop(4, "a", "b")
    a, b = shop.want("a", 2), shop.want("b", 2)
    shop.give_back(a[0])
    shop.quotas.apply(Settings.model_validate({"pool": {"max_db_connections": 1}}))
    shop.sharing.sweep(0)
    assert shop.sizes() == [1, 2]
    for client in (a[1], b[0], b[1]):
        shop.give_back(client)
    assert shop.sizes() == [0, 1]
    shop.check_count()


def test_connection_that_listens_is_not_asked_to_yield():
    shop = Shop(2, "a", "b")
    hub = shop.fakes["hub"] = FakePool(user="a", share=shop.share("a", standing=True), size=1)
    listener = FakeClient("hub")
    hub.lend(listener)
    (a,) = shop.want("a")
    (b,) = shop.want("b")
    shop.sharing.sweep(TURN)
    assert listener.server.upkeep.condemned == ""
    shop.give_back(a, TURN)
    assert b.server is not None


def test_connection_that_listens_is_not_opened_in_the_last_place():
    shop = Shop(1, "a")
    hub = FakePool(user="a", share=shop.share("a", standing=True), size=1)
    shop.fakes["hub"] = hub
    hub.lend(FakeClient("hub"))
    assert hub.launched == 0
    (a,) = shop.want("a")
    assert a.server is not None


def test_limit_is_counted_for_each_pool_that_is_short_and_logged_once_a_minute():
    shop = Shop(1, "a", "b", "c")
    with structlog.testing.capture_logs() as lines:
        shop.want("a")
        shop.want("b")
        shop.want("b")
        shop.want("c")
    told = [line for line in lines if line["event"] == "limit reached"]
    assert [(line["limit"], line["of"], line["used"], line["held"]) for line in told] == [
        ("max_db_connections", "shop", 1, {"shop/a": 1})
    ]
    assert [shop.fakes[user].pool.stats.limits["max_db_connections"] for user in "abc"] == [0, 1, 1]


steps = st.lists(
    st.tuples(
        st.sampled_from(["come", "go", "back", "open", "fail", "lose", "sweep", "limit"]), st.integers(0, 2)
    ),
    max_size=80,
)


@given(steps, st.data())
def test_whatever_happens_places_are_counted_and_nobody_waits_for_a_free_one(
    steps: list[tuple[str, int]], data: st.DataObject
):
    users = ("a", "b", "c")
    shop = Shop(3, *users, of_user=2, size=4)
    waiting: list[tuple[FakePool, FakeClient]] = []
    servers: list[Any] = []
    for number, (step, who) in enumerate(steps):
        fake, now = shop.fakes[users[who]], float(number)
        if step == "come":
            client = FakeClient(str(number))
            fake.lend(client, now)
            waiting.append((fake, client))
        elif step == "go" and waiting:
            pool, client = data.draw(st.sampled_from(waiting))
            if client.server is None:
                pool.pool.leave(client)
                waiting.remove((pool, client))
        elif step == "back":
            held = next(((pool, client) for pool, client in waiting if client.server is not None), None)
            if held is not None:
                waiting.remove(held)
                held[0].pool.checkin(held[1].server, now)
        elif step == "open" and fake.pool.opening:
            servers.append(fake.open(str(number), now))
        elif step == "fail" and fake.pool.opening:
            fake.pool.open_failed(ServerUnavailable("down"), now)
        elif step == "lose" and servers:
            lost = servers.pop()
            lost.close("lost")
            waiting = [(pool, client) for pool, client in waiting if client.server is not lost]
        elif step == "limit":
            most = data.draw(st.integers(1, 4))
            shop.quotas.apply(
                Settings.model_validate({"pool": {"max_db_connections": most, "max_user_connections": 2}})
            )
        shop.sharing.sweep(now)
        shop.check_count()
        for fake in shop.fakes.values():
            share = fake.pool.share
            can = fake.pool.waiting and fake.pool.missing(now) and not share.find_full()
            assert not can or fake.pool not in shop.sharing.wanting
    for fake in shop.fakes.values():
        fake.pool.retry_at = 0.0
    for number in range(200):  # in the end everybody is served
        for fake in shop.fakes.values():
            fake.pool.open_more(1000.0 + number)
        shop.connect(1000.0 + number)
        shop.sharing.sweep(1000.0 + number)
        for pool, client in list(waiting):
            if client.server is not None:
                waiting.remove((pool, client))
                pool.pool.checkin(client.server, 1000.0 + number)
    assert not waiting
    shop.check_count()


@pytest.mark.parametrize("most", [1, 2, 3])
def test_pool_that_waits_is_not_passed_by_however_greedy_others_are(most: int):
    """One user floods, the other asks once in a while: it waits for a turn at most."""
    shop = Shop(most, "greedy", "modest")
    crowd = shop.want("greedy", 50)
    now = 0.0
    for _ in range(20):
        (modest,) = shop.want("modest", 1, now)
        replies = 0
        while modest.server is None:
            held = next(client for client in crowd if client.server is not None)
            shop.give_back(held, now)
            shop.fakes["greedy"].lend(held, now)
            shop.connect(now)
            now += TURN
            shop.sharing.sweep(now)
            replies += 1
            assert replies <= 2
        shop.give_back(modest, now)
    shop.check_count()


def test_replication_connection_takes_a_place_that_is_free_or_idle_and_gives_it_back():
    shop = Shop(2, "a")
    first, second = shop.want("a", 2)
    shop.give_back(first)
    share = shop.share("streamer", standing=True)
    shop.sharing.take(share)
    assert (shop.sizes(), shop.database.used) == ([1], 2)
    with pytest.raises(TooManyConnections, match="max_db_connections"):
        shop.sharing.take(shop.share("other", standing=True))
    assert (second.server is not None, shop.database.used) == (True, 2)
    share.give()
    shop.check_count()
