"""From a note of a request to OpenTelemetry's span, as its conventions for PostgreSQL have it.

Runs in the exporter's thread. A request is a span of kind CLIENT, named by a summary of few values (`SELECT orders`);
its text is that of its shape, without literals; parameters are never in it. What it waited for, and an attempt
elsewhere that failed, are spans inside it if they took a millisecond.
"""

import random
import re
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache
from struct import Struct
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from dbproxy.observe.context import Context, read_text
from dbproxy.observe.exemplars import Exemplar, Exemplars
from dbproxy.observe.masking import mask
from dbproxy.observe.protobuf import Attribute, Number, write_attribute, write_field, write_varint
from dbproxy.observe.record import KEPT, SAMPLED, TAGGED, Facts, HttpRecord, Record
from dbproxy.sql.identity import Shape

CACHE = "cache"  # the role of what no host had to do with
LEAST = 0.001  # seconds that a child lasts
PIECE = 256  # spans, which take half a millisecond of Python's lock:
PAUSE = 0.0002  # seconds, so that queries go on ahead of the next ones
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
# Fields of OpenTelemetry's messages, by number and kind; some with all that they hold.
RESOURCE_SPANS, SCOPE_SPANS, SPANS, ATTRIBUTES = b"\x0a", b"\x12", b"\x12", b"\x4a"
TRACE_ID, SPAN_ID, PARENT, START, END = b"\x0a\x10", b"\x12\x08", b"\x22\x08", b"\x39", b"\x41"
write_id, write_ids, write_times = Struct(">Q").pack, Struct(">QQ").pack, Struct("<cQcQ").pack
draw = random.getrandbits  # for ids: no secret
ROOT, CHILD = (Span(flags=_SAMPLED_FLAG | _KNOWN | remote).SerializeToString() for remote in (0, _REMOTE))
FAILED = Span(status=Status(code=Status.STATUS_CODE_ERROR)).SerializeToString()
CLIENT, WAITED = Number(ATTRIBUTES, "dbproxy.client"), Number(ATTRIBUTES, "dbproxy.pool.wait_us")
RETURNED = Number(ATTRIBUTES, "db.response.returned_rows")
AFFECTED = Number(ATTRIBUTES, "dbproxy.affected_rows")
BATCH = Number(ATTRIBUTES, "db.operation.batch.size")
NO_TAGS: dict[str, str] = {}
_TABLES = 8  # names in a summary
_REMEMBERED = 1000  # parts of spans


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
        spans: list[bytes] = []
        examples: dict[tuple[str, str, int], tuple[bytes, Record]] = {}  # the last for each bucket
        left_out = 0
        for number, record in enumerate(records, 1):
            if number % PIECE == 0:
                time.sleep(PAUSE)
            if isinstance(record, HttpRecord):
                spans.append(_spell_http(record, offset_ns))
                continue
            trace_id = _add_spans(spans, record, offset_ns, bound)
            if not trace_id:
                left_out += 1
            elif record.facts.address:  # a server has answered, and the histogram has counted it
                bucket = bisect_right(self.exemplars.bounds, record.microseconds)
                examples[record.database, record.user, bucket] = trace_id, record
        for (database, user, _), (trace_id, record) in examples.items():
            self.exemplars.note(database, user, _exemplify(trace_id, record, offset_ns))
        return self.wrap(spans), left_out

    def wrap(self, spans: list[bytes]) -> bytes:
        """An ExportTraceServiceRequest."""
        of_scope = ScopeSpans(scope=InstrumentationScope(name="dbproxy", version=self.version))
        of_service = ResourceSpans()
        _add(of_service.resource.attributes, self.resource.items())
        pieces = [of_scope.SerializeToString()]
        for span in spans:
            pieces += [SPANS, write_varint(len(span)), span]
        said = of_service.SerializeToString() + write_field(SCOPE_SPANS, b"".join(pieces))
        return write_field(RESOURCE_SPANS, said)


def _exemplify(trace_id: bytes, record: Record, offset_ns: int) -> Exemplar:
    seconds = record.microseconds / 1e6
    return Exemplar(trace_id.hex(), seconds, _time(record.arrived, offset_ns) / 1e9 + seconds)


