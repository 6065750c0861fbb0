"""The tables of SHOW have PgBouncer's columns, in its order, of its types: scripts and exporters read them by both."""

from time import monotonic

import pytest

from dbproxy.admin.connections import show_clients, show_servers
from dbproxy.admin.show import FAKES, SHOWS, fake
from dbproxy.admin.table import Table
from tests.unit.admin.house import FakeHouse, settings

LETTERS = {25: "s", 23: "i", 20: "q", 1700: "N"}
SOCKETS = (
    "type s, user s, database s, replication s, state s, addr s, port i, local_addr s, local_port i, "
    "connect_time s, request_time s, wait i, wait_us i, close_needed i, ptr s, link s, remote_pid i, tls s, "
    "application_name s, prepared_statements i, id i"
)
TOTAL = (
    "server_assignment_count, xact_count, query_count, received, sent, xact_time, query_time, wait_time, "
    "client_parse_count, server_parse_count, bind_count, client_login_count"
)
AVERAGE = TOTAL.replace("received", "recv")
PLAIN = TOTAL.replace("received", "bytes_received").replace(" sent", " bytes_sent")
MIXED = (
    PLAIN.replace("client_", "avg_client_")
    .replace("server_parse", "avg_server_parse")
    .replace("bind", "avg_bind")
)


def numeric(names: str, prefix: str = "") -> str:
    return ", ".join(f"{prefix}{name} N" for name in names.split(", "))


PGBOUNCER = {
    "clients": SOCKETS,
    "config": "key s, value s, default s, changeable s",
    "databases": "name s, host s, port i, database s, force_user s, pool_size i, min_pool_size i, "
    "reserve_pool_size i, server_lifetime i, pool_mode s, load_balance_hosts s, max_connections i, "
    "current_connections i, max_client_connections i, current_client_connections i, paused i, disabled i",
    "lists": "list s, items i",
    "pools": "database s, user s, cl_active i, cl_waiting i, cl_active_cancel_req i, cl_waiting_cancel_req i, "
    "sv_active i, sv_active_cancel i, sv_being_canceled i, sv_idle i, sv_used i, sv_tested i, sv_login i, "
    "maxwait i, maxwait_us i, pool_mode s, load_balance_hosts s",
    "servers": SOCKETS,
    "state": "key s, value s",
    "stats": f"database s, {numeric(TOTAL, 'total_')}, {numeric(AVERAGE, 'avg_')}",
    "stats_averages": f"database s, {numeric(MIXED)}",
    "stats_totals": f"database s, {numeric(PLAIN)}",
    "totals": "name s, value N",
    "users": "name s, pool_size s, reserve_pool_size s, pool_mode s, max_user_connections i, "
    "current_connections i, max_user_client_connections i, current_client_connections i",
    "version": "version s",
}


@pytest.fixture
def house() -> FakeHouse:
    return FakeHouse()


def records(table: Table) -> list[dict]:
    assert table.encode()
    return table.records()


@pytest.mark.parametrize("what", PGBOUNCER)
def test_columns_are_pgbouncers(house: FakeHouse, what: str) -> None:
    house.lend(house.add_client(house.add_pool()))
    columns = SHOWS[what](house).columns
    assert ", ".join(f"{name} {LETTERS[oid]}" for name, oid, _ in columns) == PGBOUNCER[what]


@pytest.mark.parametrize("what", SHOWS)
def test_every_table_can_be_sent_busy_and_empty(house: FakeHouse, what: str) -> None:
    assert SHOWS[what](house).encode()
    house.lend(house.add_client(house.add_pool()))
    assert SHOWS[what](house).encode()


def test_pools_split_the_wait_into_seconds_and_the_rest(house: FakeHouse) -> None:
    pool = house.add_pool()
    house.queue(house.add_client(pool), monotonic() - 2.25)
    (row,) = records(SHOWS["pools"](house))
    assert row["maxwait"] == 2
    assert 250_000 <= row["maxwait_us"] < 900_000
    assert (row["database"], row["user"], row["pool_mode"]) == ("app", "app", "transaction")


def test_stats_sum_and_average_the_pools_of_a_database(house: FakeHouse) -> None:
    for user in ("a", "b"):
        stats = house.add_pool("app", user).stats
        stats.query(1000)
        stats.bytes_received = 10
    (row,) = records(SHOWS["stats"](house))
    assert (row["total_query_count"], row["total_query_time"], row["total_received"]) == (2, 2000, 20)
    assert (row["avg_query_time"], row["avg_query_count"]) == (1000, 2)
    (totals,) = records(SHOWS["stats_totals"](house))
    assert (totals["query_count"], totals["bytes_received"]) == (2, 20)


