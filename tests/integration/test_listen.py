"""LISTEN and NOTIFY through a pool of two: heard as on a direct connection, by however many."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import asyncpg
import psycopg
import pytest

from tests.support.postgres import Database, connect
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.two_servers import SETTINGS, elsewhere, look_elsewhere, open_client, until, wait_for_kept

PATIENCE = 20.0
THOUSAND = 1000
LISTENING = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'dbproxy LISTEN'"
Heard = tuple[str, str, int]


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    with serving(module_database, {**SETTINGS, "auth.type": "trust"}) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy) -> Iterator[psycopg.Connection]:
    with open_client(proxy.dsn()) as connection:
        yield connection


@pytest.fixture
def other(proxy: Proxy) -> Iterator[psycopg.Connection]:
    with open_client(proxy.dsn()) as connection:
        yield connection


def heard(client: psycopg.Connection, number: int = 1) -> list[Heard]:
    """So many notifications, waited for: channel, payload and the sender's process id."""
    found: list[Heard] = []
    while len(found) < number:
        rest = list(client.notifies(timeout=PATIENCE, stop_after=number - len(found)))
        assert rest, f"heard only {found}"
        found += [(notify.channel, notify.payload, notify.pid) for notify in rest]
    return found


def hears_nothing_before(client: psycopg.Connection, channel: str, sender: psycopg.Connection) -> None:
    """The next that the client hears is said now, on `channel`."""
    sender.execute("SELECT pg_notify(%s, 'end')", [channel])
    assert [(name, payload) for name, payload, _ in heard(client)] == [(channel, "end")]


def test_listener_hears_and_keeps_no_server(
    proxy: Proxy, client: psycopg.Connection, other: psycopg.Connection
):
    client.execute("LISTEN a")
    wait_for_kept(proxy, 0)
    for number in range(3):
        other.execute(f"NOTIFY a, '{number}'")
    assert [payload for _, payload, _ in heard(client, 3)] == ["0", "1", "2"]
    client.execute("UNLISTEN a")
    client.execute("LISTEN b")
    other.execute("NOTIFY a, 'not any more'")
    hears_nothing_before(client, "b", other)


def test_listener_hears_what_is_said_past_the_proxy(module_database: Database, client: psycopg.Connection):
    client.execute("LISTEN a")
    with open_client(module_database.dsn) as direct:
        direct.execute("NOTIFY a, 'direct'")
        assert heard(client) == [("a", "direct", direct.info.backend_pid)]


def test_own_notification_has_the_process_id_that_the_client_knows_as_its_own(
    client: psycopg.Connection, other: psycopg.Connection
):
    client.execute("LISTEN a")
    client.execute("NOTIFY a, 'mine'")
    assert heard(client) == [("a", "mine", client.info.backend_pid)]
    other.execute("NOTIFY a, 'theirs'")
    assert heard(client) == [("a", "theirs", other.info.backend_pid)]


def test_listen_in_a_function_is_heard_from_the_next_statement_on(client: psycopg.Connection):
    for number in range(10):
        client.execute(f"DO $$ BEGIN EXECUTE 'LISTEN unseen{number}'; END $$")
        client.execute(f"NOTIFY unseen{number}")
        assert [channel for channel, *_ in heard(client)] == [f"unseen{number}"]


def test_listen_in_a_do_block_hears_what_its_own_transaction_notifies(client: psycopg.Connection):
    for number in range(10):
        client.execute("BEGIN")
        client.execute(f"NOTIFY within{number}")
        client.execute(f"DO $$ BEGIN EXECUTE 'LISTEN within{number}'; END $$")
        client.execute("COMMIT")
        assert [channel for channel, *_ in heard(client)] == [f"within{number}"]


def test_pinned_listener_that_has_notified_itself_hears_the_next_at_once(
    client: psycopg.Connection, other: psycopg.Connection
):
    client.execute("LISTEN pinned")
    client.execute("SELECT pg_advisory_lock(77)")
    client.execute("NOTIFY pinned, 'own'")
    other.execute("NOTIFY pinned, 'other'")
    assert [payload for _, payload, _ in heard(client, 2)] == ["own", "other"]


@pytest.mark.parametrize("end", ["SELECT 1 / 0", "ROLLBACK", "COMMIT"])
def test_what_is_notified_behind_a_listen_is_heard_only_if_that_was_committed(
    client: psycopg.Connection, other: psycopg.Connection, end: str
):
    client.execute("LISTEN a")
    listen = [["LISTEN news", end]] if end == "SELECT 1 / 0" else [["BEGIN"], ["LISTEN news"], [end]]
    assert in_one_breath(client, *listen, ["NOTIFY news"]) == (["news"] if end == "COMMIT" else [])
    hears_nothing_before(client, "a", other)


