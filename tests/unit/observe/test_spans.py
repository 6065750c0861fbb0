"""What a span says of a request, and what it never says."""

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from dbproxy.observe import spans as module
from dbproxy.observe.context import Context
from dbproxy.observe.exemplars import Exemplar, Exemplars
from dbproxy.observe.record import KEPT, SAMPLED, TAGGED, Facts, HttpRecord, Record, Rescue
from dbproxy.observe.spans import Builder, find_verb, summarise
from dbproxy.sql.cache import StatementCache
from dbproxy.sql.identity import Shape
from tests.support.collector import attributes

TRACE, SPAN = "5bd66ef5095369c7b0d1f8f4bd33716a", "c532cb4098ac3dd2"
PARENT = f"00-{TRACE}-{SPAN}-01"
CACHE = StatementCache(100)
OFFSET = 1_700_000_000 * 10**9


def shape(text: str) -> Shape:
    return CACHE.find(text.encode())


def record(text: str = "SELECT 1", chosen: int = SAMPLED, context: Context | None = None, failed: bool = False,
           **facts: object) -> Record:  # fmt: skip
    told = Facts()
    for name, value in facts.items():
        setattr(told, name, value)
    made = Record(chosen, told)
    made.text = text.encode() if "/*" in text else b""
    made.context, made.shape, made.failed = context, shape(text), failed
    made.database, made.user, made.client = "shop", "app", 7
    made.arrived, made.microseconds = 100.0, 2500
    return made


def build(*records: Record | HttpRecord, bound: int = 0) -> list[Span]:
    body, _ = Builder("svc", [("team", "a")], "1.0", Exemplars([])).build(records, OFFSET, bound)
    request = ExportTraceServiceRequest.FromString(body)
    return list(request.resource_spans[0].scope_spans[0].spans)


def test_span_of_a_request():
    (span,) = build(record("SELECT note FROM orders WHERE id = 4111", rows=3, batch=1, address="10.0.0.5", port=5433,
                           host="replica1", role="replica", lag=0.25, reason="read", prepared=True))  # fmt: skip
    assert (span.name, span.kind) == ("SELECT orders", Span.SPAN_KIND_CLIENT)
    assert span.start_time_unix_nano == OFFSET + 100 * 10**9
    assert span.end_time_unix_nano - span.start_time_unix_nano == 2_500_000
    assert attributes(span) == {
        "db.system.name": "postgresql",
        "db.namespace": "shop",
        "db.query.summary": "SELECT orders",
        "db.query.text": "SELECT note FROM orders WHERE id = $?",
        "db.response.returned_rows": 3,
        "server.address": "10.0.0.5",
        "server.port": 5433,
        "dbproxy.client": 7,
        "dbproxy.fingerprint": shape("SELECT note FROM orders WHERE id = 1").name(),
        "dbproxy.host.role": "replica",
        "dbproxy.lag_ms": 250.0,
        "dbproxy.pool.wait_us": 0,
        "dbproxy.route": "replica1",
        "dbproxy.route.reason": "read",
        "dbproxy.statement.prepared": True,
    }
    assert span.status.code == Status.STATUS_CODE_UNSET


def test_answer_that_was_kept_is_no_hosts():
    (span,) = build(record("SELECT 1", role="cache", rows=1))
    found = attributes(span)
    assert (found["dbproxy.host.role"], found["dbproxy.cache.hit"]) == ("cache", True)
    assert "server.address" not in found
    assert "dbproxy.cache.hit" not in attributes(build(record("SELECT 1", role="primary"))[0])


def test_service():
    body, _ = Builder("svc", [("team", "a"), ("service.name", "other")], "1.0", Exemplars([])).build(
        [], OFFSET, 0
    )
    (of_service,) = ExportTraceServiceRequest.FromString(body).resource_spans
    said = {pair.key: pair.value.string_value for pair in of_service.resource.attributes}
    assert said["service.name"] == "svc"
    assert (said["team"], said["service.version"]) == ("a", "1.0")


def test_queries_go_on_while_a_batch_is_built(monkeypatch: pytest.MonkeyPatch):
    pauses: list[float] = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    assert len(build(*[record()] * (3 * module.PIECE + 1))) == 3 * module.PIECE + 1
    assert pauses == [module.PAUSE] * 3


def test_failed_request():
    (span,) = build(record(failed=True, sqlstate="22012", chosen=KEPT))
    said = attributes(span)
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert span.status.message == ""
    assert (said["error.type"], said["db.response.status_code"], said["dbproxy.kept"]) == (
        "22012",
        "22012",
        "error",
    )


def test_preparation_alone_is_told_from_execution():
    assert build(record("SELECT 1 FROM orders", executes=False))[0].name == "PREPARE SELECT orders"


def test_batch_is_told_from_two_on():
    assert "db.operation.batch.size" not in attributes(build(record(batch=1))[0])
    assert attributes(build(record(batch=2))[0])["db.operation.batch.size"] == 2


# --- where it hangs ---


def test_child_of_the_tags_parent():
    (span,) = build(record(f"SELECT 1 /*traceparent='{PARENT}',route='%2Fitems'*/", SAMPLED | TAGGED))
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN)
    assert not span.links
    assert attributes(span)["dbproxy.tag.route"] == "/items"
    assert "dbproxy.tag.traceparent" not in attributes(span)


