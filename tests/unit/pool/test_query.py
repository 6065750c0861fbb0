"""What gates and listeners are told of a request."""

from dbproxy.pool.query import Query
from tests.unit.admin.house import FakeHouse


def test_query_names_who_asks_and_where() -> None:
    house = FakeHouse()
    client = house.add_client(house.add_pool("shop", "ann"))
    query = Query(client, None, b"", -1, 0.0)
    assert (query.user, query.database) == ("ann", "shop")
