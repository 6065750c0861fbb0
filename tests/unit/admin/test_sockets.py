from dbproxy.admin.show import SHOWS
from dbproxy.wire import build
from tests.unit.admin.house import FakeHouse, records


def test_sockets_tell_what_is_kept_of_each_connection():
    house = FakeHouse()
    client = house.add_client(house.add_pool())
    house.lend(client)
    long = build.query("SELECT '" + "x" * 100_000 + "'")
    waiting = house.add_client(house.add_pool("other"))
    waiting.data_received(build.query("SELECT 1"))
    waiting.data_received(long[:1000])
    rows = {row["ptr"]: row for row in records(SHOWS["sockets"](house))}
    assert len(rows) == 3
    assert rows[f"c{waiting.id}"]["pkt_avail"] == 1000
    assert rows[f"c{client.id}"]["link"] in rows
    (active,) = records(SHOWS["active_sockets"](house))
    assert active["ptr"] == f"c{waiting.id}"


def test_message_that_is_not_whole_says_how_much_is_to_come():
    house = FakeHouse()
    client = house.add_client(house.add_pool())
    house.answer(house.lend(client))
    long = build.query("SELECT '" + "x" * 100_000 + "'")
    client.data_received(long[:70_000])
    assert max(row["pkt_remain"] for row in records(SHOWS["active_sockets"](house))) == len(long) - 70_000


def test_memory_is_counted_in_bytes_and_connections():
    house = FakeHouse()
    waiting = house.add_client(house.add_pool())
    waiting.data_received(build.query("SELECT 1"))
    waiting.data_received(build.query("SELECT 2") * 10)
    rows = {row["name"]: row for row in records(SHOWS["mem"](house))}
    size = 10 * len(build.query("SELECT 2"))
    assert (rows["client_backlog"]["used"], rows["client_backlog"]["memtotal"]) == (1, size)
    assert rows["process_peak"]["memtotal"] > 1_000_000
    assert (rows["server_unsent"]["used"], rows["server_unsent"]["memtotal"]) == (0, 0)
