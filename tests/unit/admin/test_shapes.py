"""SHOW SHAPES: what is sent most often, counted for all texts of a shape, without its literals."""

import pytest

from dbproxy.admin import shapes
from dbproxy.admin.show import SHOWS
from dbproxy.pool.pool import Pool
from tests.unit.admin.house import FakeHouse, records


def send(pool: Pool, *texts: str) -> None:
    for text in texts:
        pool.tenant.classifier.find(text.encode()).count()


def test_the_most_frequent_comes_first_without_its_literals() -> None:
    house = FakeHouse()
    pool = house.add_pool()
    send(pool, "INSERT INTO s.t SELECT * FROM a, b WHERE c = 'secret'")
    send(pool, *(f"SELECT a FROM t WHERE b = {number} /*traceparent='{number}'*/" for number in range(5)))
    pool.tenant.classifier.find(b"SELECT only_prepared")
    first, second, last = records(SHOWS["shapes"](house))
    assert first == {
        "hash": pool.tenant.classifier.find(b"SELECT a FROM t WHERE b = 1").name(),
        "database": "app",
        "calls": 5,
        "kind": "read",
        "reads": "t",
        "writes": "",
        "text": "SELECT a FROM t WHERE b = $?",
    }
    assert len(first["hash"]) == 16
    assert (second["calls"], second["kind"], second["reads"], second["writes"]) == (1, "write", "a, b", "s.t")
    assert last["calls"] == 0
    assert "secret" not in str(second)


def test_pools_that_have_their_shapes_in_common_are_one_row() -> None:
    house = FakeHouse()
    pool = house.add_pool()
    house.pools["app", "other"] = pool
    send(pool, "SELECT 1")
    assert len(records(SHOWS["shapes"](house))) == 1


def test_only_so_many_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "LISTED", 3)
    house = FakeHouse()
    send(house.add_pool(), *(f"SELECT a{number}" for number in range(10)))
    assert len(records(SHOWS["shapes"](house))) == 3
