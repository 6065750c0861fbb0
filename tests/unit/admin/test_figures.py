"""Figures are read from the live objects, and add up."""

from time import monotonic
from types import SimpleNamespace

from dbproxy.admin.figures import client_state, read_figures
from dbproxy.observe.figures import PoolFigures
from dbproxy.pool.states import BEING_CANCELED, TESTED
from tests.unit.admin.house import FakeHouse, settings


def pool_figures(house: FakeHouse, now: float | None = None) -> PoolFigures:
    (pool,) = read_figures(house, now or monotonic()).pools
    return pool


def test_client_is_idle_until_it_holds_a_server_or_waits_for_one() -> None:
    house = FakeHouse()
    pool = house.add_pool()
    idle, active, waiting = (house.add_client(pool) for _ in range(3))
    house.lend(active)
    house.queue(waiting, monotonic())
    assert [client_state(client) for client in (idle, active, waiting)] == ["idle", "active", "waiting"]


def test_idle_clients_count_as_active_as_pgbouncer_counts_them() -> None:
    house = FakeHouse()
    pool = house.add_pool()
    house.add_client(pool)
    house.lend(house.add_client(pool))
    house.queue(house.add_client(pool), monotonic())
    assert (pool_figures(house).cl_active, pool_figures(house).cl_waiting) == (2, 1)


def test_longest_wait_is_that_of_the_first_in_the_queue() -> None:
    house = FakeHouse()
    pool = house.add_pool()
    house.queue(house.add_client(pool), 100.0)
    house.queue(house.add_client(pool), 101.0)
    assert pool_figures(house, 103.5).maxwait_us == 3_500_000


def test_nobody_waiting_is_no_wait() -> None:
    house = FakeHouse()
    house.add_pool()
    assert pool_figures(house).maxwait_us == 0


def test_servers_are_counted_by_state() -> None:
    house = FakeHouse()
    pool = house.add_pool()
    house.lend(house.add_client(pool))
    house.add_server(pool)
    house.add_server(pool)
    pool.move(house.add_server(pool), TESTED)
    canceled = house.add_server(pool)
    pool.move(canceled, TESTED)
    pool.move(canceled, BEING_CANCELED)
    canceled.upkeep.cancels = 1
    house.queue(house.add_client(pool), monotonic())  # takes the idle one
    house.queue(house.add_client(pool), monotonic())
    house.queue(house.add_client(pool), monotonic())  # has one opened
    figures = pool_figures(house)
    assert (figures.sv_active, figures.sv_idle, figures.sv_tested) == (3, 0, 1)
    assert (figures.sv_being_canceled, figures.sv_active_cancel, figures.sv_login) == (1, 1, 1)


def test_pools_of_one_tenant_are_told_apart_by_host() -> None:
    house = FakeHouse(settings(DATABASE_READ_REPLICAS="postgresql://app:secret@r.example/app"))
    primary, now = house.add_pool(), monotonic()
    replica = house.add_router(primary).reach(house.cluster.member("replica1")).pool
    house.add_server(replica)
    house.queue(house.add_client(primary), now)
    primary.tenant.stats.refusals["53300"] += 1
    figures = read_figures(house, now + 2)
    at_primary, at_replica = figures.host_pools
    assert (at_primary.host, at_primary.waiting, at_primary.longest_wait_s) == ("primary", 1, 2.0)
    assert (at_replica.host, at_replica.waiting, at_replica.servers["idle"]) == ("replica1", 0, 1)
    assert at_replica.size == house.settings.pool.size
    assert figures.pools[0].refusals == {"53300": 1}


def test_process_counts_who_logs_in_who_is_on_the_console_and_who_replicates() -> None:
    house = FakeHouse()
    house.add_client(house.add_pool())
    house.add_login()
    house.add_login().heir = SimpleNamespace(kind="console")
    house.add_login().heir = SimpleNamespace(kind="replication")
    figures = read_figures(house, monotonic())
    counted = {"active": 0, "idle": 1, "waiting": 0, "login": 1, "console": 1, "replication": 1}
    assert figures.clients == counted
    assert (figures.lists["used_clients"], figures.lists["login_clients"]) == (3, 1)


def test_every_end_and_refusal_is_handed_on() -> None:
    house = FakeHouse()
    house.registry.disconnects["client closed the connection"] += 2
    house.registry.login_failures["28P01"] += 1
    figures = read_figures(house, house.started_at + 5.0)
    assert figures.client_disconnects == {"client closed the connection": 2}
    assert figures.login_failures == {"28P01": 1}
    assert figures.uptime_s == 5.0
    assert figures.max_client_conn == 10_000


def test_databases_are_those_configured_and_those_in_use() -> None:
    house = FakeHouse(settings(DBPROXY_DATABASES__REPORTS__DBNAME="archive"))
    house.add_pool("app", "a")
    house.add_client(house.add_pool("passed", "a"))
    house.add_server(house.pools["passed", "a"])
    house.pause("passed")
    found = {database.name: database for database in read_figures(house, monotonic()).databases}
    assert list(found) == ["app", "reports", "passed"]
    assert (found["reports"].host, found["reports"].port) == ("primary.example", 5433)
    assert found["reports"].database == "archive"
    assert (found["passed"].current_client_connections, found["passed"].paused) == (1, True)
    assert (found["app"].current_client_connections, found["app"].paused) == (0, False)


def test_database_has_the_limits_that_its_pools_have() -> None:
    house = FakeHouse(
        settings(DBPROXY_DATABASES__APP__POOL__SIZE="7", DBPROXY_DATABASES__APP__POOL__SERVER_LIFETIME="90s")
    )
    (app,) = read_figures(house, monotonic()).databases
    assert (app.pool_size, app.reserve_pool, app.server_lifetime_s) == (7, 5, 90)


def test_limits_are_told_with_what_they_limit_and_how_often_they_struck() -> None:
    house = FakeHouse(
        settings(
            DBPROXY_POOL__MAX_DB_CONNECTIONS="7",
            DBPROXY_POOL__MAX_USER_CONNECTIONS="6",
            DBPROXY_DATABASES__APP__POOL__MAX_DB_CLIENT_CONNECTIONS="9",
        )
    )
    pool = house.add_pool("app", "app")
    house.add_server(pool)
    house.add_client(pool)
    pool.stats.limits["query_timeout"] += 2
    house.registry.limits["max_client_conn"] += 1
    figures = read_figures(house, monotonic())
    (database,) = figures.databases
    assert (database.max_connections, database.current_connections) == (7, 1)
    assert (database.max_client_connections, database.current_client_connections) == (9, 1)
    assert (figures.pools[0].limits, figures.login_limits) == ({"query_timeout": 2}, {"max_client_conn": 1})
    assert figures.max_user_connections == 6
