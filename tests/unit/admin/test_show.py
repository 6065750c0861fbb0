"""The tables of SHOW have PgBouncer's columns, in its order, of its types: scripts and exporters read them by both."""

from time import monotonic

import pytest

from dbproxy.admin.show import FAKES, SHOWS, fake
from tests.unit.admin.house import FakeHouse, records, settings

LETTERS = {25: "s", 23: "i", 20: "q", 1700: "N"}
SOCKETS = (
    "type s, user s, database s, replication s, state s, addr s, port i, local_addr s, local_port i, "
    "connect_time s, request_time s, wait i, wait_us i, close_needed i, ptr s, link s, remote_pid i, tls s, "
    "application_name s, prepared_statements i, id i"
)
OURS = ", link_time s, pins s, host s"  # behind PgBouncer's, where scripts that count columns don't mind
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
    "clients": SOCKETS + OURS,
    "config": "key s, value s, default s, changeable s",
    "databases": "name s, host s, port i, database s, force_user s, pool_size i, min_pool_size i, "
    "reserve_pool_size i, server_lifetime i, pool_mode s, load_balance_hosts s, max_connections i, "
    "current_connections i, max_client_connections i, current_client_connections i, paused i, disabled i",
    "lists": "list s, items i",
    "pools": "database s, user s, cl_active i, cl_waiting i, cl_active_cancel_req i, cl_waiting_cancel_req i, "
    "sv_active i, sv_active_cancel i, sv_being_canceled i, sv_idle i, sv_used i, sv_tested i, sv_login i, "
    "maxwait i, maxwait_us i, pool_mode s, load_balance_hosts s",
    "servers": SOCKETS + OURS,
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


@pytest.mark.parametrize("what", PGBOUNCER)
def test_columns_are_pgbouncers(house: FakeHouse, what: str) -> None:
    house.lend(house.add_client(house.add_pool()))
    columns = SHOWS[what](house).columns
    assert ", ".join(f"{name} {LETTERS[oid]}" for name, oid, _ in columns) == PGBOUNCER[what]


@pytest.mark.parametrize("what", SHOWS)
def test_every_table_can_be_sent_busy_and_empty(house: FakeHouse, what: str) -> None:
    assert list(SHOWS[what](house).pieces())
    house.lend(house.add_client(house.add_pool()))
    assert list(SHOWS[what](house).pieces())


def test_pools_split_the_wait_into_seconds_and_the_rest(house: FakeHouse) -> None:
    pool = house.add_pool()
    house.queue(house.add_client(pool), monotonic() - 2.25)
    (row,) = records(SHOWS["pools"](house))
    assert row["maxwait"] == 2
    assert 250_000 <= row["maxwait_us"] < 900_000
    assert (row["database"], row["user"], row["pool_mode"]) == ("app", "app", "transaction")


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
    statement = pool.tenant.statements.find(b"SELECT 'very secret', $1\0\0\0")
    server = house.add_server(pool)
    server.dialogue.statements.prepared[statement.name] = statement
    (row,) = records(SHOWS["prepared"](house))
    assert (row["name"], row["servers"]) == (statement.name.decode(), 1)
    assert row["statement"] == "SELECT $?, $1"


@pytest.mark.parametrize("name", FAKES)
def test_what_drivers_ask_for_is_one_row(name: str) -> None:
    (row,) = records(fake(name))
    assert list(row) == [name]
