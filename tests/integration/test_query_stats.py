"""What is counted of statements, held against PostgreSQL's own pg_stat_statements."""

import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import psycopg
import psycopg.rows
import pytest

from dbproxy.demo.postgres import Postgres
from dbproxy.observe.snapshots import Snapshot, write
from tests.support.blocking_client import BlockingClient, Message, error_of
from tests.support.postgres import Database, connect, create_cluster, create_database, wait_for_replay
from tests.support.proxy import Proxy
from tests.support.serving import serving, wait_until
from tests.support.speech import COPY_DONE, FLUSH, SYNC, bind, copy_data, execute, function_call, parse, query

READ = "SELECT abalance FROM accounts WHERE aid = "


@pytest.fixture(scope="module")
def counting() -> Iterator[Postgres]:
    """A primary with pg_stat_statements."""
    with create_cluster(shared_preload_libraries="pg_stat_statements") as server:
        yield server


@pytest.fixture(scope="module")
def database(counting: Postgres) -> Iterator[Database]:
    with create_database(counting) as fresh:
        with connect(counting, fresh.name) as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")
            connection.execute(
                "CREATE TABLE accounts AS SELECT g AS aid, 0 AS abalance FROM generate_series(1, 100) g"
            )
            connection.execute("ALTER TABLE accounts ADD PRIMARY KEY (aid)")
            connection.execute("CREATE TABLE copied (id int)")
            connection.execute("CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
            connection.execute("GRANT ALL ON accounts, copied, late TO app")
        yield fresh


@pytest.fixture
def proxy(database: Database) -> Iterator[Proxy]:
    with connect(database.server, database.name) as connection:
        connection.execute("SELECT pg_stat_statements_reset()")
    settings = {"pool.size": 3, "pool.reserve_size": 0, "auth.type": "trust", "auth.admin_users": "app"}
    with serving(database, settings) as running:
        yield running


def ask(proxy: Proxy, path: str = "", **words: str) -> Any:
    with urlopen(f"{proxy.http_url}/metrics/queries{path}?{urlencode(words)}") as answer:
        return json.load(answer)


def rows(proxy: Proxy, **words: str) -> list[dict[str, Any]]:
    return list(ask(proxy, limit="0", **words)["queries"])


def find(proxy: Proxy, part: str, **words: str) -> dict[str, Any]:
    found = [row for row in rows(proxy, **words) if part in row["text"]]
    assert len(found) == 1, [row["text"] for row in rows(proxy)]
    return found[0]


def level(text: str) -> str:
    """A text as both have it: no values, whichever way they are left out."""
    return re.sub(r"\$[\d?]+|\b\d+\b", "?", re.sub(r"\s+", " ", text)).strip().rstrip(";").lower()


def seen_by_postgres(database: Database) -> dict[str, tuple[int, int]]:
    found: Counter[str] = Counter()
    returned: Counter[str] = Counter()
    with connect(database.server, database.name) as connection:
        told = connection.execute(
            "SELECT query, calls, rows FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid "
            "WHERE d.datname = %s AND toplevel",
            [database.name],
        ).fetchall()
    for text, calls, count in told:
        found[level(text)] += calls
        returned[level(text)] += count
    return {text: (found[text], returned[text]) for text in found}


def seen_by_proxy(proxy: Proxy) -> dict[str, tuple[int, int]]:
    """Those that PostgreSQL counts, too: it counts no errors."""
    found: dict[str, tuple[int, int]] = {}
    for row in rows(proxy):
        calls, count = found.get(level(row["text"]), (0, 0))
        found[level(row["text"])] = calls + row["calls"] - row["errors"], count + row["rows"]
    return found


class Mix:
    """One client that sends all kinds of requests, and counts the errors that it gets."""

    def __init__(self, proxy: Proxy, database: Database, seed: int) -> None:
        self.random = random.Random(seed)
        self.client = BlockingClient(proxy.host, proxy.port, user="app", database=database.name)
        self.statements = 0
        self.errors: Counter[str] = Counter()
        self.prepared = False

    def run(self, statements: int) -> None:
        kinds = [
            self.simple, self.write, self.fail, self.extended, self.named, self.pipelined, self.broken, self.copy,
            self.fetch, self.transaction, self.late, self.empty, self.flushed, self.missing, self.interleaved,
        ]  # fmt: skip
        while self.statements < statements:
            self.random.choice(kinds)()
        self.client.close()

    def ask(self, statements: int, *messages: bytes) -> list[Message]:
        answer = self.client.ask(*messages)
        self.statements += statements
        self.errors.update([error_of([part])["C"] for part in answer if part[0] == "E"])
        return answer

    def number(self) -> int:
        return self.random.randint(1, 100)

    def simple(self) -> None:
        self.ask(1, query(f"{READ}{self.number()}"))

    def write(self) -> None:
        self.ask(1, query(f"UPDATE accounts SET abalance = {self.number()} WHERE aid < {self.number() % 5}"))

    def fail(self) -> None:
        self.ask(1, query(f"SELECT {self.number()} / 0 AS failing"))

    def empty(self) -> None:
        self.ask(0, parse("", ""), bind(""), execute(), SYNC)

    def extended(self) -> None:
        self.ask(1, parse("", f"{READ}$1"), bind("", str(self.number())), execute(), SYNC)

    def named(self) -> None:
        if not self.prepared:
            self.ask(0, parse("reads", "SELECT count(*) FROM accounts WHERE aid < $1"), SYNC)
            self.prepared = True
        self.ask(1, bind("reads", str(self.number())), execute(), SYNC)

    def pipelined(self) -> None:
        messages = []
        many = self.random.randint(2, 8)
        for number in range(many):
            text = f"SELECT {'g, ' * (number % 3)}g FROM generate_series(1, $1) g"
            messages += [parse("", text), bind("", str(self.random.randint(0, 50))), execute()]
        self.ask(many, *messages, SYNC)

    def broken(self) -> None:
        """The third fails: the fourth is not reached, and the first two are undone."""
        values = [str(self.number()), str(self.number()), "no number", "1"]
        messages = [parse("", "SELECT $1::int AS broken")]
        for value in values:
            messages += [bind("", value), execute()]
        self.ask(3, *messages, SYNC)

    def copy(self) -> None:
        self.client.send(query("COPY copied FROM STDIN"))
        while self.client.read()[0] != "G":
            continue
        self.ask(1, *[copy_data(b"%d\n" % number) for number in range(self.number())], COPY_DONE)
        self.ask(1, query("COPY (SELECT * FROM generate_series(1, 7)) TO STDOUT"))

    def fetch(self) -> None:
        """In parts, to the end or not."""
        text = "SELECT abs(g) FROM generate_series(1, 25) g"
        parts = [execute(max_rows=10)] * self.random.randint(1, 4)
        self.ask(1, parse("", text), bind(""), *parts, SYNC)

    def interleaved(self) -> None:
        """Two portals, by turns."""
        one, other = "SELECT -g FROM generate_series(1, 5) g", "SELECT +g FROM generate_series(1, 9) g"
        self.ask(
            2, parse("", one), bind("", portal="one"), parse("", other), bind("", portal="other"),
            execute("one", 3), execute("other", 4), execute("one"), execute("other"), SYNC,
        )  # fmt: skip

    def flushed(self) -> None:
        self.client.send(parse("", f"{READ}$1 AND aid IS NOT NULL"), FLUSH)
        assert self.client.read()[0] == "1"
        self.ask(1, bind("", str(self.number())), execute(), SYNC)

    def transaction(self) -> None:
        self.ask(1, query("BEGIN"))
        for _ in range(self.random.randint(1, 4)):
            self.simple()
        self.ask(1, query("COMMIT"))

    def late(self) -> None:
        """Fails at the Sync, where all has been done."""
        self.ask(
            1,
            parse("", "INSERT INTO late SELECT $1::int FROM generate_series(1, 2)"),
            bind("", "1"),
            execute(),
            SYNC,
        )

    def missing(self) -> None:
        self.ask(1, parse("", "SELECT nothing FROM nowhere"), bind(""), execute(), SYNC)


@pytest.mark.parametrize(
    "statements", [4000, pytest.param(100_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
def test_calls_and_rows_are_those_of_postgresql(proxy: Proxy, database: Database, statements: int):
    mixes = [Mix(proxy, database, seed) for seed in range(4)]
    threads = [threading.Thread(target=mix.run, args=[statements // len(mixes)]) for mix in mixes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ours, theirs = seen_by_proxy(proxy), seen_by_postgres(database)
    missing = {text: ours[text] for text in ours if text not in theirs and ours[text][0]}
    assert missing.keys() <= {"(empty)"}
    late = level(
        "INSERT INTO late SELECT $1::int FROM generate_series(1, 2)"
    )  # to PostgreSQL it ended well, and its client got an error
    failed = find(proxy, "INTO late")
    assert (theirs.pop(late)[0], ours.pop(late)[0]) == (failed["calls"], 0)
    assert {text: found for text, found in ours.items() if text in theirs and found != theirs[text]} == {}
    errors = sum((mix.errors for mix in mixes), Counter[str]())
    counted: Counter[str] = Counter()
    for row in rows(proxy):
        counted.update({state: int(n) for state, n in (word.split(":") for word in row["states"].split())})
    assert counted == errors


def test_cancelled_query_is_a_call_with_its_error(proxy: Proxy, database: Database):
    with BlockingClient(proxy.host, proxy.port, user="app", database=database.name) as client:
        client.send(query("SELECT pg_sleep(60), 'cancelled'"))
        wait_until(database, "exists(SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')")
        client.cancel()
        assert error_of(client.read_until_ready())["C"] == "57014"
    row = find(proxy, "pg_sleep")
    assert (row["calls"], row["errors"], row["lost"], row["states"]) == (1, 1, 0, "57014:1")


def test_query_whose_client_leaves_is_lost(proxy: Proxy, database: Database):
    client = BlockingClient(proxy.host, proxy.port, user="app", database=database.name)
    client.send(query("SELECT pg_sleep(60), 'lost'"))
    wait_until(database, "exists(SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')")
    client.vanish()
    wait_until(database, "NOT exists(SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')")
    row = find(proxy, "pg_sleep")
    assert (row["calls"], row["errors"], row["lost"]) == (1, 1, 1)


def test_query_whose_server_is_lost_fails_once(proxy: Proxy, database: Database):
    with BlockingClient(proxy.host, proxy.port, user="app", database=database.name) as client:
        client.send(query("SELECT pg_sleep(60), 'terminated'"))
        wait_until(database, "exists(SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')")
        with connect(database.server, database.name) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            )
        with pytest.raises(ConnectionError):
            client.read_until_ready()
    row = find(proxy, "pg_sleep")
    assert (row["calls"], row["errors"]) == (1, 1)


def test_waiting_for_a_server_is_told_from_running(proxy: Proxy, database: Database):
    holders = [psycopg.connect(proxy.dsn(database.name)) for _ in range(3)]
    for holder in holders:
        holder.execute("SELECT 1")
    with BlockingClient(proxy.host, proxy.port, user="app", database=database.name) as client:
        client.send(parse("", "SELECT 'who waits'"), bind(), execute(), SYNC)
        with psycopg.connect(proxy.dsn("dbproxy"), autocommit=True) as console:
            console.prepare_threshold = None
            while not psycopg.ClientCursor(console).execute("SHOW POOLS").fetchone()[3]:  # type: ignore[index]
                continue
        with connect(database.server) as clock:
            clock.execute("SELECT pg_sleep(0.3)")
        for holder in holders:
            holder.close()
        client.read_until_ready()
    row = find(proxy, "SELECT $", kind="read", sort="wait")
    assert row["wait_us"] >= 250_000
    assert row["run_us"] < 100_000
    assert row["wait_us"] + row["run_us"] + row["stall_us"] == row["total_us"]


def test_client_that_leaves_an_answer_unread_has_stalled(proxy: Proxy, database: Database):
    client = BlockingClient(proxy.host, proxy.port, user="app", database=database.name)
    client.send(query("SELECT repeat('y', 1000) FROM generate_series(1, 50000)"))
    wait_until(database, "exists(SELECT FROM pg_stat_activity WHERE wait_event = 'ClientWrite')")
    with connect(database.server) as clock:
        clock.execute("SELECT pg_sleep(0.5)")
    client.vanish()
    wait_until(database, "NOT exists(SELECT FROM pg_stat_activity WHERE wait_event = 'ClientWrite')")
    row = find(proxy, "repeat")
    assert (row["calls"], row["lost"]) == (1, 1)
    assert row["stall_us"] >= 400_000
    assert row["bytes_sent"] > 100_000


def test_query_that_gets_no_server_is_a_failed_call_of_its_statement(database: Database):
    settings = {
        "pool.size": 1,
        "pool.reserve_size": 0,
        "pool.query_wait_timeout": "200ms",
        "auth.type": "trust",
    }
    with serving(database, settings) as proxy:
        enter = {"user": "app", "database": database.name}
        with BlockingClient(proxy.host, proxy.port, **enter) as holder:
            holder.ask(query("BEGIN"))
            with BlockingClient(proxy.host, proxy.port, **enter) as client:
                for messages in (
                    [query("SELECT 1 AS vain")],
                    [parse("", "SELECT 2 AS vain"), bind(), execute(), SYNC],
                ):
                    answer = client.ask(*messages)
                    assert "query_wait_timeout" in error_of(answer)["M"]
        row = find(proxy, "vain")
        assert (row["calls"], row["errors"], row["rows"]) == (2, 2, 0)
        assert row["total_us"] == row["wait_us"] >= 400_000
        assert row["states"] == f"{error_of(answer)['C']}:2"


def test_function_calls_are_counted(proxy: Proxy, database: Database):
    with BlockingClient(proxy.host, proxy.port, user="app", database=database.name) as client:
        client.ask(function_call(1317, b"length"))
        client.ask(function_call(99_999_999, b"no such function"))
    row = find(proxy, "(function call)")
    assert (row["calls"], row["errors"], row["states"]) == (2, 1, "42883:1")


@pytest.mark.parametrize("seconds", [1, pytest.param(30, marks=pytest.mark.soak)])
def test_client_that_does_not_read_stalls(proxy: Proxy, database: Database, seconds: int):
    """What it does not take for so long is no time of the server's."""
    with BlockingClient(proxy.host, proxy.port, user="app", database=database.name) as client:
        client.send(query("SELECT repeat('x', 1000) FROM generate_series(1, 50000)"))
        wait_until(database, "exists(SELECT FROM pg_stat_activity WHERE wait_event = 'ClientWrite')")
        with connect(database.server) as clock:
            clock.execute("SELECT pg_sleep(%s)", [seconds])
        client.read_until_ready()
    row = find(proxy, "repeat")
    assert row["calls"] == 1
    assert row["stall_us"] >= (seconds - 0.1) * 1e6
    assert row["rows"] == 50_000
    assert row["bytes_sent"] > 50_000_000
    assert row["wait_us"] + row["run_us"] + row["stall_us"] == row["total_us"]


def test_unique_comments_and_values_make_no_new_entry(proxy: Proxy, database: Database):
    with BlockingClient(proxy.host, proxy.port, user="app", database=database.name) as client:
        for number in range(300):
            comment = f"/*traceparent='00-{number:032x}-{number:016x}-01'*/"
            client.ask(query(f"SELECT {number} AS commented {comment}"))
            client.ask(parse("", f"SELECT {number} AS commented {comment}"), bind(), execute(), SYNC)
    assert find(proxy, "commented")["calls"] == 600


def test_replicas_are_told_from_the_primary(hosts: list[Postgres]):
    primary, *replicas = hosts
    with create_database(primary) as fresh:
        with connect(primary, fresh.name) as connection:
            connection.execute("CREATE TABLE routed (id int)")
            connection.execute("GRANT ALL ON routed TO app")
        for replica in replicas:
            wait_for_replay(primary, replica)
        urls = ",".join(replica.dsn(fresh.name, fresh.user, fresh.password) for replica in replicas)
        settings = {"replicas": urls, "auth.type": "trust", "routing.slow_start": "0s"}
        with serving(fresh, settings) as proxy:
            with psycopg.connect(proxy.dsn(), autocommit=True, cursor_factory=psycopg.ClientCursor) as client:
                client.execute("INSERT INTO routed VALUES (1)")
                asked = 0
                while not rows(proxy, role="replica"):
                    client.execute("SELECT id FROM routed")
                    asked += 1
            reads = [row for row in rows(proxy) if "SELECT id" in row["text"]]
            assert sum(row["calls"] for row in reads) == asked
            assert find(proxy, "INSERT")["role"] == "primary"


def test_session_mode_is_counted_too(database: Database):
    settings = {"pool.mode": "session", "auth.type": "trust"}
    with serving(database, settings) as proxy, psycopg.connect(proxy.dsn(), autocommit=True) as client:
        client.execute("SELECT 1 AS simple")
        client.execute("SELECT %s AS extended", ["x"])
        client.execute("SELECT %s AS prepared", ["x"], prepare=True)
        client.execute("SELECT %s AS prepared", ["x"], prepare=True)
        assert find(proxy, "simple")["calls"] == 1
        assert find(proxy, "extended")["calls"] == 1
        assert find(proxy, "prepared")["calls"] == 2


def test_execute_in_sql_is_counted_as_what_was_prepared(proxy: Proxy):
    statement = "SELECT abalance AS executed FROM accounts WHERE aid = $1"
    with psycopg.connect(proxy.dsn(), autocommit=True, cursor_factory=psycopg.ClientCursor) as client:
        client.execute(f"PREPARE by_sql(int) AS {statement}")
        for number in range(1, 4):
            client.execute(f"EXECUTE by_sql({number})")
    (row,) = [row for row in rows(proxy) if row["text"] == statement]
    assert (row["calls"], row["rows"]) == (3, 3)


def test_patterns_are_told(proxy: Proxy, database: Database):
    with psycopg.connect(proxy.dsn()) as client:
        for number in range(25):
            client.execute("SELECT abalance FROM accounts WHERE aid = %s", [number])
        client.commit()
    with psycopg.connect(proxy.dsn(), autocommit=True, cursor_factory=psycopg.ClientCursor) as client:
        for number in range(2100):
            client.execute(f"SELECT {number} AS spelled_out")
    assert find(proxy, "aid = ")["patterns"] == "loop lone_read"
    assert find(proxy, "spelled_out")["patterns"] == "many_texts"
    habits = ask(proxy, f"/{find(proxy, 'aid = ')['id']}")["queries"][0]["habits"]
    assert (habits["loops"], habits["longest_loop"], habits["lone_reads"]) == (1, 25, 1)


def test_idle_transaction_is_told_by_the_statement_before(proxy: Proxy, database: Database):
    with psycopg.connect(proxy.dsn()) as client, connect(database.server) as clock:
        client.execute("UPDATE accounts SET abalance = 1 WHERE aid = 1")
        clock.execute("SELECT pg_sleep(1.1)")
        client.execute("UPDATE accounts SET abalance = 2")
    assert find(proxy, "aid = ")["patterns"] == "idle_in_transaction"
    assert find(proxy, "BEGIN")["patterns"] == ""


def test_snapshots_are_compared(database: Database, tmp_path: Path):
    """A day ago, by a file of then, and now."""
    settings = {"auth.type": "trust", "query_stats.state_dir": str(tmp_path)}
    with serving(database, settings) as proxy:
        with psycopg.connect(proxy.dsn(), autocommit=True) as client:
            for _ in range(100):
                client.execute("SELECT 1 AS more_often")
            for _ in range(25):
                client.execute("SELECT pg_sleep(0.002) AS slow_now")
            client.execute("SELECT 1 AS newly_written")
        known = {word: find(proxy, word) for word in ("more_often", "slow_now")}
        old = [known["more_often"] | {"calls": 20}, known["slow_now"] | {"p95_us": 100}]
        old.append(known["slow_now"] | {"id": "0123456789abcdef", "text": "SELECT no_more"})
        write(tmp_path, Snapshot(time.time() - 86400, 3600.0, old))
        command = [sys.executable, "-m", "dbproxy", "queries"]
        environment = os.environ | {"DBPROXY_HTTP__PORT": str(proxy.http_port)}
        shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        assert "SELECT $? AS more_often" in shown
        environment["DBPROXY_QUERY_STATS__STATE_DIR"] = str(tmp_path)
        done = subprocess.run(
            [*command, "diff", "--against", "24h"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    found = {
        (line.split("  ")[0].strip(), word)
        for line in done.stdout.splitlines()[1:]
        for word in ("newly_written", "no_more", "slow_now", "more_often")
        if word in line
    }
    assert {
        ("new", "newly_written"),
        ("gone", "no_more"),
        ("slower", "slow_now"),
        ("more frequent", "more_often"),
    } <= found


def test_console_http_and_metrics_say_the_same(proxy: Proxy, database: Database):
    with psycopg.connect(proxy.dsn(), autocommit=True) as client:
        for number in range(10):
            client.execute("SELECT %s AS same", [number])
    told = find(proxy, "same")
    with psycopg.connect(
        proxy.dsn("dbproxy"),
        autocommit=True,
        cursor_factory=psycopg.ClientCursor,
        row_factory=psycopg.rows.dict_row,
    ) as console:
        shown = console.execute("SHOW QUERIES WINDOW '5m' ORDER BY calls LIMIT 1").fetchall()
        assert {name: shown[0][name] for name in told} == told
        assert (len(shown), shown[0]["window"]) == (1, "5m")
        windows = console.execute(f"SHOW QUERY {told['id']}").fetchall()
        assert [row["window"] for row in windows] == ["1m", "5m", "15m", "1h", "reset"]
        with urlopen(f"{proxy.http_url}/metrics") as answer:
            metrics = answer.read().decode()
        assert f"dbproxy_query_stats_entries {len(rows(proxy))}.0\n" in metrics
        assert "dbproxy_query_stats_evicted_total 0.0\n" in metrics
        console.execute("RESET QUERIES")
        assert rows(proxy) == []
        with pytest.raises(psycopg.Error, match="window must be one of 1m, 5m"):
            console.execute("SHOW QUERIES WINDOW '2m'")


def test_nothing_is_counted_where_monitoring_is_off(database: Database):
    settings = {"query_stats.enabled": False, "auth.type": "trust", "auth.admin_users": "app"}
    with serving(database, settings) as proxy:
        with psycopg.connect(proxy.dsn(), autocommit=True) as client:
            assert client.execute("SELECT %s", ["x"]).fetchone() == ("x",)
        with pytest.raises(HTTPError) as raised:
            ask(proxy)
        assert raised.value.code == 404
        assert "QUERY_MONITORING_ENABLED" in json.load(raised.value)["error"]