def test_totals_are_of_all_databases(house: FakeHouse) -> None:
    for database in ("a", "b"):
        house.add_pool(database).stats.xact(50)
    rows = {row["name"]: row["value"] for row in records(SHOWS["totals"](house))}
    assert (rows["total_xact_count"], rows["total_xact_time"], rows["avg_xact_time"]) == (2, 100, 50)
    assert len(rows) == 24


def test_link_joins_a_client_to_the_server_that_it_holds(house: FakeHouse) -> None:
    pool = house.add_pool()
    house.lend(house.add_client(pool))
    house.lend(house.add_client(pool))
    clients, servers = records(show_clients(house)), records(show_servers(house))
    assert {client["ptr"]: client["link"] for client in clients} == {
        server["link"]: server["ptr"] for server in servers
    }
    assert len({row["ptr"] for row in [*clients, *servers]}) == 4
    assert {row["state"] for row in [*clients, *servers]} == {"active"}


def test_connection_that_is_not_lent_has_no_link(house: FakeHouse) -> None:
    pool = house.add_pool()
    house.add_client(pool)
    house.add_server(pool)
    for (row,) in (records(show_clients(house)), records(show_servers(house))):
        assert (row["state"], row["link"]) == ("idle", "")


def test_times_are_written_as_pgbouncer_writes_them(house: FakeHouse) -> None:
    client = house.add_client(house.add_pool())
    client.login.connect_time = 1_000_000_000.0
    (row,) = records(show_clients(house))
    assert row["connect_time"] == row["request_time"] == "2001-09-09 01:46:40 UTC"


def test_waiting_client_shows_how_long(house: FakeHouse) -> None:
    pool = house.add_pool()
    house.queue(house.add_client(pool), monotonic() - 3.5)
    (row,) = records(show_clients(house))
    assert (row["state"], row["wait"]) == ("waiting", 3)
    assert 500_000 <= row["wait_us"] < 1_000_000


def test_console_is_a_client_and_a_login_under_way_is_not(house: FakeHouse) -> None:
    house.add_login("admin", "pgbouncer").console = object()
    house.add_login()
    (row,) = records(show_clients(house))
    assert (row["user"], row["database"], row["state"]) == ("admin", "pgbouncer", "active")


def test_server_tells_whose_process_it_is_and_if_it_will_be_replaced(house: FakeHouse) -> None:
    pool = house.add_pool()
    server = house.lend(house.add_client(pool))
    server.pid = 4711
    pool.retire()
    (row,) = records(show_servers(house))
    assert (row["type"], row["remote_pid"], row["close_needed"]) == ("S", 4711, 1)
    assert (row["addr"], row["port"], row["local_addr"], row["local_port"]) == (
        "10.0.0.1",
        5000,
        "10.0.0.2",
        6000,
    )


def test_config_hides_passwords_and_tells_what_a_reload_changes(house: FakeHouse) -> None:
    rows = {row["key"]: row for row in records(SHOWS["config"](house))}
    assert rows["primary.url"]["value"] == "postgresql://app:***@primary.example:5433/app"
    assert (rows["pool.size"]["value"], rows["pool.size"]["changeable"]) == ("50", "yes")
    assert rows["listen.port"]["changeable"] == "no"


def test_users_are_those_who_may_log_in_and_those_who_did() -> None:
    house = FakeHouse(settings(DBPROXY_USERS__REPORTS__POOL__SIZE="3"))
    house.users.add("reports", "secret")
    house.add_client(house.add_pool("app", "guest"))
    house.add_server(house.pools["app", "guest"])
    rows = {row["name"]: row for row in records(SHOWS["users"](house))}
    assert (rows["reports"]["pool_size"], rows["reports"]["pool_mode"]) == (3, None)
    assert (rows["guest"]["current_connections"], rows["guest"]["current_client_connections"]) == (1, 1)
    assert "secret" not in str(rows)


def test_state_tells_a_pause(house: FakeHouse) -> None:
    assert dict(SHOWS["state"](house).rows) == {"active": "yes", "paused": "no", "suspended": "no"}
    house.pause("")
    assert dict(SHOWS["state"](house).rows) == {"active": "no", "paused": "yes", "suspended": "no"}


def test_prepared_statements_are_shown_without_literals(house: FakeHouse) -> None:
    pool = house.add_pool()
    statement = pool.statements.find(b"SELECT 'very secret', $1\0\0\0")
    server = house.add_server(pool)
    server.prepared[statement.name] = statement
    (row,) = records(SHOWS["prepared"](house))
    assert (row["name"], row["servers"]) == (statement.name.decode(), 1)
    assert row["statement"] == "SELECT $?, $1"


@pytest.mark.parametrize("name", FAKES)
def test_what_drivers_ask_for_is_one_row(name: str) -> None:
    (row,) = records(fake(name))
    assert list(row) == [name]
