"""Spans of requests as a collector gets them, from a proxy in front of real PostgreSQL."""

import secrets
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import asyncpg
import psycopg
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings
from prometheus_client.parser import text_string_to_metric_families

from dbproxy.demo.postgres import free_port
from dbproxy.observe.outbox import BATCH, LIMIT
from tests.support.blocking_client import BlockingClient
from tests.support.collector import Collector, attributes
from tests.support.postgres import Database, connect
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.speech import SYNC, bind, describe, execute, parse

STOP_TIMEOUT = (
    20  # seconds until the test gives up; that tracing takes under 5 of them is tests/unit/observe/test_otlp
)
SETTINGS = {
    "pool.size": 2, "pool.reserve_size": 0, "auth.type": "trust", "tracing.mode": "on", "tracing.sample_rate": "0",
    "slow_query.threshold": "60s", "tracing.interval": "20ms",
    "tracing.max_spans_per_second": 0, "auth.admin_users": "app",
}  # fmt: skip


def parent(flags: str = "01") -> str:
    """Another one each time."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-{flags}"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def proxy(module_database: Database, collector: Collector) -> Iterator[Proxy]:
    with serving(module_database, {**SETTINGS, "tracing.endpoint": collector.url}) as running:
        with psycopg.connect(running.dsn(), autocommit=True) as first:
            first.execute("CREATE TABLE orders (id int PRIMARY KEY, note text CHECK (note <> 'bad'))")
        yield running


@pytest.fixture
def client(proxy: Proxy) -> Iterator[psycopg.Connection]:
    with psycopg.connect(proxy.dsn(), autocommit=True) as connected:
        yield connected


def spans_of(collector: Collector, context: str, count: int = 1) -> list[Span]:
    """Those of this trace, once there are so many."""
    return collector.find(lambda span: span.trace_id.hex() == context[3:35], count)


def spans_metric(proxy: Proxy) -> dict[str, float]:
    """By outcome."""
    with urllib.request.urlopen(f"{proxy.http_url}/metrics") as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    (spans,) = [family for family in families if family.name == "dbproxy_spans"]
    return {sample.labels["outcome"]: sample.value for sample in spans.samples}


# --- whose, and what of it ---


@pytest.mark.parametrize("threshold", [0, None], ids=["prepared", "unprepared"])
def test_request_is_a_child_of_its_clients_span(
    client: psycopg.Connection, collector: Collector, module_database: Database, threshold: int | None
):
    client.prepare_threshold, context = threshold, parent()
    client.execute(
        f"SELECT * FROM orders WHERE note = %s /*route='%%2Fitems',traceparent='{context}'*/", ["x"]
    )
    (span,) = collector.find(
        lambda span: span.trace_id.hex() == context[3:35] and span.name == "SELECT orders"
    )
    assert (span.name, span.kind, span.parent_span_id.hex()) == (
        "SELECT orders",
        Span.SPAN_KIND_CLIENT,
        context[36:52],
    )
    said = attributes(span)
    assert said["db.query.text"] == "SELECT * FROM orders WHERE note = $1"
    assert (said["db.namespace"], said["dbproxy.tag.route"]) == (module_database.name, "/items")
    assert (said["server.port"], said["db.response.returned_rows"]) == (module_database.server.port, 0)
    assert said["dbproxy.statement.prepared"] is (threshold == 0)
    assert span.start_time_unix_nano < span.end_time_unix_nano


def test_session_names_its_parent(proxy: Proxy, client: psycopg.Connection, collector: Collector):
    setting, name = parent(), parent()
    client.execute(f"SET dbproxy.traceparent = '{setting}'")
    client.execute("SELECT 7")
    assert spans_of(collector, setting)[-1].parent_span_id.hex() == setting[36:52]
    with psycopg.connect(proxy.dsn(), autocommit=True, application_name=f"job {name}") as named:
        named.execute("SELECT 8")
    assert spans_of(collector, name)[0].parent_span_id.hex() == name[36:52]


def is_linked(context: str, span: Span) -> bool:
    return any(link.trace_id.hex() == context[3:35] for link in span.links)


ERRORS = {
    "SELECT 1 / 0": "22012",
    "SELECT 'x'::int": "22P02",
    "SELECT * FROM nowhere": "42P01",
    "SELECT nothing FROM orders": "42703",
    "SELECT no_function()": "42883",
    "SELEC 1": "42601",
    "INSERT INTO orders VALUES (1), (1)": "23505",
    "INSERT INTO orders VALUES (NULL)": "23502",
    "INSERT INTO orders VALUES (2, 'bad')": "23514",
    "SELECT 2147483647 + 1": "22003",
    "SELECT '2020-13-01'::date": "22008",
    "SELECT (ARRAY[1])[1:2] || 'x'": "22P02",
    "SET work_mem = 'much'": "22023",
    "SELECT pg_read_file('/etc/passwd')": "42501",
    "CREATE TABLE orders ()": "42P07",
    "DROP TABLE nowhere": "42P01",
    "DO $$ BEGIN RAISE 'no'; END $$": "P0001",
    "SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(1)": "57014",
    "EXECUTE nothing": "26000",
    "FETCH FROM nothing": "34000",
}


def test_failed_requests_are_always_told_with_their_sqlstate(
    client: psycopg.Connection, collector: Collector
):
    for text, sqlstate in ERRORS.items():
        context = parent("00")
        with pytest.raises(psycopg.Error) as raised:
            client.execute(f"{text} /*traceparent='{context}'*/")
        assert raised.value.sqlstate == sqlstate
        (span,) = collector.find(partial(is_linked, context))
        said = attributes(span)
        assert (said["db.response.status_code"], said["error.type"], said["dbproxy.kept"]) == (
            sqlstate,
            sqlstate,
            "error",
        )
        assert not span.parent_span_id


@pytest.mark.parametrize(
    ("text", "returned", "affected"),
    [
        ("SELECT generate_series(1, 5000)", 5000, None),
        ("INSERT INTO orders SELECT generate_series(100, 109)", None, 10),
        ("UPDATE orders SET note = 'x' WHERE id BETWEEN 100 AND 103", None, 4),
        ("DELETE FROM orders", None, 10),
        ("SELECT 1; SELECT 2", 2, None),
        ("SET work_mem = '1MB'", None, None),
    ],
)
def test_rows_are_counted(
    client: psycopg.Connection, collector: Collector, text: str, returned: int | None, affected: int | None
):
    client.execute("DELETE FROM orders")
    if "INSERT" not in text:
        client.execute("INSERT INTO orders SELECT generate_series(100, 109)")
    context = parent()
    client.execute(f"{text} /*traceparent='{context}'*/")
    said = attributes(spans_of(collector, context)[0])
    assert (said.get("db.response.returned_rows"), said.get("dbproxy.affected_rows")) == (returned, affected)


def test_wait_for_a_server_is_a_span_inside(proxy: Proxy, collector: Collector):
    """The pool has two servers; the third client waits until it is seen to."""
    context = parent()
    with (
        psycopg.connect(proxy.dsn()) as one,
        psycopg.connect(proxy.dsn()) as two,
        psycopg.connect(proxy.dsn(), autocommit=True) as waiting,
        psycopg.connect(proxy.dsn("dbproxy"), autocommit=True) as console,
    ):
        one.execute("SELECT 1")
        two.execute("SELECT 1")
        thread = threading.Thread(target=waiting.execute, args=(f"SELECT 9 /*traceparent='{context}'*/",))
        thread.start()
        while not any(row[3] for row in console.execute("SHOW POOLS") if row[1] == "app"):
            continue
        one.execute("SELECT pg_sleep(0.01)")
        one.commit()
        thread.join()
    span, wait = spans_of(collector, context, 2)
    assert (wait.name, wait.parent_span_id) == ("pool.wait", span.span_id)
    assert attributes(span)["dbproxy.pool.wait_us"] >= 1000


async def test_unique_parents_leave_prepared_statements_as_they_are(proxy: Proxy, collector: Collector):
    """1,000 requests, each with a Parse of its own: PostgreSQL is sent no more of them than it has servers."""
    contexts = [parent() for _ in range(1000)]
    with psycopg.connect(proxy.dsn("dbproxy"), autocommit=True) as console:

        def parses() -> tuple[int, int]:
            cursor = console.execute("SHOW STATS")
            assert cursor.description is not None
            names = [column.name for column in cursor.description]
            (found,) = [row for row in cursor if row[0] == proxy.url.rpartition("/")[2]]
            return found[names.index("total_client_parse_count")], found[
                names.index("total_server_parse_count")
            ]

        before = parses()
        client = await asyncpg.connect(proxy.dsn(), statement_cache_size=0)
        for context in contexts:
            statement = await client.prepare(
                f"SELECT id FROM orders WHERE id = $1 /*traceparent='{context}'*/", name=f"s{context[3:20]}"
            )
            await statement.fetch(1)
        await client.close()
        asked, sent = (after - ago for after, ago in zip(parses(), before, strict=True))
    assert asked >= 1000
    assert sent <= 2
    wanted = {context[3:35] for context in contexts}
    found = collector.find(lambda span: span.trace_id.hex() in wanted and span.name == "SELECT orders", 1000)
    assert {(span.trace_id.hex(), span.parent_span_id.hex()) for span in found} == {
        (context[3:35], context[36:52]) for context in contexts
    }


def test_postgresql_parses_ten_thousand_texts_that_differ_in_their_parent_once_for_each_server(
    database: Database, collector: Collector
):
    """As PostgreSQL itself says: its log has each Parse that takes longer than nothing."""
    text, batch = "SELECT 17 + $1::int AS parsed_once", 100
    with connect(database.server) as owner:
        owner.execute(f'ALTER DATABASE "{database.name}" SET log_min_duration_statement = 0')
    with serving(database, {**SETTINGS, "tracing.endpoint": collector.url}) as proxy, ExitStack() as stack:
        clients = [
            stack.enter_context(BlockingClient(proxy.host, proxy.port, user="app", database=database.name))
            for _ in range(2)
        ]

        def ask(client: BlockingClient, names: list[str]) -> None:
            messages = []
            for name in names:
                messages += [parse(name, f"{text} /*traceparent='{parent()}'*/"), describe(name)]
                messages += [bind(name, "1"), execute()]
            answer = client.ask(*messages, SYNC)
            assert [kind for kind, _ in answer].count("C") == len(names)

        ask(clients[0], ["first"])  # what is answered is shared; a pipeline ahead of that parses for itself
        for number in range(0, 10_000, batch):
            ask(clients[number // batch % 2], [f"s{number + place}" for place in range(batch)])
    log = database.server.log()
    parsed = [line for line in log.splitlines() if " parse dbproxy_" in line and text in line]
    assert 1 <= len(parsed) <= 2, parsed[:5] + parsed[-5:]
    assert log.count(f": {text}") >= 10_000  # executed were all


def test_secrets_are_in_no_span(proxy: Proxy, client: psycopg.Connection, collector: Collector):
    canary, context = "c4n4ry7", parent()
    tags = f"/*job='password%3D{canary}',traceparent='{context}'*/"
    client.execute(f"SELECT '{canary}', $x${canary}$x$, E'\\'{canary}' {tags}")
    client.execute(f"SELECT %s::text, %s {tags.replace('%', '%%')}", [canary, canary.encode()], prepare=True)
    with pytest.raises(psycopg.Error):
        client.execute(f"SELECT '{canary}'::int {tags}")
    with pytest.raises(psycopg.Error):
        client.execute(f"ALTER ROLE app PASSWORD '{canary}' oops {tags}")
    client.execute("CREATE TABLE copied (t text)")
    with client.cursor().copy("COPY copied FROM STDIN") as copy:
        copy.write_row([canary])
    client.execute(f"SELECT 'last' {tags}")
    spans_of(collector, context, 5)
    assert not [request for request in collector.requests if canary.encode() in request.SerializeToString()]


def test_requests_to_our_own_endpoints(module_database: Database, collector: Collector):
    settings = {**SETTINGS, "tracing.endpoint": collector.url, "tracing.http": "true"}
    context = parent()
    with serving(module_database, settings) as proxy:
        asked = urllib.request.Request(f"{proxy.http_url}/health", headers={"traceparent": context})
        urllib.request.urlopen(asked).close()
        (span,) = spans_of(collector, context)
    assert (span.name, span.kind) == ("GET /health", Span.SPAN_KIND_SERVER)


async def test_real_receiver_understands_what_is_sent(module_database: Database):
    port, context = free_port(), parent()
    receiver = OtelTapHttpProtobufReceiver(OtelTapHttpProtobufReceiverSettings(http_port=port))
    async with receiver:
        with serving(module_database, {**SETTINGS, "tracing.endpoint": f"http://127.0.0.1:{port}"}) as proxy:
            client = await asyncpg.connect(proxy.dsn())
            await client.execute(f"SELECT 11 /*traceparent='{context}'*/")
            await client.close()
            span = await receiver.await_trace(lambda span: span.trace_id.hex() == context[3:35], 30)
    assert span.parent_span_id.hex() == context[36:52]


# --- as it is told to ---


def test_it_is_switched_on_the_console(module_database: Database, collector: Collector):
    settings = {**SETTINGS, "tracing.mode": "off", "tracing.endpoint": collector.url}
    with serving(module_database, settings) as proxy, psycopg.connect(proxy.dsn(), autocommit=True) as client:
        with psycopg.connect(proxy.dsn("dbproxy"), autocommit=True) as console:
            contexts = {mode: parent() for mode in ("off", "observe", "on")}
            for mode, context in contexts.items():
                console.execute(f"SET tracing = '{mode}'")
                client.execute(f"SELECT 12 /*traceparent='{context}'*/")
        spans_of(collector, contexts["on"])
        assert spans_metric(proxy)["observed"] == 1
    found = {span.trace_id.hex() for span in collector.spans()}
    assert not found & {contexts["off"][3:35], contexts["observe"][3:35]}


def test_headers_and_names_are_those_of_the_environment(module_database: Database):
    with Collector() as own:
        proxy = Proxy(module_database.dsn, settings={"auth.type": "trust"})
        proxy.environment |= {
            "DATADOG_ENABLED": "true", "APM_SAMPLE_RATE": "1", "OTEL_EXPORTER_OTLP_ENDPOINT": own.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "api-key=5ecre7", "OTEL_SERVICE_NAME": "shop-db",
        }  # fmt: skip
        with proxy:
            with psycopg.connect(proxy.dsn(), autocommit=True) as client:
                client.execute("SELECT 13")
            own.find_named("SELECT")
            assert "5ecre7" not in proxy.log()
        assert own.headers[0]["api-key"] == "5ecre7"
        (resource,) = [request.resource_spans[0].resource for request in own.requests[:1]]
        assert ("service.name", "shop-db") in [
            (pair.key, pair.value.string_value) for pair in resource.attributes
        ]


# --- a collector that fails ---


@pytest.mark.parametrize("fault", ["dead", "hanging", "500", "503"])
def test_collector_that_fails_costs_no_query_and_no_stop(module_database: Database, fault: str):
    """Queries go on, what cannot be kept is dropped and counted, export resumes by itself, and SIGTERM ends it."""
    port = free_port()
    settings = {
        **SETTINGS, "tracing.endpoint": f"http://127.0.0.1:{port}", "tracing.sample_rate": "1",
        "tracing.timeout": "200ms",
    }  # fmt: skip
    own = None if fault == "dead" else Collector(port)
    if own is not None:
        own.status = int(fault) if fault.isdigit() else 200
        if fault == "hanging":
            own.hold()
        own.__enter__()
    try:
        with (
            serving(module_database, settings) as proxy,
            psycopg.connect(proxy.dsn(), autocommit=True) as client,
        ):
            for _ in range(LIMIT + 2 * BATCH):
                client.execute("SELECT 14")
            if own is not None:
                own.until_refused()
            told = spans_metric(proxy)
            if fault != "500":  # which is no reason to keep them
                assert told["dropped_queue"] > 0
            assert told["exported"] == 0
            if own is None:
                own = Collector(port)
                own.__enter__()
            own.status = 200
            own.release()
            context = parent()
            client.execute("SELECT 15")
            own.find_named("SELECT")
            own.hold()
            for _ in range(600):
                client.execute(f"SELECT 16 /*traceparent='{context}'*/")
            client.close()
            assert proxy.stop(timeout=STOP_TIMEOUT) == 0
    finally:
        if own is not None:
            own.__exit__()
