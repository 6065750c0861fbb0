"""What is current of what somebody else was given; no server."""

import pytest

from dbproxy.cache.fence import Fence
from dbproxy.cache.horizon import Horizon
from dbproxy.cache.witness import Witness

ORDERS, ITEMS = 16384, 16390
HERE = "7001/1/1700000000000000/5"


class Proxy:
    """What one knows of a database. `asked`: how often for POSITION."""

    def __init__(self) -> None:
        self.fence = Fence()
        self.witness = Witness(self.fence, lambda: None)
        self.asked = 0
        self.horizon = Horizon(self.fence, self.witness, self.ask)
        self.tables = [self.fence.find(ORDERS)]

    def ask(self) -> None:
        self.asked += 1

    def begin(self, lsn: int) -> None:
        self.witness.position = lsn
        self.witness.began(lsn)

    def settle(self, position: int, name: str = HERE) -> None:
        self.horizon.settle(self.horizon.note(), position, name)
        self.horizon.asking = False

    def learn(self, position: int, name: str = HERE) -> None:
        self.horizon.find_floor(self.tables)
        self.settle(position, name)

    def seen(self) -> int | None:
        stamp = self.horizon.stamp(self.tables)
        return None if stamp is None else stamp.seen

    def floor(self) -> int | None:
        return self.horizon.find_floor(self.tables)


@pytest.fixture
def proxy() -> Proxy:
    made = Proxy()
    made.begin(100)
    made.learn(110)
    return made


def test_nothing_is_taken_before_the_primary_was_asked():
    made = Proxy()
    made.begin(100)
    assert made.floor() is None
    assert made.floor() is None
    assert made.asked == 1
    made.settle(110)
    assert made.floor() == 110


def test_nothing_is_asked_while_no_writes_are_told():
    made = Proxy()
    assert made.floor() is None
    assert made.asked == 0


def test_what_was_kept_before_writes_were_told_is_not_taken(proxy: Proxy):
    assert proxy.floor() == 110  # no stamp of before 100 reaches that
    proxy.witness.lost("gone")
    proxy.begin(200)
    assert proxy.floor() is None
    proxy.learn(205)
    assert proxy.floor() == 205


def test_own_write_raises_the_floor(proxy: Proxy):
    """Its client is to see it, though the stream has not told it yet."""
    table = proxy.tables[0]
    table.enter()
    table.leave()
    assert proxy.floor() is None
    proxy.settle(300)
    assert proxy.floor() == 300


def test_write_between_the_question_and_its_answer_is_asked_about_again(proxy: Proxy):
    table = proxy.tables[0]
    table.renew()
    assert proxy.floor() is None
    noted = proxy.horizon.note()
    table.renew()
    proxy.horizon.settle(noted, 300, HERE)
    assert proxy.floor() is None


def test_write_to_another_table_raises_nothing(proxy: Proxy):
    proxy.fence.find(ITEMS).renew()
    assert proxy.floor() == 110


def test_what_is_told_as_committed_is_seen_only_once_a_snapshot_has(proxy: Proxy):
    proxy.witness.committed(700, 150, frozenset({ORDERS}))
    proxy.witness.position = 150
    assert proxy.seen() is None
    proxy.witness.see("701:701:")
    assert proxy.seen() == 150


def test_commit_to_another_table_leaves_the_stamp(proxy: Proxy):
    proxy.witness.committed(700, 150, frozenset({ITEMS}))
    proxy.witness.position = 150
    assert proxy.seen() == 150


def test_nothing_is_stamped_while_our_own_clients_write_or_no_writes_are_told(proxy: Proxy):
    proxy.tables[0].enter()
    assert proxy.seen() is None
    proxy.tables[0].leave()
    assert proxy.seen() == 100
    proxy.witness.lost("gone")
    assert proxy.seen() is None


def test_nothing_is_stamped_before_it_is_known_where():
    made = Proxy()
    made.begin(100)
    assert made.seen() is None
    assert made.asked == 1
    made.settle(110)
    assert made.seen() == 100


@pytest.mark.parametrize(
    "other",
    ["7002/1/1700000000000000/5", "7001/2/1700000000000000/5", "7001/1/1800000000000000/5", HERE + "1"],
)
def test_another_history_is_another_name(proxy: Proxy, other: str):
    stamp = proxy.horizon.stamp(proxy.tables)
    proxy.fence.invalidate(None)
    proxy.learn(120, other)
    another = proxy.horizon.stamp(proxy.tables)
    assert stamp is not None
    assert another is not None
    assert stamp.name != another.name


def test_floors_of_another_history_are_forgotten(proxy: Proxy):
    proxy.fence.find(ITEMS).renew()
    proxy.horizon.find_floor([proxy.fence.find(ITEMS)])
    proxy.settle(50, "7001/2/1/5")
    assert proxy.floor() is None
    assert proxy.seen() is None


def test_mark_that_nothing_has_is_forgotten(proxy: Proxy):
    tables = [*proxy.tables, proxy.fence.find_mark("tag menu")]
    proxy.horizon.find_floor(tables)
    proxy.settle(120)
    assert len(proxy.horizon.floors) == 3
    del tables
    assert len(proxy.horizon.floors) == 2


def test_other_tables_are_another_name(proxy: Proxy):
    both = [proxy.fence.find(ITEMS), *proxy.tables]
    assert proxy.horizon.find_name(both) == proxy.horizon.find_name(both[::-1])
    assert proxy.horizon.find_name(both) != proxy.horizon.find_name(proxy.tables)


def test_value_that_another_proxy_saw_a_commit_for_is_taken_only_behind_it():
    """The whole way: one writes, both hear of it, the other takes what was asked for behind that alone."""
    one, two = Proxy(), Proxy()
    for made in (one, two):
        made.begin(100)
        made.learn(110)
    before = one.seen()
    one.tables[0].enter()
    one.tables[0].leave()
    for made in (one, two):
        made.witness.committed(700, 150, frozenset({ORDERS}))
        made.witness.position = 160
        made.witness.see("701:701:")
        made.learn(155)
    behind, floor = one.seen(), two.floor()
    assert before is not None
    assert behind is not None
    assert floor is not None
    assert before < floor <= behind


def test_row_that_nobody_has_written_needs_no_floor_of_its_own(proxy: Proxy):
    orders = proxy.fence.find(ORDERS)
    assert orders.beside is not None
    cell = orders.find_cell(5)
    proxy.tables = [orders.beside, cell]
    proxy.learn(120)
    proxy.tables = [orders.beside, orders.find_cell(6)]
    assert proxy.floor() == 120
    proxy.tables = [orders.beside, cell]
    cell.renew()
    assert proxy.floor() is None
    proxy.settle(130)
    assert proxy.floor() == 130
    proxy.fence.invalidate([ORDERS])
    assert proxy.floor() is None
