"""From a note of a request to OpenTelemetry's span, as its conventions for PostgreSQL have it.

Runs in the exporter's thread. A request is a span of kind CLIENT, named by a summary of few values (`SELECT orders`);
its text is that of its shape, without literals; parameters are never in it. What it waited for, and an attempt
elsewhere that failed, are spans inside it if they took a millisecond.
"""

import random
import re
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from dbproxy.observe.context import Context, read_text
from dbproxy.observe.exemplars import Exemplar, Exemplars
from dbproxy.observe.masking import mask
from dbproxy.observe.record import KEPT, SAMPLED, TAGGED, Facts, HttpRecord, Record
from dbproxy.sql.identity import Shape

CACHE = "cache"  # the role of what no host had to do with
LEAST = 0.001  # seconds that a child lasts
PIECE, PAUSE = (
    64,
    0.0002,
)  # so many spans take half a millisecond of Python's lock: queries go on ahead of the next
_SUMMARY = 255  # bytes
_SAMPLED_FLAG, _KNOWN, _REMOTE = 0x01, 0x100, 0x200  # Span.flags
_COMMENT = re.compile(r"/\*.*?\*/|[\s(;]", re.DOTALL)
_VERB = re.compile(r"[A-Za-z]+")
_VERBS = frozenset({
    "ABORT", "ALTER", "ANALYZE", "BEGIN", "CALL", "CHECKPOINT", "CLOSE", "CLUSTER", "COMMENT", "COMMIT", "COPY",
    "CREATE", "DEALLOCATE", "DECLARE", "DELETE", "DISCARD", "DO", "DROP", "END", "EXECUTE", "EXPLAIN", "FETCH",
    "GRANT", "IMPORT", "INSERT", "LISTEN", "LOAD", "LOCK", "MERGE", "MOVE", "NOTIFY", "PREPARE", "REASSIGN",
    "REFRESH", "REINDEX", "RELEASE", "RESET", "REVOKE", "ROLLBACK", "SAVEPOINT", "SECURITY", "SELECT", "SET",
    "SHOW", "START", "TABLE", "TRUNCATE", "UNLISTEN", "UPDATE", "VACUUM", "VALUES", "WITH",
})  # fmt: skip
_TABLES = 8  # names in a summary
_REMEMBERED = 1000  # parts of spans
Attribute = str | int | float | bool


class Builder:
    """Of one service: its name, and what else it says of itself. `exemplars` are told of the requests."""

    def __init__(
        self, service: str, resource: Iterable[tuple[str, str]], version: str, exemplars: Exemplars
    ) -> None:
        named = {"service.name": service, "telemetry.sdk.language": "python", "telemetry.sdk.name": "dbproxy"}
        own = {**named, "service.version": version, **dict(resource), "service.name": service}
        self.resource = own
        self.version = version
        self.exemplars = exemplars

    def build(self, records: Iterable[Record | HttpRecord], offset_ns: int, bound: int) -> tuple[bytes, int]:
        """A request of OTLP, and how many of the records are no span.

        `offset_ns`: what makes a monotonic time a wall clock's. `bound`: below it are the ids that the share picks.
        """
        request = ExportTraceServiceRequest()
        of_service: ResourceSpans = request.resource_spans.add()
        _add(of_service.resource.attributes, self.resource.items())
        scope = of_service.scope_spans.add()
        scope.scope.name, scope.scope.version = "dbproxy", self.version
        left_out = 0
        for number, record in enumerate(records, 1):
            if number % PIECE == 0:
                time.sleep(PAUSE)
            if isinstance(record, HttpRecord):
                scope.spans.append(_http_span(record, offset_ns))
                continue
            span = _add_spans(scope.spans, record, offset_ns, bound)
            if span is None:
                left_out += 1
            elif record.facts.address:  # a server has answered, and the histogram has counted it
                self.exemplars.note(record.database, record.user, _exemplify(span, record.microseconds))
        return request.SerializeToString(), left_out


def _exemplify(span: Span, microseconds: int) -> Exemplar:
    return Exemplar(span.trace_id.hex(), microseconds / 1e6, span.end_time_unix_nano / 1e9)