def _add_spans(spans: list[bytes], record: Record, offset_ns: int, bound: int) -> bytes:
    """The request's, and those inside it; the id of its trace, b"": nothing that counts has picked it."""
    facts = record.facts
    tagged, tags = read_text(record.text) if record.text and not facts.aged else (None, NO_TAGS)
    if record.chosen & TAGGED and tagged is None and not record.chosen & KEPT:
        return b""
    shape = record.shape.identity() if record.shape is not None else None
    trace_id, span_id, placed = _place(tagged or record.context, record.chosen, bound)
    start = _time(record.arrived, offset_ns)
    pieces = [
        placed,
        write_times(START, start, END, start + record.microseconds * 1000),
        _spell_statement(shape, record.database, facts.executes),
        _spell_answer(
            facts.address, facts.port, facts.host, facts.role, facts.reason, facts.prepared, facts.pins
        ),
    ]
    _describe(pieces, record)
    for key, text in tags.items():
        pieces.append(_say(f"dbproxy.tag.{key}", mask(text)))
    spans.append(b"".join(pieces))
    if facts.wait >= LEAST or facts.rescue is not None:
        ids = trace_id, span_id
        spans += [child.SerializeToString() for child in _children(ids, facts, record.arrived, offset_ns)]
    return trace_id


def _place(parent: Context | None, chosen: int, bound: int) -> tuple[bytes, bytes, bytes]:
    """A trace's id and the span's, and what says where it hangs.

    Below its parent, if that trace is sampled; else it is a root, with a link to a parent.
    """
    span_id = write_id(draw(64))
    if parent is not None and chosen & SAMPLED:
        trace_id = bytes.fromhex(parent.trace_id)
        hangs = [CHILD, PARENT, bytes.fromhex(parent.span_id)]
    else:
        lower = draw(64)
        if chosen & SAMPLED and bound:
            lower = lower * bound >> 64
        trace_id = write_ids(draw(64), lower)
        hangs = [ROOT] if parent is None else [ROOT, _spell_link(parent)]
    return trace_id, span_id, b"".join([TRACE_ID, trace_id, SPAN_ID, span_id, *hangs])


def _spell_link(to: Context) -> bytes:
    ids = bytes.fromhex(to.trace_id), bytes.fromhex(to.span_id)
    link = Span.Link(trace_id=ids[0], span_id=ids[1], flags=_KNOWN | _REMOTE)
    return bytes(Span(links=[link]).SerializeToString())


def _children(ids: tuple[bytes, bytes], facts: Facts, arrived: float, offset_ns: int) -> Iterator[Span]:
    """`ids`: of the trace, and the span that they are in."""
    if facts.wait >= LEAST:
        yield _child(ids, "pool.wait", arrived, arrived + facts.wait, offset_ns)
    rescue = facts.rescue
    if rescue is not None and rescue.until - rescue.since >= LEAST:
        child = _child(ids, "rescue", max(rescue.since, arrived), rescue.until, offset_ns)
        said = {"dbproxy.host": rescue.host, "dbproxy.rescue.reason": rescue.reason}
        _add(child.attributes, said.items())
        yield child


def _child(ids: tuple[bytes, bytes], name: str, start: float, end: float, offset_ns: int) -> Span:
    return Span(
        kind=Span.SPAN_KIND_INTERNAL,
        name=name,
        trace_id=ids[0],
        span_id=write_id(draw(64)),
        parent_span_id=ids[1],
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


def _describe(pieces: list[bytes], record: Record) -> None:
    """What it has for itself."""
    facts = record.facts
    CLIENT.add(pieces, record.client)
    WAITED.add(pieces, int(facts.wait * 1e6))
    if facts.rows >= 0:
        RETURNED.add(pieces, facts.rows)
    if facts.affected >= 0:
        AFFECTED.add(pieces, facts.affected)
    if facts.batch > 1:
        BATCH.add(pieces, facts.batch)
    if record.failed:
        pieces += [FAILED, _say("error.type", facts.sqlstate or "_OTHER")]
    if facts.sqlstate:
        pieces.append(_say("db.response.status_code", facts.sqlstate))
    if not record.chosen & SAMPLED:
        pieces.append(_say("dbproxy.kept", "error" if record.failed else "slow"))
    if facts.role == "replica":
        pieces.append(_say("dbproxy.lag_ms", round(facts.lag * 1000, 3)))
    if facts.rescue is not None:
        pieces.append(_say("dbproxy.rescue.host", facts.rescue.host))
        pieces.append(_say("dbproxy.rescue.reason", facts.rescue.reason))


def _say(key: str, value: Attribute) -> bytes:
    return write_attribute(ATTRIBUTES, key, value)


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


def _spell_http(record: HttpRecord, offset_ns: int) -> bytes:
    span = Span(kind=Span.SPAN_KIND_SERVER, name=f"{record.method} {record.route}".strip())
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
    start = _time(record.arrived, offset_ns)
    times = write_times(START, start, END, start + record.microseconds * 1000)
    return b"".join([_place(record.context, SAMPLED, 0)[2], times, span.SerializeToString()])


def _time(seconds: float, offset_ns: int) -> int:
    return int(seconds * 1e9) + offset_ns


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
