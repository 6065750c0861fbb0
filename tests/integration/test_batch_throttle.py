"""A batch steps back for replicas, the application and whoever says so, and goes on afterwards."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from dbproxy.app.jobs import find_primary, make_guard
from dbproxy.config.load import load
from dbproxy.demo.postgres import Postgres
from dbproxy.errors import JobFailed, JobRefused
from dbproxy.jobs.batch import Batch, Rows, read_statement
from dbproxy.jobs.pressure.server import ServerLooks
from tests.support.batches import ask, create, until
from tests.support.hosts import urls
from tests.support.postgres import Database, connect, create_cluster, create_database, wait_for_replay
from tests.support.proxy import Proxy
from tests.support.serving import serving

LOOKS = "SELECT waits_for FROM dbproxy.batch_jobs WHERE id = 'b'"
DONE = "SELECT coalesce(sum(rows), 0)::int8 FROM dbproxy.batch_progress"
SMALL = {"batch.chunk_size": 50, "batch.adaptive": False, "batch.throttle.interval": "20ms"}


def make(dsn: str, **settings: Any) -> Batch:
    """With a throttle, as the command line makes it."""
    given = {"primary.url": dsn, "http.port": 0, **SMALL, **settings}
    found = load(None, {}, {key: str(value) for key, value in given.items()})
    primary = find_primary(found, None, "")
    source = Rows("t", (), read_statement("UPDATE t SET n = n + 1 WHERE {chunk}"), "off")
    guard = make_guard(found, primary, lambda: "t", alone=False, database="")
    return Batch(primary, source, found.batch, name="b", throttle=guard)


@asynccontextmanager
async def working(dsn: str, **settings: Any) -> AsyncIterator[Batch]:
    """A batch that goes on in the background, until the test is over."""
    async with make(dsn, **settings) as batch:
        task = asyncio.create_task(batch.run())
        try:
            yield batch
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class Watch:
    """On the ledger, by a connection of its own."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def rows(self) -> int:
        """Without `batch_progress`, none."""
        if ask(self.dsn, "SELECT to_regclass('dbproxy.batch_progress')") == [(None,)]:
            return 0
        return int(ask(self.dsn, DONE)[0][0])

    def waits_for(self) -> str:
        found = ask(self.dsn, LOOKS) if self.rows() or self.has_ledger() else []
        return str(found[0][0]).partition(":")[0] if found else ""

    def has_ledger(self) -> bool:
        return ask(self.dsn, "SELECT to_regclass('dbproxy.batch_errors') IS NOT NULL") == [(True,)]

    async def until_moving(self) -> None:
        before = self.rows()
        await until(lambda: self.rows() > before)

    async def until_waiting(self, reason: str) -> int:
        """How many rows are done then."""
        await until(lambda: self.waits_for() == reason)
        return self.rows()


@pytest.fixture
def watch(database: Database) -> Watch:
    create(database, 100_000)
    return Watch(database.dsn)


# --- what is asked here ---


async def test_flag_file(database: Database, watch: Watch, tmp_path: Path) -> None:
    flag = tmp_path / "stop"
    async with working(database.dsn, **{"batch.throttle.file": str(flag)}):
        await watch.until_moving()
        flag.touch()
        before = await watch.until_waiting("file")
        await looked_again(watch, "file")
        assert watch.rows() == before
        flag.unlink()
        await watch.until_moving()


async def looked_again(watch: Watch, reason: str) -> None:
    """Once it has been waited for that for some looks more: the seconds are counted with each."""
    counted = f"SELECT coalesce((throttled ->> '{reason}')::float8, 0) FROM dbproxy.batch_jobs"
    before = ask(watch.dsn, counted)[0][0]
    await until(lambda: ask(watch.dsn, counted)[0][0] > before)


async def test_query(database: Database, watch: Watch) -> None:
    ask(database, "CREATE TABLE busy (); CREATE TABLE calm ()")
    query = "SELECT to_regclass('busy') IS NOT NULL"
    async with working(database.dsn, **{"batch.throttle.query": query}):
        before = await watch.until_waiting("query")
        assert before == watch.rows() == 0
        ask(database, "DROP TABLE busy")
        await watch.until_moving()
        ask(database, "CREATE TABLE busy ()")
        before = await watch.until_waiting("query")
        assert watch.rows() == before


