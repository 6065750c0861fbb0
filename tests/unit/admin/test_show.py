"""The tables of SHOW have PgBouncer's columns, in its order, of its types: scripts and exporters read them by both."""

from time import monotonic

import pytest

from dbproxy.admin.figures import list_databases
from dbproxy.admin.show import FAKES, SHOWS, fake
from tests.unit.admin.house import FakeHouse, records, settings


@pytest.fixture
def house() -> FakeHouse:
    return FakeHouse()


@pytest.mark.parametrize("what", sorted(SHOWS.keys() - {"fds"}))
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


def test_databases_tell_as_whom_their_servers_are_logged_in_to() -> None:
    house = FakeHouse(
        settings(DBPROXY_DATABASES__SHOP__USER="clerk", DBPROXY_DATABASES__STORE__DBNAME="shop")
    )
    users = {row["name"]: row["force_user"] for row in records(SHOWS["databases"](house))}
    assert (users["shop"], users["store"]) == ("clerk", None)
    assert {found.name: found.force_user for found in list_databases(house)}["shop"] == "clerk"


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
