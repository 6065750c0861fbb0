"""Traces, from the data path's notice to the collector: what is chosen, noted and sent, as the settings say."""

import importlib.util
from collections.abc import Iterable
from time import monotonic

import structlog

from dbproxy import __version__
from dbproxy.config import Settings
from dbproxy.config.tracing import SPOKEN, TracingSettings
from dbproxy.errors import ConfigurationError
from dbproxy.observe.context import Context, Found, parse_traceparent, read_settings
from dbproxy.observe.exemplars import Exemplars
from dbproxy.observe.figures import TraceFigures
from dbproxy.observe.otlp import BOUNDS, Builds, Exporter, Target
from dbproxy.observe.outbox import Outbox
from dbproxy.observe.record import Facts, HttpRecord, Record
from dbproxy.observe.sampling import Sampler
from dbproxy.pool.parameters import Parameters
from dbproxy.pool.query import Query
from dbproxy.pool.tenant import Tenant
from dbproxy.session.connection import Connection
from dbproxy.sql.comments import find_tags
from dbproxy.wire.extended import statement_text

PACKAGE = "opentelemetry.proto.collector.trace.v1"
TEXT_LIMIT = 4096  # bytes of a text with tags that wait in the outbox
NO_FACTS = Facts()


def check_tracing(settings: Settings) -> None:
    """ConfigurationError if spans are to be sent, and cannot be."""
    if settings.tracing.mode != "on":
        return
    if settings.tracing.protocol != SPOKEN:
        raise ConfigurationError(
            f"tracing.protocol (OTEL_EXPORTER_OTLP_PROTOCOL) is {settings.tracing.protocol}: "
            f"dbproxy speaks {SPOKEN} only",
            hint=f"Set DBPROXY_TRACING__PROTOCOL={SPOKEN}, and the collector's port for it, usually 4318, in "
            "DBPROXY_TRACING__ENDPOINT.",
        )
    if not is_installed():
        raise ConfigurationError(
            'tracing.mode = "on" (DBPROXY_TRACING__MODE, DATADOG_ENABLED) needs a package that is not installed',
            hint="pip install 'dbproxy[tracing]', or set tracing.mode to off.",
        )


def is_installed() -> bool:
    try:
        return importlib.util.find_spec(PACKAGE) is not None
    except ModuleNotFoundError:
        return False


class Tracing:
    """Of the whole proxy: a listener of each database and user (dbproxy.gates). Its thread runs once it is needed."""

    def __init__(self, settings: Settings, exemplars: Exemplars) -> None:
        check_tracing(settings)
        self.exemplars = exemplars
        self.sampler = Sampler(self)
        self.outbox = Outbox()
        self.exporter: Exporter | None = None
        self.started = False  # the proxy runs, and threads may
        self.apply(settings)

    def apply(self, settings: Settings) -> None:
        """Use other settings, which `check_tracing` has seen."""
        keys = self.keys = settings.tracing
        self.sampler.set(
            keys.sample_rate, keys.parent, failed="error" in keys.always, slow="slow" in keys.always
        )
        self.follows = keys.parent != "ignore"
        self.outbox.per_second = keys.max_spans_per_second
        self.outbox.sends = keys.mode == "on"
        if self.exporter is not None:
            self.exporter.target = find_target(keys)
            self.exporter.bound = self.sampler.bound
        elif self.started:
            self.start()

    def start(self) -> None:
        """The proxy runs: spans may be sent from now on."""
        self.started = True
        if self.exporter is None and self.keys.mode == "on":
            log = structlog.get_logger("dbproxy.observe.tracing")
            self.exporter = Exporter(self.outbox, find_target(self.keys), self.make_builder, log)
            self.exporter.bound = self.sampler.bound
            self.exporter.start()

    def stop(self) -> None:
        """Blocks for a few seconds at most."""
        if self.exporter is not None:
            self.exporter.stop()

    def make_builder(self) -> Builds:
        from dbproxy.observe.spans import Builder  # which imports what may not be installed

        return Builder(self.keys.service_name, self.keys.resource, __version__, self.exemplars)

    def attend(self, tenants: Iterable[Tenant]) -> None:
        """Hear of these, or no more."""
        wanted = self.keys.mode != "off" and self.keys.database
        for tenant in tenants:
            tenant.trace(self.sampler if wanted else None)

    # --- what is over ---

    def hear(self, request: Query) -> None:
        if request.chosen <= 0:
            return
        client: Connection = request.session
        identity = client.identity
        record = Record(request.chosen, request.facts or NO_FACTS)
        if not record.facts.aged:
            record.text = read_tagged(request)
        if self.follows:
            record.context = find_context(client.settings)
        record.shape = request.shape
        record.database, record.user, record.client = identity.database, identity.user, identity.id
        record.arrived, record.microseconds = request.arrived, request.microseconds
        record.failed = request.failed
        self.put(record, request.arrived + request.microseconds / 1e6)

    def hear_http(self, method: str, route: str, status: int, traceparent: str, begun: float) -> None:
        """A request to one of our own endpoints is answered."""
        if self.keys.mode == "off" or not self.keys.http:
            return
        now = monotonic()
        context = parse_traceparent(traceparent)
        self.put(HttpRecord(method, route, status, context, begun, int((now - begun) * 1e6)), now)

    def put(self, record: Record | HttpRecord, now: float) -> None:
        if self.outbox.put(record, now) and self.exporter is not None:
            self.exporter.wake()

    # --- how it goes ---

    def figures(self) -> TraceFigures:
        sampler, exporter = self.sampler, self.exporter
        return TraceFigures(
            mode=self.keys.mode,
            spans=dict(self.outbox.counts),
            waiting=len(self.outbox.waiting),
            contexts={
                ("comment", "true"): sampler.in_comments,
                ("comment", "false"): sampler.invalid_comments,
                ("setting", "true"): sampler.in_settings,
                ("setting", "false"): sampler.invalid_settings,
                ("application_name", "true"): sampler.in_names,
            },
            bounds=BOUNDS,
            buckets=tuple(exporter.buckets) if exporter is not None else (0,) * (len(BOUNDS) + 1),
            seconds=exporter.seconds if exporter is not None else 0.0,
        )


def read_tagged(request: Query) -> bytes:
    """What may have tags of its text; b"": nothing."""
    if request.chunk.find(b"/*") < 0:
        return b""
    text = statement_text(request.chunk, request.at)
    if len(text) > TEXT_LIMIT:
        text = b" ".join(find_tags(text))
    return text if b"/*" in text else b""


def find_context(settings: Parameters) -> Context | None:
    """Of a session."""
    found: Found | None = settings.trace
    if found is None:
        found = read_settings(settings.values)
    return found.context


def find_target(keys: TracingSettings) -> Target:
    headers = {name: text.get_secret_value() for name, text in (*keys.endpoint.headers, *keys.headers)}
    return Target(
        keys.endpoint.url,
        headers,
        keys.timeout,
        keys.interval,
        gzip=keys.compression == "gzip",
        certificate=str(keys.certificate or ""),
    )