async def test_query_that_fails_is_not_heeded(database: Database, watch: Watch) -> None:
    async with working(database.dsn, **{"batch.throttle.query": "SELECT 1 / (random() * 0)::int > 0"}):
        await watch.until_moving()


async def test_query_that_takes_too_long_is_not_heeded_and_ends_there(
    database: Database, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbproxy.jobs.pressure.query.LONGEST", 50)
    async with working(database.dsn, **{"batch.throttle.query": "SELECT pg_sleep(3600) IS NULL"}):
        await watch.until_moving()
    sleeping = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    )
    await until(lambda: ask(database, sleeping) == [(0,)])


@pytest.mark.parametrize("name", ["query", "critical_query"])
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT no_such_column", "42703"),
        ("SELEC", "42601"),
        ("SELECT true; SELECT false", "42601"),
        ("SELECT pg_read_file('secret') = ''", "42501"),
        ("SELECT $1 = 1", "parameters"),
        ("SELECT", "no column, and must give one boolean"),
        ("SELECT 'f'", "it gives text"),
        ("SELECT 1", "it gives int4"),
        ("SELECT true, false", "it gives bool, bool"),
        ("SELECT n = 0 FROM t", "several rows"),
        ("SELECT true WHERE false", "no row"),
        ("SELECT NULL::bool", "NULL"),
        ("UPDATE t SET n = 9 WHERE id = 1 RETURNING true", "25006"),
        ("CREATE TABLE x ()", "no column"),
        ("COMMIT", "no column"),
    ],
)
async def test_query_that_is_wrong_in_itself_is_refused_at_the_start(
    database: Database, name: str, query: str, said: str
) -> None:
    create(database, 10)
    async with make(database.dsn, **{f"batch.throttle.{name}": query}) as batch:
        for work in (batch.plan, batch.run):
            with pytest.raises(JobRefused, match=said) as raised:
                await work()
            assert f"throttle.{name}" in str(raised.value)
    assert ask(database, "SELECT max(n) FROM t") == [(0,)]
    assert ask(database, "SELECT to_regclass('dbproxy.batch_jobs')") == [(None,)]


async def test_wrong_query_in_the_settings_of_the_batch_alone_is_refused_when_it_is_resumed(
    database: Database,
) -> None:
    create(database, 10)
    async with make(database.dsn) as batch:
        await batch.begin()
    ask(database, """UPDATE dbproxy.batch_jobs SET settings = '{"throttle.query": "SELECT nothing"}'""")
    async with make(database.dsn) as batch:
        with pytest.raises(JobRefused, match="42703"):
            await batch.run()
    assert ask(database, "SELECT state, n FROM dbproxy.batch_jobs, t LIMIT 1") == [("interrupted", 0)]


async def test_wrong_query_is_nothing_to_a_batch_without_a_throttle(database: Database) -> None:
    create(database, 10)
    async with make(
        database.dsn, **{"batch.throttle.query": "SELECT nothing", "batch.throttle.enabled": False}
    ) as batch:
        assert (await batch.run()).state == "done"


async def test_window(database: Database, watch: Watch) -> None:
    (now, later), *_ = ask(
        database,
        "SELECT to_char(now() + interval '2 h', 'HH24:00'), to_char(now() + interval '3 h', 'HH24:00')",
    )
    async with working(
        database.dsn, **{"batch.throttle.window": f"{now}-{later}", "batch.throttle.timezone": "UTC"}
    ):
        assert await watch.until_waiting("window") == 0


async def test_nice_ratio_leaves_the_rest_of_the_time_to_others(database: Database, watch: Watch) -> None:
    """Of ten chunks each rests five times as long as it works; after the last one nobody does."""
    async with make(database.dsn, **{"batch.throttle.nice_ratio": 5, "batch.chunk_size": 10_000}) as batch:
        began = monotonic()
        job = await batch.run()
        took = monotonic() - began
    assert job.totals.chunks == 10
    assert took > 5 * 0.8 * job.totals.worked


