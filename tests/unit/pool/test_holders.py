from dataclasses import replace

from dbproxy.errors import ServerUnavailable
from dbproxy.pool.holders import Holder, explain_wait, list_holders
from dbproxy.pool.pool import Pool
from dbproxy.wire import build
from tests.unit.admin.house import FakeHouse, settings

HOLDER = Holder(
    client=7,
    name="worker",
    server=3,
    pid=4711,
    state="idle in transaction",
    held=35.21,
    lasting=34.04,
    pins=(),
    statement="UPDATE t SET n = $?",
)


def test_holder_is_told_in_one_line():
    expected = 'client 7 "worker" for 35.2 s, idle in transaction for 34.0 s, last: UPDATE t SET n = $?'
    assert HOLDER.tell() == expected


def test_pins_are_told_and_long_statements_cut():
    told = replace(HOLDER, state="active", pins=("lock", "temp"), statement="x" * 500).tell()
    assert ", pinned (lock, temp), running: xxx" in told
    assert told.endswith("x…")
    assert len(told) < 250


def test_a_state_as_old_as_the_loan_is_not_dated_twice():
    assert (
        replace(HOLDER, state="active", lasting=35.21)
        .tell()
        .startswith('client 7 "worker" for 35.2 s, active, ')
    )


def test_errand_of_our_own_is_not_taken_for_a_client():
    assert replace(HOLDER, client=0, name="dbproxy", statement="").tell().startswith("dbproxy itself for")


def test_longest_come_first_and_no_more_than_asked_for():
    house = FakeHouse()
    pool = house.add_pool()
    servers = [house.lend(house.add_client(pool)) for _ in range(4)]
    now = servers[-1].loan.since + 10
    assert [holder.server for holder in list_holders(pool, now)] == [server.id for server in servers]
    assert [holder.server for holder in list_holders(pool, now, 2)] == [server.id for server in servers[:2]]
    assert all(holder.held >= 10 for holder in list_holders(pool, now))


def test_state_follows_the_conversation():
    house = FakeHouse()
    client = house.add_client(house.add_pool())
    server = house.lend(client)

    def state() -> tuple[str, str]:
        (holder,) = list_holders(client.pool, server.loan.since + 1)
        return holder.state, holder.statement

    assert state() == ("active", "SELECT $?")
    client.pause_writing()
    assert state()[0] == "stalled"
    client.resume_writing()
    server.data_received(build.command_complete("BEGIN") + build.ready_for_query(ord("T")))
    assert state() == ("idle in transaction", "SELECT $?")
    client.data_received(build.query("nonsense 'x'"))
    assert state() == ("active", "nonsense $?")
    server.data_received(build.error_response_fields({"S": "ERROR", "C": "42601", "M": "no"}))
    server.data_received(build.ready_for_query(ord("E")))
    assert state() == ("idle in transaction (aborted)", "nonsense $?")


def test_wait_is_explained_by_what_is_wrong():
    house = FakeHouse(settings(DBPROXY_POOL__SIZE="2"))
    pool = house.add_pool()
    house.lend(house.add_client(pool))
    assert (
        explain_wait(pool, [HOLDER])
        == f"pool app/app: 1 connection, all in use; held longest by {HOLDER.tell()}"
    )
    pool.opening = 1
    assert explain_wait(pool, []) == "pool app/app: 1 connection in use, 1 being opened"
    pool.paused = True
    assert explain_wait(pool, [HOLDER]) == "pool app/app: paused by an administrator"


def test_wait_for_a_server_that_cannot_be_reached_says_why():
    pool = FakeHouse().add_pool()
    pool.last_error = ServerUnavailable("cannot connect to the server at primary.example")
    assert explain_wait(pool, []).endswith(
        "no connection can be opened: cannot connect to the server at primary.example"
    )


def test_wait_for_a_replicas_server_names_the_replica():
    house = FakeHouse()
    tenant, host = house.add_pool().tenant, house.cluster.members[0]
    pool = Pool(tenant, lambda _: None, lambda _: None, host)
    assert explain_wait(pool, []) == "pool app/app on primary: no connection is open"