@pytest.mark.parametrize(
    "end", [["UNLISTEN a"], ["UNLISTEN *"], ["DISCARD ALL"], ["BEGIN", "UNLISTEN a", "COMMIT"]]
)
def test_what_is_notified_behind_an_unlisten_is_not_heard(
    client: psycopg.Connection, other: psycopg.Connection, end: list[str]
):
    client.execute("LISTEN a")
    assert in_one_breath(client, *([sql] for sql in end), ["NOTIFY a"], ["SELECT pg_sleep(0.05)"]) == []
    client.execute("LISTEN b")
    hears_nothing_before(client, "b", other)


@pytest.mark.parametrize("end", ["UNLISTEN a", "UNLISTEN *", "DISCARD ALL"])
def test_what_is_notified_ahead_of_an_unlisten_is_heard(client: psycopg.Connection, end: str):
    client.execute("LISTEN a")
    assert in_one_breath(client, ["NOTIFY a"], [end], ["NOTIFY a"], ["SELECT pg_sleep(0.05)"]) == ["a"]


@pytest.mark.parametrize("end", ["UNLISTEN a", "UNLISTEN *", "DISCARD ALL", "LISTEN a"])
def test_who_listens_to_nothing_waits_for_nothing(client: psycopg.Connection, end: str):
    client.execute("NOTIFY a")
    client.execute(end)
    client.execute(end)


def test_what_is_notified_behind_an_unlisten_that_was_rolled_back_is_heard(client: psycopg.Connection):
    client.execute("LISTEN a")
    in_one_breath(client, ["BEGIN"], ["UNLISTEN a"], ["ROLLBACK"])
    client.execute("NOTIFY a")
    assert [channel for channel, *_ in heard(client)] == ["a"]


def test_what_a_text_that_failed_would_have_discarded_is_heard(
    client: psycopg.Connection, other: psycopg.Connection
):
    client.execute("LISTEN a")
    with pytest.raises(psycopg.errors.ActiveSqlTransaction):
        client.execute("LISTEN a; DISCARD ALL")
    other.execute("NOTIFY a")
    assert [channel for channel, *_ in heard(client)] == ["a"]


def test_channels_are_shown_behind_a_request_that_failed(client: psycopg.Connection):
    client.execute("LISTEN a")
    *_, shown, _ = send_in_one_breath(client, ["EXECUTE nobody"], ["SELECT pg_listening_channels()"])
    assert [shown.get_value(row, 0) for row in range(shown.ntuples)] == [b"a"]


def send_in_one_breath(client: psycopg.Connection, *requests: list[str]) -> list[psycopg.pq.abc.PGresult]:
    """Send them all before the first answer is read, each with a Sync; all results, those of the Syncs among them."""
    line = client.pgconn
    line.enter_pipeline_mode()
    for request in requests:
        for sql in request:
            line.send_query_params(sql.encode(), [])
        line.pipeline_sync()
    line.flush()
    results: list[psycopg.pq.abc.PGresult] = []
    syncs = 0
    while syncs < len(requests):
        result = line.get_result()
        if result is not None:
            results.append(result)
            syncs += result.status == psycopg.pq.ExecStatus.PIPELINE_SYNC
    line.exit_pipeline_mode()
    return results


def in_one_breath(client: psycopg.Connection, *requests: list[str]) -> list[str]:
    """On which channels something was heard."""
    send_in_one_breath(client, *requests)
    return [notify.relname.decode() for notify in iter(client.pgconn.notifies, None)]


def test_listen_in_a_function_is_heard_when_a_function_notifies(client: psycopg.Connection):
    client.execute(
        "CREATE OR REPLACE FUNCTION tell(channel text) RETURNS void LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_notify(channel, 'told'); END $$"
    )
    for number in range(10):
        client.execute(f"DO $$ BEGIN EXECUTE 'LISTEN untold{number}'; END $$")
        client.execute(f"SELECT tell('untold{number}')")
        assert [channel for channel, *_ in heard(client)] == [f"untold{number}"]


def test_what_is_said_in_a_transaction_is_heard_at_its_end_and_not_if_it_fails(
    client: psycopg.Connection, other: psycopg.Connection
):
    client.execute("LISTEN a")
    other.execute("BEGIN; NOTIFY a, 'never'; ROLLBACK")
    with other.transaction():
        other.execute("NOTIFY a, 'one'")
        other.execute("NOTIFY a, 'two'")
    assert [payload for _, payload, _ in heard(client, 2)] == ["one", "two"]