async def test_autovacuum_or_other_maintenance_on_the_table(database: Database, watch: Watch) -> None:
    async with working(database.dsn):
        await watch.until_moving()
        with psycopg.connect(database.dsn) as other:
            other.execute("LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE")
            before = await watch.until_waiting("vacuum")
            await looked_again(watch, "vacuum")
            assert watch.rows() == before
        await watch.until_moving()


async def test_snapshot_that_is_held_for_long(database: Database, watch: Watch) -> None:
    async with working(database.dsn, **{"batch.throttle.max_snapshot": "200ms"}):
        await watch.until_moving()
        with psycopg.connect(database.dsn) as other:
            other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            other.execute("SELECT 1 FROM t LIMIT 1")
            before = await watch.until_waiting("snapshot")
            await looked_again(watch, "snapshot")
            assert watch.rows() == before
        await watch.until_moving()


async def test_wal_of_all_together(database: Database, watch: Watch) -> None:
    async with working(database.dsn, **{"batch.throttle.max_wal": "1KiB"}):
        await watch.until_waiting("wal")
        await watch.until_moving()


async def test_slot_that_holds_back_wal(database: Database, watch: Watch) -> None:
    with connect(database.server) as owner:
        owner.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
        try:
            async with working(database.dsn, **{"batch.throttle.max_backlog": "64KiB"}):
                await watch.until_waiting("backlog")
                (waits_for,), *_ = ask(database, LOOKS)
                assert "replication slot forgotten" in waits_for
                owner.execute("SELECT pg_drop_replication_slot('forgotten')")
                await watch.until_moving()
        finally:
            owner.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'forgotten'"
            )


async def test_critical_query_ends_it_and_it_can_be_resumed(database: Database, watch: Watch) -> None:
    with pytest.raises(JobFailed, match="critical_query"):
        async with make(database.dsn, **{"batch.throttle.critical_query": "SELECT true"}) as batch:
            await batch.run()
    assert ask(database, "SELECT state FROM dbproxy.batch_jobs") == [("failed",)]
    assert watch.rows() == 0
    async with make(database.dsn, **{"batch.chunk_size": 10_000}) as batch:
        assert (await batch.run()).state == "done"
    assert ask(database, "SELECT n, count(*) FROM t GROUP BY n") == [(1, 100_000)]


async def test_settings_change_while_it_waits(database: Database, watch: Watch) -> None:
    async with working(database.dsn, **{"batch.throttle.query": "SELECT true"}):
        await watch.until_waiting("query")
        ask(
            database,
            "UPDATE dbproxy.batch_jobs SET settings = '{\"throttle.query\": \"\"}'; NOTIFY dbproxy_batch, 'b'",
        )
        await watch.until_moving()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT nothing",
        "SELECT $1 = 1",
        "SELECT",
        "SELECT 1",
        "SELECT n > 0 FROM t",
        "DELETE FROM t RETURNING true",
    ],
)
async def test_wrong_query_that_is_set_while_it_runs_is_not_heeded(
    database: Database, watch: Watch, query: str
) -> None:
    async with working(database.dsn, **{"batch.throttle.query": "SELECT true"}):
        await watch.until_waiting("query")
        ask(
            database,
            f"UPDATE dbproxy.batch_jobs SET settings = jsonb_build_object('throttle.query', '{query}'); "
            "NOTIFY dbproxy_batch, 'b'",
        )
        await watch.until_moving()
    assert ask(database, "SELECT count(*) FROM t") == [(100_000,)]


async def test_batch_that_is_paused_while_it_waits_is_shown_as_paused(
    database: Database, watch: Watch
) -> None:
    looked = (
        "SELECT max(query_start) > '{}'::timestamptz + interval '1200 ms' FROM pg_stat_activity"
        " WHERE application_name = 'dbproxy batch looks'"
    )
    async with working(database.dsn, **{"batch.throttle.query": "SELECT true"}):
        await watch.until_waiting("query")
        ask(database, "UPDATE dbproxy.batch_jobs SET wanted = 'pause'; NOTIFY dbproxy_batch, 'b'")
        await watch.until_waiting("paused")
        (now,), *_ = ask(database, "SELECT now()::text")
        await until(lambda: ask(database, looked.format(now)) == [(True,)])  # it would have told that by now
        assert ask(database, "SELECT state, waits_for FROM dbproxy.batch_jobs") == [("paused", "paused")]
        ask(database, "UPDATE dbproxy.batch_jobs SET wanted = ''; NOTIFY dbproxy_batch, 'b'")
        await watch.until_waiting("query")