def test_child_of_the_sessions_parent():
    (span,) = build(record(context=Context(TRACE, SPAN, True)))
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN)


def test_what_is_kept_of_an_unsampled_trace_is_a_root_with_a_link():
    text = f"SELECT 1 /*traceparent='{PARENT[:-2]}00'*/"
    (span,) = build(record(text, KEPT | TAGGED, failed=True))
    assert span.parent_span_id == b""
    assert span.trace_id.hex() != TRACE
    (link,) = span.links
    assert (link.trace_id.hex(), link.span_id.hex()) == (TRACE, SPAN)


def test_aged_text_gives_no_parent():
    (span,) = build(record(f"SELECT 1 /*traceparent='{PARENT}',route='x'*/", KEPT, aged=True))
    assert span.parent_span_id == b""
    assert "dbproxy.tag.route" not in attributes(span)


def test_what_only_looked_like_a_tag_is_no_span_unless_it_is_kept():
    text = f"SELECT $$/*traceparent='{PARENT}'*/$$"
    assert Builder("svc", [], "1", Exemplars([])).build([record(text, SAMPLED | TAGGED)], OFFSET, 0)[1] == 1
    assert build(record(text, SAMPLED | TAGGED)) == []
    (span,) = build(record(text, SAMPLED | TAGGED | KEPT))
    assert span.parent_span_id == b""


def test_roots_have_ids_that_the_share_picks():
    bound = round(0.1 * 2**64)
    spans = build(*[record()] * 200, bound=bound)
    assert all(int.from_bytes(span.trace_id[8:], "big") < bound for span in spans)
    assert len({span.trace_id for span in spans}) == len({span.span_id for span in spans}) == 200


# --- inside it ---


def test_waits_and_detours_of_a_millisecond_are_spans_inside():
    rescue = Rescue("replica1", "recovery conflict", 100.002, 100.004)
    span, wait, detour = build(record(wait=0.0015, rescue=rescue, host="primary", role="primary"))
    assert [(child.name, child.parent_span_id, child.trace_id) for child in (wait, detour)] == [
        ("pool.wait", span.span_id, span.trace_id),
        ("rescue", span.span_id, span.trace_id),
    ]
    assert wait.end_time_unix_nano - wait.start_time_unix_nano == 1_500_000
    assert attributes(detour) == {"dbproxy.host": "replica1", "dbproxy.rescue.reason": "recovery conflict"}
    assert attributes(span)["dbproxy.pool.wait_us"] == 1500
    assert len(build(record(wait=0.0005, rescue=rescue._replace(until=100.0021)))) == 1


# --- names ---


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("select * from b join a using (id)", "SELECT a b"),
        ("INSERT INTO t SELECT * FROM s", "INSERT t s"),
        ("/* dbproxy: primary */ SELECT 1 FROM t", "SELECT t"),
        ("(SELECT 1)", "SELECT"),
        ("WITH x AS (DELETE FROM old RETURNING *) INSERT INTO new SELECT * FROM x", "WITH new old"),
        ("BEGIN", "BEGIN"),
        ("hunter2 is my password", "postgresql"),
        ("", "postgresql"),
    ],
)
def test_summary(text: str, name: str):
    assert summarise(shape(text)) == name


def test_summary_is_bounded():
    text = "SELECT 1 FROM " + ", ".join(f"{'t' * 60}{number}" for number in range(30))
    assert len(summarise(shape(text)).encode()) <= 255
    assert summarise(None) == "postgresql"


def test_verbs_are_postgresqls():
    assert find_verb("  -- x") == ""
    assert find_verb("selectx 1") == ""


def test_secrets_are_in_no_span():
    canary = "5ecre7"
    text = f"SELECT '{canary}', E'\\'{canary}', $x${canary}$x$ /*job='password%3D{canary}',traceparent='{PARENT}'*/"
    body, _ = Builder("svc", [], "1", Exemplars([])).build([record(text, SAMPLED | TAGGED)], OFFSET, 0)
    assert b"SELECT" in body
    assert canary.encode() not in body


def test_span_of_an_http_request():
    http = HttpRecord("GET", "/metrics", 200, Context(TRACE, SPAN, True), 1.0, 500)
    span, failed = build(http, http._replace(status=503, context=None))
    assert (span.name, span.kind, span.parent_span_id.hex()) == ("GET /metrics", Span.SPAN_KIND_SERVER, SPAN)
    assert attributes(span) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/metrics",
    }
    assert failed.status.code == Status.STATUS_CODE_ERROR


def test_spans_are_examples_of_the_histogram_that_has_counted_their_requests():
    exemplars = Exemplars([1000])
    answered, refused = (
        record(f"SELECT 1 /*traceparent='{PARENT}'*/", address="10.0.0.5"),
        record(failed=True),
    )
    Builder("svc", [], "1", exemplars).build([answered, refused], OFFSET, 0)
    assert exemplars.by_pool == {("shop", "app"): {1: Exemplar(TRACE, 0.0025, 1_700_000_100.0025)}}