def _add_spans(to: Any, record: Record, offset_ns: int, bound: int) -> Span | None:
    """The request's, which is returned, and those inside it; None: nothing that counts has picked it."""
    facts = record.facts
    tagged, tags = read_text(record.text) if record.text and not facts.aged else (None, {})
    if record.chosen & TAGGED and tagged is None and not record.chosen & KEPT:
        return None
    span: Span = to.add()
    shape = record.shape.identity() if record.shape is not None else None
    answered = (facts.address, facts.port, facts.host, facts.role, facts.reason, facts.prepared, facts.pins)
    span.MergeFromString(_spell_statement(shape, record.database, facts.executes) + _spell_answer(*answered))
    span.span_id = _draw(8)
    _place(span, tagged or record.context, picked=bool(record.chosen & SAMPLED), bound=bound)
    start = span.start_time_unix_nano = _time(record.arrived, offset_ns)
    span.end_time_unix_nano = start + record.microseconds * 1000
    if record.failed:
        span.status.code = Status.STATUS_CODE_ERROR
    _add(span.attributes, _describe(record))
    if tags:
        _add(span.attributes, ((f"dbproxy.tag.{key}", mask(text)) for key, text in tags.items()))
    to.extend(_children(span, facts, record.arrived, offset_ns))
    return span


def _place(span: Span, parent: Context | None, *, picked: bool, bound: int) -> None:
    """Where it hangs: below its parent, if that trace is sampled; else it is a root, with a link to a parent."""
    span.flags = _SAMPLED_FLAG | _KNOWN
    if parent is not None and picked:
        span.trace_id = bytes.fromhex(parent.trace_id)
        span.parent_span_id = bytes.fromhex(parent.span_id)
        span.flags |= _REMOTE
        return
    lower = random.randrange(bound) if picked and bound else random.getrandbits(64)  # noqa: S311  # no secret
    span.trace_id = _draw(8) + lower.to_bytes(8, "big")
    if parent is not None:
        trace_id, span_id = bytes.fromhex(parent.trace_id), bytes.fromhex(parent.span_id)
        span.links.add(trace_id=trace_id, span_id=span_id, flags=_KNOWN | _REMOTE)


def _children(span: Span, facts: Facts, arrived: float, offset_ns: int) -> Iterator[Span]:
    if facts.wait >= LEAST:
        yield _child(span, "pool.wait", arrived, arrived + facts.wait, offset_ns)
    rescue = facts.rescue
    if rescue is not None and rescue.until - rescue.since >= LEAST:
        child = _child(span, "rescue", max(rescue.since, arrived), rescue.until, offset_ns)
        said = {"dbproxy.host": rescue.host, "dbproxy.rescue.reason": rescue.reason}
        _add(child.attributes, said.items())
        yield child


def _child(span: Span, name: str, start: float, end: float, offset_ns: int) -> Span:
    return Span(
        kind=Span.SPAN_KIND_INTERNAL,
        name=name,
        trace_id=span.trace_id,
        span_id=_draw(8),
        parent_span_id=span.span_id,
        flags=_SAMPLED_FLAG | _KNOWN,
        start_time_unix_nano=_time(start, offset_ns),
        end_time_unix_nano=_time(max(start, end), offset_ns),
    )


# --- what it says ---


@lru_cache(_REMEMBERED)
def _spell_statement(shape: Shape | None, database: str, executes: bool) -> bytes:
    """The part of a span that all requests of a statement have."""
    span = Span(kind=Span.SPAN_KIND_CLIENT, name=name_span(shape, executes=executes))
    said: dict[str, Attribute] = {"db.system.name": "postgresql", "db.namespace": database}
    if shape is not None:
        said |= {"db.query.summary": summarise(shape), "db.query.text": shape.text}
        said["dbproxy.fingerprint"] = shape.name()
    _add(span.attributes, said.items())
    return bytes(span.SerializeToString())