async def test_only_what_is_there_and_not_seen_is_told_of() -> None:
    with create_cluster() as server, create_database(server) as database:
        settings = load(None, {}, {"primary.url": database.dsn})
        looks = ServerLooks(find_primary(settings, None, ""), lambda: "t")
        try:
            with capture_logs() as told:
                await looks.look(settings.batch.throttle)
            assert told == []
            with connect(server, database.name), capture_logs() as told:
                await looks.look(settings.batch.throttle)
                await looks.look(settings.batch.throttle)
            assert [line["event"] for line in told] == ["batch sees no replicas and no snapshots of others"]
        finally:
            await looks.close()


async def test_archive_that_fails_is_waited_for() -> None:
    with (
        create_cluster(archive_mode="on", archive_command="false") as server,
        create_database(server) as database,
    ):
        create(database, 100_000)
        watch, failing = Watch(database.dsn), "SELECT last_failed_wal IS NOT NULL FROM pg_stat_archiver"
        ask(server.dsn(database.name), "SELECT pg_switch_wal()")
        await until(lambda: ask(database, failing) == [(True,)])
        async with working(database.dsn, **{"batch.throttle.max_backlog": "64KiB"}):
            await watch.until_waiting("backlog")
            (waits_for,), *_ = ask(database, LOOKS)
            assert "the archive" in waits_for


# --- replicas ---


@pytest.fixture
def replicated(primary: Postgres, replicas: list[Postgres]) -> Iterator[Database]:
    with create_database(primary) as database:
        create(database, 100_000)
        for replica in replicas:
            wait_for_replay(primary, replica)
        yield database


def replay(replica: Postgres, order: str) -> None:
    with connect(replica) as connection:
        connection.execute(f"SELECT pg_wal_replay_{order}()")


@pytest.mark.parametrize("told_by", ["proxy", "monitor", "primary"])
async def test_replica_that_lags_is_waited_for(
    replicated: Database, replicas: list[Postgres], told_by: str
) -> None:
    """It waits within a second after the lag is over its limit, does nothing meanwhile, and goes on afterwards."""
    dsn = replicated.dsn
    settings: dict[str, Any] = {"batch.throttle.max_lag": "300ms"}
    if told_by == "primary":
        dsn = replicated.server.dsn(replicated.name)  # who sees all
    else:
        settings["replicas"] = urls(replicated, replicas)
    async with beside(replicated, replicas, told_by == "proxy") as proxy:
        watch = Watch(dsn)
        if proxy:
            settings["batch.throttle.proxy"] = proxy
        async with working(dsn, **settings):
            await watch.until_moving()
            replay(replicas[0], "pause")
            try:
                began = monotonic()
                before = await watch.until_waiting("lag")
                assert monotonic() - began < 0.3 + 1.0 + 1.0  # and the time that the test's own looks take
                await looked_again(watch, "lag")
                assert watch.rows() == before
            finally:
                replay(replicas[0], "resume")
            await watch.until_moving()


@asynccontextmanager
async def beside(database: Database, replicas: list[Postgres], wanted: bool) -> AsyncIterator[str]:
    """Where a proxy with these replicas answers over HTTP; "" without."""
    if not wanted:
        yield ""
        return
    settings = {"replicas": urls(database, replicas), "health.lag_interval": "50ms", "pool.size": 2}
    with serving(database, settings) as proxy:
        yield proxy.http_url


