"""Sends spans to a collector: OTLP over HTTP, protobuf, from a thread of its own.

Whatever the collector does, nobody waits for it but this thread. A batch that it cannot take now (429, 502, 503, 504,
no answer) is tried again, for a while, with growing pauses; what comes meanwhile waits in the outbox, and is dropped
and counted there. An attempt has a deadline as a whole: a line that drips is cut. `stop` ends all within STOP seconds.
"""

import gzip
import http.client
import socket
import ssl
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from dbproxy.observe.outbox import DROPPED_CONTEXT, EXPORTED, FAILED, Item, Outbox

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds ahead of each further attempt
LONGEST_PAUSE = 30.0  # that a collector may ask for
FAREWELL = 2.0  # seconds for what is left, at the end
STOP = 4.0
AGAIN = frozenset({429, 502, 503, 504})
READ = 65536  # bytes of an answer that are looked at
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


@dataclass(frozen=True)
class Target:
    """Where batches go. `headers` may hold secrets."""

    url: str
    headers: dict[str, str]
    timeout: float
    interval: float = 5.0  # seconds between batches that are not whole
    gzip: bool = False
    certificate: str = ""

    @property
    def place(self) -> str:
        """The URL without its query, which may hold a key."""
        return self.url.partition("?")[0]

    def __repr__(self) -> str:
        return f"<Target {self.place}>"


class Builds(Protocol):
    """observe.spans, which needs a package that may not be there."""

    def build(self, records: list[Item], offset_ns: int, bound: int) -> tuple[bytes, int]: ...