@lru_cache(_REMEMBERED)
def _spell_answer(
    address: str, port: int, host: str, role: str, reason: str, prepared: bool, pins: frozenset[str]
) -> bytes:
    """The part that all have which were answered so."""
    span = Span()
    said: dict[str, Attribute] = {
        "server.address": address,
        "server.port": port,
        "dbproxy.route": host,
        "dbproxy.host.role": role,
        "dbproxy.route.reason": reason,
        "dbproxy.pin": ",".join(sorted(pins)),
    }
    _add(span.attributes, ((key, value) for key, value in said.items() if value))
    _add(span.attributes, [("dbproxy.statement.prepared", prepared)])
    if role == CACHE:
        _add(span.attributes, [("dbproxy.cache.hit", True)])
    return bytes(span.SerializeToString())


def _describe(record: Record) -> Iterator[tuple[str, Attribute]]:
    """What it has for itself."""
    facts = record.facts
    yield from (("dbproxy.client", record.client), ("dbproxy.pool.wait_us", int(facts.wait * 1e6)))
    if facts.rows >= 0:
        yield "db.response.returned_rows", facts.rows
    if facts.affected >= 0:
        yield "dbproxy.affected_rows", facts.affected
    if facts.batch > 1:
        yield "db.operation.batch.size", facts.batch
    if record.failed:
        yield "error.type", facts.sqlstate or "_OTHER"
    if facts.sqlstate:
        yield "db.response.status_code", facts.sqlstate
    if not record.chosen & SAMPLED:
        yield "dbproxy.kept", "error" if record.failed else "slow"
    if facts.role == "replica":
        yield "dbproxy.lag_ms", round(facts.lag * 1000, 3)
    if facts.rescue is not None:
        yield "dbproxy.rescue.host", facts.rescue.host
        yield "dbproxy.rescue.reason", facts.rescue.reason


def name_span(shape: Shape | None, *, executes: bool) -> str:
    summary = summarise(shape)
    return summary if executes else f"PREPARE {summary}"[:_SUMMARY]


def summarise(shape: Shape | None) -> str:
    """What is done to which relations, in few words: `UPDATE orders`. Names a statement, but not each of its texts."""
    if shape is None:
        return "postgresql"
    verb = find_verb(shape.text)
    if not verb:
        return "postgresql"
    tables = [*sorted(shape.targets), *sorted(shape.relations - shape.targets)]
    words = [verb, *tables[:_TABLES]]
    while len(words) > 1 and len(" ".join(words).encode()) > _SUMMARY:
        words.pop()
    return " ".join(words)


def find_verb(text: str) -> str:
    """The command that a text begins with; "" if that is none of PostgreSQL's."""
    at = 0
    while found := _COMMENT.match(text, at):
        at = found.end()
    word = _VERB.match(text, at)
    verb = word[0].upper() if word is not None else ""
    return verb if verb in _VERBS else ""


def _http_span(record: HttpRecord, offset_ns: int) -> Span:
    span = Span(kind=Span.SPAN_KIND_SERVER, name=f"{record.method} {record.route}".strip())
    span.span_id = _draw(8)
    _place(span, record.context, picked=True, bound=0)
    span.start_time_unix_nano = _time(record.arrived, offset_ns)
    span.end_time_unix_nano = span.start_time_unix_nano + record.microseconds * 1000
    said: dict[str, Attribute] = {
        "http.request.method": record.method,
        "http.response.status_code": record.status,
    }
    if record.route:
        said["http.route"] = record.route
    if record.status >= 500:
        span.status.code = Status.STATUS_CODE_ERROR
        said["error.type"] = str(record.status)
    _add(span.attributes, said.items())
    return span


def _time(seconds: float, offset_ns: int) -> int:
    return int(seconds * 1e9) + offset_ns


def _draw(size: int) -> bytes:
    """An id."""
    return random.getrandbits(8 * size).to_bytes(size, "big")  # no secret


def _add(to: Any, attributes: Iterable[tuple[str, Attribute]]) -> None:
    """To a list of attributes."""
    for key, value in attributes:
        new: KeyValue = to.add()
        new.key = key
        if isinstance(value, bool):
            new.value.bool_value = value
        elif isinstance(value, int):
            new.value.int_value = value
        elif isinstance(value, float):
            new.value.double_value = value
        else:
            new.value.string_value = value.encode("utf-8", "replace").decode()