async def test_replica_that_is_taken_out_or_away_does_not_block(
    replicated: Database, replicas: list[Postgres]
) -> None:
    watch = Watch(replicated.dsn)
    settings = {
        "replicas": urls(replicated, replicas),
        "health.lag_interval": "50ms",
        "auth.admin_users": "app",
    }
    with serving(replicated, settings) as proxy:
        url = proxy.http_url
        given = {"batch.throttle.max_lag": "300ms", "batch.throttle.proxy": url}
        async with working(replicated.dsn, **given):
            await watch.until_moving()
            replay(replicas[1], "pause")
            try:
                await watch.until_waiting("lag")
                command(proxy, "DISABLE HOST replica2")
                await watch.until_moving()
                command(proxy, "ENABLE HOST replica2")
                await watch.until_waiting("lag")
            finally:
                replay(replicas[1], "resume")


async def test_replica_that_is_not_configured_any_more_does_not_block(
    replicated: Database, replicas: list[Postgres]
) -> None:
    watch = Watch(replicated.dsn)
    one, other = (f'[[replicas]]\nurl = "{url}"\n' for url in urls(replicated, replicas).split(","))
    settings = {"health.lag_interval": "50ms", "auth.admin_users": "app"}
    with serving(replicated, settings, config=one + other) as proxy:
        given = {"batch.throttle.max_lag": "300ms", "batch.throttle.proxy": proxy.http_url}
        async with working(replicated.dsn, **given):
            await watch.until_moving()
            replay(replicas[1], "pause")
            try:
                await watch.until_waiting("lag")
                proxy.config_path.write_text(one)
                command(proxy, "RELOAD")
                await watch.until_moving()
            finally:
                replay(replicas[1], "resume")


async def test_lag_that_is_critical_ends_it(replicated: Database, replicas: list[Postgres]) -> None:
    watch, url = Watch(replicated.dsn), urls(replicated, replicas)
    async with make(replicated.dsn, replicas=url, **{"batch.throttle.critical_lag": "300ms"}) as batch:
        running = asyncio.create_task(batch.run())
        try:
            await watch.until_moving()
            replay(replicas[0], "pause")
            with pytest.raises(JobFailed, match=r"replica1 is .* behind"):
                await running
        finally:
            running.cancel()
            replay(replicas[0], "resume")


def command(proxy: Proxy, words: str) -> None:
    with psycopg.connect(proxy.dsn("dbproxy"), autocommit=True) as console:
        console.execute(words)


# --- the application ---


async def test_client_that_waits_for_a_server(database: Database, watch: Watch) -> None:
    with serving(database, {"pool.size": 1, "pool.reserve_size": 0}) as proxy:
        given = {"batch.throttle.proxy": proxy.http_url}
        async with working(database.dsn, **given):
            await watch.until_moving()
            with psycopg.connect(proxy.dsn()) as holder:
                holder.execute("SELECT 1")
                await watch.until_waiting("pool")
                async with await psycopg.AsyncConnection.connect(proxy.dsn()) as waiter:
                    asked = asyncio.create_task(waiter.execute("SELECT 1"))
                    before = await watch.until_waiting("waiters")
                    await looked_again(watch, "waiters")
                    assert watch.rows() == before
                    holder.commit()
                    await asked
            await watch.until_moving()


async def test_application_that_becomes_slower(database: Database, watch: Watch) -> None:
    """Its p95 is that of the last five to ten seconds."""
    with (
        serving(database, {"pool.size": 4}) as proxy,
        psycopg.connect(proxy.dsn(), autocommit=True) as client,
    ):
        for _ in range(300):
            client.execute("SELECT 1")
        async with working(database.dsn, **{"batch.throttle.proxy": proxy.http_url}):
            await watch.until_moving()
            waiting = asyncio.create_task(watch.until_waiting("p95"))
            while not waiting.done():
                await asyncio.to_thread(client.execute, "SELECT pg_sleep(0.02)")
            moving = asyncio.create_task(watch.until_moving())
            while not moving.done():
                await asyncio.to_thread(client.execute, "SELECT 1")
            await moving


async def test_proxy_that_goes_away_is_not_waited_for(database: Database, watch: Watch) -> None:
    with serving(database, {"pool.size": 1}) as proxy:
        given = {"batch.throttle.proxy": proxy.http_url}
        async with working(database.dsn, **given):
            await watch.until_moving()
            proxy.stop()
            await watch.until_moving()