@pytest.mark.parametrize(
    ("script", "channels"),
    [
        ("BEGIN; LISTEN x; COMMIT", ["x"]),
        ("BEGIN; LISTEN x; ROLLBACK", []),
        ("LISTEN x; LISTEN y", ["x", "y"]),
        ('LISTEN X; LISTEN "X"', ["X", "x"]),
        ("LISTEN x; UNLISTEN x", []),
        ("LISTEN x; LISTEN y; UNLISTEN *", []),
        ("LISTEN x; DISCARD ALL", []),
        ("BEGIN; LISTEN x; SAVEPOINT s; LISTEN y; ROLLBACK TO s; COMMIT", ["x"]),
        ("BEGIN; LISTEN x; UNLISTEN x; LISTEN x; COMMIT", ["x"]),
        ("LISTEN x; BEGIN; UNLISTEN x; ROLLBACK", ["x"]),
        ("LISTEN x; BEGIN; UNLISTEN *; LISTEN y; COMMIT", ["y"]),
        ("LISTEN x; LISTEN x", ["x"]),
        ("DO $$ BEGIN EXECUTE 'LISTEN x'; END $$", ["x"]),
    ],
)
def test_channels_are_those_of_a_direct_connection(
    module_database: Database, proxy: Proxy, client: psycopg.Connection, script: str, channels: list[str]
):
    with open_client(module_database.dsn) as direct:
        for statement in script.split("; ") if "DO" not in script else [script]:
            for connection in (direct, client):
                connection.execute(statement.encode())
        shown = [(channel,) for channel in channels]
        assert sorted(direct.execute("SELECT pg_listening_channels()").fetchall()) == shown
        assert sorted(client.execute("SELECT pg_listening_channels()").fetchall()) == shown
        assert sorted(look_elsewhere(proxy, client, "channels")["channels"]) == shown
        for channel in ("x", "y", "X"):
            direct.execute("SELECT pg_notify(%s, %s)", [channel, channel])
        client.execute("LISTEN last")
        direct.execute("NOTIFY last")
        told = heard(client, len(channels) + 1)
        assert sorted(name for name, _, _ in told) == sorted([*channels, "last"])


@pytest.mark.parametrize("prepare", [False, True])
def test_listen_by_the_extended_protocol(
    proxy: Proxy, client: psycopg.Connection, other: psycopg.Connection, prepare: bool
):
    client.execute("LISTEN a", prepare=prepare, binary=True)
    with elsewhere(proxy, client):
        client.execute("LISTEN b", prepare=prepare, binary=True)
    other.execute("NOTIFY a, '1'")
    other.execute("NOTIFY b, '2'")
    assert [told[:2] for told in heard(client, 2)] == [("a", "1"), ("b", "2")]
    client.execute("UNLISTEN a", prepare=prepare, binary=True)
    other.execute("NOTIFY a, '3'")
    hears_nothing_before(client, "b", other)


def test_notification_for_a_client_in_a_transaction_comes_behind_it(
    client: psycopg.Connection, other: psycopg.Connection
):
    client.execute("LISTEN a")
    told: list[str] = []
    client.add_notify_handler(lambda notify: told.append(notify.payload))
    client.execute("BEGIN")
    other.execute("NOTIFY a, 'now'")
    for _ in range(5):
        client.execute("SELECT 1")
    assert told == []
    client.execute("COMMIT")

    def has_come() -> bool:
        client.execute("SELECT 1")
        return told == ["now"]

    until(has_come, "the notification behind the transaction")


def test_client_that_vanished_is_forgotten(proxy: Proxy, other: psycopg.Connection):
    with open_client(proxy.dsn()) as gone:
        gone.execute("LISTEN a")
    with open_client(proxy.dsn()) as fresh:
        assert fresh.execute("SELECT pg_listening_channels()").fetchall() == []
        other.execute("NOTIFY a, 'nobody'")
        fresh.execute("LISTEN b")
        hears_nothing_before(fresh, "b", other)


def test_listening_connection_that_is_killed_is_opened_again_and_its_listeners_told(
    module_database: Database, client: psycopg.Connection, other: psycopg.Connection
):
    notices: list[str] = []
    client.add_notice_handler(lambda notice: notices.append(str(notice.sqlstate)))
    client.execute("LISTEN a")
    other.execute("NOTIFY a, 'before'")
    heard(client)
    with connect(module_database.server, module_database.name) as admin:
        assert admin.execute(f"SELECT pg_terminate_backend(pid) {LISTENING}").fetchall() == [(True,)]

    def was_told() -> bool:
        client.execute("SELECT 1")
        return notices == ["01000"]

    until(was_told, "the notice that something may be missing")
    other.execute("NOTIFY a, 'after'")
    assert [told[:2] for told in heard(client)] == [("a", "after")]


async def test_a_thousand_listeners_are_served_by_one_connection(module_database: Database, proxy: Proxy):
    async with AsyncExitStack() as stack:
        answers: list[asyncio.Future[str]] = []

        async def listen(number: int) -> None:
            connection = await asyncpg.connect(proxy.dsn())
            stack.push_async_callback(connection.close)
            answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            await connection.add_listener("all", lambda *told: answer.done() or answer.set_result(told[3]))
            answers.append(answer)

        for start in range(0, THOUSAND, 50):
            await asyncio.gather(*(listen(start + number) for number in range(50)))
        direct = await asyncpg.connect(module_database.dsn)
        stack.push_async_callback(direct.close)
        assert await direct.fetchval(f"SELECT count(*) {LISTENING}") == 1
        await direct.execute("NOTIFY \"all\", 'hello'")
        async with asyncio.timeout(PATIENCE):
            assert await asyncio.gather(*answers) == ["hello"] * THOUSAND