class Refused(Exception):
    """The collector has not taken the batch. `again`: it may later, in `pause` seconds if it has said so."""

    def __init__(self, reason: str, *, again: bool, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.again = again
        self.pause = pause


class Exporter:
    """`make_builder` is called in the thread. `target` and `bound` may be changed at any time."""

    def __init__(self, outbox: Outbox, target: Target, make_builder: Callable[[], Builds], log: Any) -> None:
        self.outbox = outbox
        self.target = target
        self.bound = 0  # of sampled ids (observe.sampling)
        self.make_builder = make_builder
        self.log = log
        self.woken = threading.Event()
        self.stopping = threading.Event()
        self.line: Line | None = None  # at work
        self.pauses = PAUSES
        self.failing = False  # that was told
        self.seconds = 0.0  # that attempts have taken
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.thread = threading.Thread(target=self.run, name="dbproxy-tracing", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def wake(self) -> None:
        """A batch is whole."""
        self.woken.set()

    def stop(self) -> None:
        """Send what is left, and end; blocks for at most STOP seconds."""
        deadline = time.monotonic() + STOP
        self.stopping.set()
        self.woken.set()
        self.thread.join(FAREWELL)
        line = self.line
        if line is not None:
            line.cut()
        self.thread.join(max(0.0, deadline - time.monotonic()))

    # --- the thread ---

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.woken.wait(self.target.interval)
                self.woken.clear()
                self.send_all()
        except Exception as error:
            self.log.exception("internal error", exc_info=error)

    def send_all(self) -> None:
        """All that waits, unless the collector stands in the way; at the end, one attempt."""
        deadline = time.monotonic() + FAREWELL
        while self.outbox.waiting:
            records = self.outbox.take()
            sent = self.send_batch(records)
            if self.stopping.is_set() and (not sent or time.monotonic() > deadline):
                self.outbox.counts[FAILED] += len(self.outbox.waiting)
                self.outbox.waiting.clear()

    def send_batch(self, records: list[Item]) -> bool:
        """Whether it was taken, in the end."""
        try:
            offset = time.time_ns() - time.monotonic_ns()
            body, left_out = self.make_builder().build(records, offset, self.bound)
        except Exception as error:  # one batch, not those behind it
            self.log.error("internal error", exc_info=error)
            self.outbox.counts[FAILED] += len(records)
            return False
        self.outbox.counts[DROPPED_CONTEXT] += left_out
        spans = len(records) - left_out
        for pause in (*self.pauses, None):
            try:
                rejected = max(0, min(spans, self.attempt(body)))
            except Refused as refusal:
                self.tell_failure(str(refusal))
                if not refusal.again or pause is None:
                    break
                if self.stopping.wait(min(max(pause, refusal.pause), LONGEST_PAUSE)):
                    break
            except Exception as error:  # no thread for its deadline, perhaps
                self.log.error("internal error", exc_info=error)
                break
            else:
                self.outbox.counts[EXPORTED] += spans - rejected
                self.outbox.counts[FAILED] += rejected
                self.tell_success()
                return True
        self.outbox.counts[FAILED] += spans
        return False

    def attempt(self, body: bytes) -> int:
        """Send it once; how many of its spans were rejected. Raises Refused."""
        target = self.target
        begun = time.monotonic()
        timeout = min(target.timeout, FAREWELL) if self.stopping.is_set() else target.timeout
        line = self.line = Line(target, timeout)
        try:
            return line.send(body)
        finally:
            self.line = None
            took = time.monotonic() - begun
            self.seconds += took
            self.buckets[bisect_left(BOUNDS, took)] += 1

    def tell_failure(self, reason: str) -> None:
        if not self.failing:
            self.failing = True
            self.log.warning("spans not exported", endpoint=self.target.place, error=reason,
                             hint="It is tried again; what comes meanwhile is dropped and counted.")  # fmt: skip

    def tell_success(self) -> None:
        if self.failing:
            self.failing = False
            self.log.info("spans exported again", endpoint=self.target.place)


class Line:
    """One attempt's connection; `cut` may be called by another thread."""

    def __init__(self, target: Target, timeout: float) -> None:
        self.target = target
        self.timeout = timeout
        self.connection: http.client.HTTPConnection | None = None
        self.was_cut = False

    def send(self, body: bytes) -> int:
        """How many spans were rejected. Raises Refused."""
        alarm = threading.Timer(self.timeout, self.cut)
        alarm.daemon = True
        alarm.start()
        try:
            return self._exchange(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = (
                "no answer in time" if self.was_cut or isinstance(error, TimeoutError) else describe(error)
            )
            raise Refused(reason, again=True) from None
        finally:
            alarm.cancel()
            if self.connection is not None:
                self.connection.close()

    def cut(self) -> None:
        self.was_cut = True
        connection = self.connection
        line = connection.sock if connection is not None else None
        if line is not None:
            try:
                socket.socket.shutdown(line, socket.SHUT_RDWR)
            except OSError:
                return  # it is closed

    def _exchange(self, body: bytes) -> int:
        parts = urlsplit(self.target.url)
        connection = self.connection = self._connect(parts.scheme, parts.hostname or "", parts.port)
        headers = {
            "content-type": "application/x-protobuf",
            "user-agent": "OTel-OTLP-Exporter-dbproxy",
            **self.target.headers,
        }
        if self.target.gzip:
            headers["content-encoding"], body = "gzip", gzip.compress(body, 1)
        path = f"{parts.path or '/'}{'?' * bool(parts.query)}{parts.query}"
        connection.connect()
        if self.was_cut:
            raise TimeoutError
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        told = answer.read(READ)
        if answer.status // 100 == 2:
            return count_rejected(told)
        pause = answer.getheader("retry-after", "")
        raise Refused(
            f"HTTP status {answer.status}",
            again=answer.status in AGAIN,
            pause=float(pause) if pause.isdecimal() else 0.0,
        )

    def _connect(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self.timeout)
        context = ssl.create_default_context(cafile=self.target.certificate or None)
        return http.client.HTTPSConnection(host, port, timeout=self.timeout, context=context)


def count_rejected(told: bytes) -> int:
    """Of an ExportTraceServiceResponse."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        return int(ExportTraceServiceResponse.FromString(told).partial_success.rejected_spans)
    except Exception:  # what it says there is no matter: it has taken them
        return 0


def describe(error: Exception) -> str:
    """What went wrong, with nothing of what was sent."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else ""
    return text or type(error).__name__
