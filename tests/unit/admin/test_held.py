"""Who is held back, and by whom: the way there is in tests/protocol/test_limits.py."""

from dbproxy.admin.held import list_crowded
from tests.unit.admin.house import FakeHouse


def test_nobody_is_in_the_way_where_nobody_is_limited():
    house = FakeHouse()
    house.lend(house.add_client(house.add_pool()))
    assert list_crowded(house) == {}
