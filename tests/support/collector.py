"""A collector of spans: OTLP over HTTP, as a test wants it to behave."""

import gzip
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATIENCE = 20.0


class Collector:
    """`with Collector() as collector`; `status` is what it answers."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.refused = 0  # attempts that got another answer than 200
        self.status = 200
        self.retry_after = ""
        self.rejected = 0  # spans, as it says
        self.answering = threading.Event()
        self.answering.set()
        self.arrived = threading.Condition()
        self.server = ThreadingHTTPServer(("127.0.0.1", port), self.handler())
        self.server.daemon_threads = True
        self.port: int = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.answering.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hold(self) -> None:
        """Answer nothing from now on, until `release`."""
        self.answering.clear()

    def release(self) -> None:
        self.answering.set()

    def spans(self) -> list[Span]:
        with self.arrived:
            return [
                span
                for request in self.requests
                for resource in request.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            ]

    def find(self, matches: Callable[[Span], bool], count: int = 1) -> list[Span]:
        """So many spans that match, as soon as they are there."""
        deadline = time.monotonic() + PATIENCE
        with self.arrived:
            while len(found := [span for span in self.spans() if matches(span)]) < count:
                left = deadline - time.monotonic()
                assert left > 0, f"{len(found)} of {count} spans, of {len(self.spans())}"
                self.arrived.wait(left)
        return found

    def find_named(self, name: str, count: int = 1) -> list[Span]:
        return self.find(lambda span: span.name == name, count)

    def until_refused(self, count: int = 1) -> None:
        """Return once so many attempts have got another answer than 200."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: self.refused >= count, PATIENCE)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # http.server's
                collector.serve(self)

            def log_message(self, *_: object) -> None:
                return

        return Handler

    def serve(self, exchange: BaseHTTPRequestHandler) -> None:
        body = read_body(exchange)
        if not self.answering.is_set():
            with self.arrived:
                self.refused += 1
                self.arrived.notify_all()
            self.answering.wait()
            return  # whoever asked is gone
        status = self.status
        answer = ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = self.rejected
        said = answer.SerializeToString()
        with self.arrived:
            if status == 200:
                if exchange.headers["content-encoding"] == "gzip":
                    body = gzip.decompress(body)
                self.requests.append(ExportTraceServiceRequest.FromString(body))
                self.headers.append({name.lower(): value for name, value in exchange.headers.items()})
                self.paths.append(exchange.path)
            else:
                self.refused += 1
            self.arrived.notify_all()
        exchange.send_response(status)
        if self.retry_after:
            exchange.send_header("retry-after", self.retry_after)
        exchange.send_header("content-length", str(len(said)))
        exchange.end_headers()
        exchange.wfile.write(said)


def read_body(exchange: BaseHTTPRequestHandler) -> bytes:
    """Node's exporter sends it in chunks."""
    if exchange.headers["transfer-encoding"] != "chunked":
        return exchange.rfile.read(int(exchange.headers["content-length"]))
    body = b""
    while size := int(exchange.rfile.readline(), 16):
        body += exchange.rfile.read(size)
        exchange.rfile.readline()
    exchange.rfile.readline()
    return body


def attributes(span: Span) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}
