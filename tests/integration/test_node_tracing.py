"""Node.js applications with OpenTelemetry: the proxy's spans are children of theirs, all in one collector.

node-postgres and Prisma write `traceparent` into comments by themselves. Without Node.js or its packages: skipped.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.collector import Collector, attributes
from tests.support.node import TIMEOUT, install, run_async
from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving

pytestmark = pytest.mark.timeout(240)  # npm takes its time
SHOP = "shop"
CLOCKS = 100_000_000  # ns by which those of two processes may differ: Node.js adds a monotonic one to when it began
QUERIES = 20
START = """
    const sdk = new NodeSDK({ instrumentations: [instrumentation] });
    sdk.start();
"""
PG = """
    const { NodeSDK } = require("@opentelemetry/sdk-node");
    const { PgInstrumentation } = require("@opentelemetry/instrumentation-pg");
    const instrumentation = new PgInstrumentation({ addSqlCommenterCommentToQueries: true });
"""
PRISMA = """
    const { NodeSDK } = require("@opentelemetry/sdk-node");
    const { PrismaInstrumentation } = require("@prisma/instrumentation");
    const instrumentation = new PrismaInstrumentation();
"""
SCHEMA = """
    generator client {
      provider = "prisma-client-js"
    }
    datasource db {
      provider = "postgresql"
    }
    model orders {
      id Int @id
      note String?
    }
"""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def proxy(module_database: Database, collector: Collector) -> Iterator[Proxy]:
    """Without a parent nothing is picked."""
    settings = {
        "pool.size": 2, "pool.reserve_size": 0, "auth.type": "trust", "tracing.mode": "on", "tracing.sample_rate": "0",
        "tracing.endpoint": collector.url, "tracing.interval": "20ms", "slow_query.threshold": "60s",
    }  # fmt: skip
    with serving(module_database, settings) as running:
        with psycopg.connect(running.dsn(), autocommit=True) as first:
            first.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)")
            first.execute("INSERT INTO orders SELECT g, 'x' FROM generate_series(1, 100) g")
        yield running


@pytest.fixture
def environment(collector: Collector) -> dict[str, str]:
    """The application's own spans go to the same collector."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": SHOP, "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none",
    }  # fmt: skip


def spans_of(collector: Collector, service: str) -> dict[bytes, Span]:
    """By their ids."""
    with collector.arrived:
        batches = [batch for request in collector.requests for batch in request.resource_spans]
    return {
        span.span_id: span
        for batch in batches
        if ("service.name", service)
        in [(pair.key, pair.value.string_value) for pair in batch.resource.attributes]
        for scope in batch.scope_spans
        for span in scope.spans
    }


def join(collector: Collector, count: int) -> list[tuple[Span, Span]]:
    """So many spans of the proxy, and the application's span that each is a child of."""
    ours = collector.find(lambda span: "dbproxy.client" in attributes(span), count)
    theirs = spans_of(collector, SHOP)
    assert len(ours) == count
    pairs = [(span, theirs[span.parent_span_id]) for span in ours]
    assert all(span.trace_id == parent.trace_id for span, parent in pairs)
    return pairs


def test_node_postgres(
    tmp_path: Path, proxy: Proxy, collector: Collector, environment: dict[str, str]
) -> None:
    """Each of its queries that has a comment (named ones get none) has one span of the proxy's inside its own."""
    folder = install(tmp_path, "pg@8", "@opentelemetry/sdk-node", "@opentelemetry/instrumentation-pg")
    collector.requests.clear()
    body = f"""
        const pool = new Pool({{ connectionString: dsn, max: 4 }});
        const ask = number => pool.query("SELECT note FROM orders WHERE id = $1", [number]);
        await Promise.all([...Array({QUERIES}).keys()].map(ask));
        await pool.query("SELECT count(*) FROM orders");
        await pool.query("SELECT nothing FROM orders").catch(error => error.code);
        await pool.end();
        await sdk.shutdown();
        return true;
    """
    run_async(folder, f'{PG}{START}const {{ Pool }} = require("pg");', body, proxy.dsn(), environment)
    pairs = join(collector, QUERIES + 2)
    assert len({parent.span_id for _, parent in pairs}) == QUERIES + 2
    assert {span.name for span, _ in pairs} == {"SELECT orders"}
    assert {parent.name.split()[0] for _, parent in pairs} == {"pg.query:SELECT"}
    assert all(
        parent.start_time_unix_nano - CLOCKS <= span.start_time_unix_nano
        and span.end_time_unix_nano <= parent.end_time_unix_nano + CLOCKS
        for span, parent in pairs
    )
    (failed,) = [span for span, _ in pairs if "error.type" in attributes(span)]
    assert attributes(failed)["db.response.status_code"] == "42703"


def test_prisma(tmp_path: Path, proxy: Proxy, collector: Collector, environment: dict[str, str]) -> None:
    folder = install(
        tmp_path, "prisma@7", "@prisma/client@7", "@prisma/adapter-pg@7", "@prisma/instrumentation@7",
        "@prisma/sqlcommenter-trace-context@7", "@opentelemetry/sdk-node",
    )  # fmt: skip
    (folder / "schema.prisma").write_text(SCHEMA)
    subprocess.run(
        [folder / "node_modules/.bin/prisma", "generate"],
        cwd=folder, check=True, capture_output=True, timeout=TIMEOUT,
        # What it does not need is not downloaded.
        env={**os.environ, "PRISMA_SCHEMA_ENGINE_BINARY": sys.executable, "CHECKPOINT_DISABLE": "1"},
    )  # fmt: skip
    collector.requests.clear()
    imports = f"""{PRISMA}{START}
        const {{ PrismaClient }} = require("@prisma/client");
        const {{ PrismaPg }} = require("@prisma/adapter-pg");
        const {{ traceContext }} = require("@prisma/sqlcommenter-trace-context");
    """
    body = f"""
        const adapter = new PrismaPg({{ connectionString: dsn }});
        const client = new PrismaClient({{ adapter, comments: [traceContext()] }});
        for (let id = 1; id <= {QUERIES}; id++) await client.orders.findUnique({{ where: {{ id }} }});
        await client.orders.findMany();
        await client.$disconnect();
        await sdk.shutdown();
        return true;
    """
    run_async(folder, imports, body, proxy.dsn(), environment)
    pairs = join(collector, QUERIES + 1)
    assert len({parent.span_id for _, parent in pairs}) == QUERIES + 1
    assert {span.name for span, _ in pairs} == {"SELECT public.orders"}
    assert {parent.name.split(":")[0] for _, parent in pairs} == {"prisma"}
