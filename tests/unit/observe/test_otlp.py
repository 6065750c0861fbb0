"""The exporter against a collector that answers, refuses, hangs or is not there."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import structlog

from dbproxy.demo.postgres import free_port
from dbproxy.observe.exemplars import Exemplars
from dbproxy.observe.otlp import STOP, Exporter, Target
from dbproxy.observe.outbox import BATCH, LIMIT, Outbox
from dbproxy.observe.record import HttpRecord
from dbproxy.observe.spans import Builder
from tests.support.collector import Collector

ITEM = HttpRecord("GET", "/health", 200, None, 0.0, 1)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


class Sending:
    """An exporter that pauses for milliseconds only, and what it tells."""

    def __init__(self, url: str, timeout: float = 5.0, **more: object) -> None:
        self.outbox = Outbox()
        target = Target(f"{url}/v1/traces", {"api-key": "5ecre7"}, timeout, **more)  # type: ignore[arg-type]
        self.lines: list[dict[str, object]] = []
        log = structlog.wrap_logger(None, processors=[self.keep])
        self.exporter = Exporter(self.outbox, target, lambda: Builder("svc", [], "1", Exemplars([])), log)
        self.exporter.pauses = (0.01,) * 5
        self.exporter.start()

    def keep(self, _: object, __: str, line: dict[str, object]) -> None:
        self.lines.append(line)
        raise structlog.DropEvent

    def put(self, count: int = 1) -> None:
        for _ in range(count):
            self.outbox.put(ITEM, 0.0)
        self.exporter.wake()

    def until(self, outcome: str, count: int) -> None:
        deadline = time.monotonic() + 20
        while self.outbox.counts[outcome] < count:
            assert time.monotonic() < deadline, self.outbox.counts
            time.sleep(0.002)  # another thread's number


@pytest.fixture
def sending(collector: Collector) -> Iterator[Sending]:
    made = Sending(collector.url)
    yield made
    collector.release()
    made.exporter.stop()
    assert "5ecre7" not in f"{made.lines} {made.exporter.target}"


def test_batches_are_sent(collector: Collector, sending: Sending):
    sending.put(BATCH + 1)
    sending.until("exported", BATCH + 1)
    assert [len(request.resource_spans[0].scope_spans[0].spans) for request in collector.requests] == [
        BATCH,
        1,
    ]
    assert (collector.paths[0], collector.headers[0]["api-key"]) == ("/v1/traces", "5ecre7")
    assert collector.headers[0]["content-type"] == "application/x-protobuf"
    assert sum(sending.exporter.buckets) == 2
    assert sending.lines == []


def test_gzip(collector: Collector):
    packed = Sending(collector.url, gzip=True)
    packed.put()
    packed.until("exported", 1)
    packed.exporter.stop()
    assert collector.headers[0]["content-encoding"] == "gzip"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_collector_that_cannot_now_is_asked_again(collector: Collector, sending: Sending, status: int):
    collector.status = status
    sending.put(3)
    collector.until_refused(2)
    collector.status = 200
    sending.until("exported", 3)
    assert sending.outbox.counts["failed"] == 0
    assert [line["event"] for line in sending.lines] == ["spans not exported", "spans exported again"]


@pytest.mark.parametrize("status", [400, 404, 500])
def test_collector_that_will_not_is_not_asked_again(collector: Collector, sending: Sending, status: int):
    collector.status = status
    sending.put(3)
    sending.until("failed", 3)
    assert collector.refused == 1
    collector.status = 200
    sending.put(2)
    sending.until("exported", 2)


def test_collector_that_comes_later(collector: Collector):
    port = free_port()
    early = Sending(f"http://127.0.0.1:{port}")
    early.exporter.pauses = (0.05,) * 400
    early.put(3)
    while not early.lines:
        time.sleep(0.002)  # another thread's
    with Collector(port):
        early.until("exported", 3)
        early.exporter.stop()


def test_collector_that_does_not_answer_is_given_up_and_comes_back(collector: Collector):
    waiting = Sending(collector.url, timeout=0.05)
    collector.hold()
    waiting.put(3)
    collector.until_refused(2)
    collector.release()
    waiting.until("exported", 3)
    waiting.exporter.stop()
    assert waiting.lines[0]["error"] == "no answer in time"


def test_answer_that_drips_is_cut_off():
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def drip() -> None:
            line, _ = server.accept()
            with line:
                try:
                    while not over.wait(0.01):
                        line.sendall(b"H")
                except OSError:
                    over.set()

        thread = threading.Thread(target=drip)
        thread.start()
        dripping = Sending(f"http://127.0.0.1:{server.getsockname()[1]}", timeout=0.2)
        dripping.exporter.pauses = ()
        dripping.put()
        dripping.until("failed", 1)
        over.set()
        thread.join()
        dripping.exporter.stop()


def test_what_waits_is_bounded_while_nobody_takes_it(collector: Collector, sending: Sending):
    collector.hold()
    sending.put(1)
    collector.until_refused()
    sending.put(LIMIT + 7)
    assert len(sending.outbox.waiting) == LIMIT
    assert sending.outbox.counts["dropped_queue"] == 7
    collector.release()


def test_rejected_spans_are_counted_as_failed(collector: Collector, sending: Sending):
    collector.rejected = 2
    sending.put(5)
    sending.until("exported", 3)
    assert sending.outbox.counts["failed"] == 2


def test_collector_that_rejects_less_than_nothing_changes_no_count(collector: Collector, sending: Sending):
    collector.rejected = -3
    sending.put(5)
    sending.until("exported", 5)
    assert sending.outbox.counts["exported"] == 5
    assert sending.outbox.counts["failed"] == 0


def test_key_in_the_url_is_not_logged(collector: Collector):
    secret = Sending(collector.url)
    secret.exporter.target = Target(f"{collector.url}/v1/traces?key=hunter2", {}, 5.0)
    collector.status = 400
    secret.put(1)
    secret.until("failed", 1)
    secret.exporter.stop()
    assert secret.lines
    assert "hunter2" not in f"{secret.lines} {secret.exporter.target}"


def test_attempt_that_cannot_be_made_costs_its_batch_alone(
    collector: Collector, sending: Sending, monkeypatch: pytest.MonkeyPatch
):
    def fail(timer: threading.Timer) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Timer, "start", fail)
        sending.put(2)
        sending.until("failed", 2)
    sending.put(3)
    sending.until("exported", 3)


def test_stop_sends_what_is_left(collector: Collector, sending: Sending):
    sending.outbox.put(ITEM, 0.0)
    sending.exporter.stop()
    assert len(collector.spans()) == 1


def test_stop_does_not_wait_for_a_pause(collector: Collector, sending: Sending):
    sending.exporter.pauses = (1000.0,)
    collector.status = 503
    collector.retry_after = "1000"
    sending.put(3)
    collector.until_refused()
    sending.exporter.stop()
    assert not sending.exporter.thread.is_alive()
    assert sending.outbox.counts["failed"] == 3


def test_stop_cuts_off_a_collector_that_hangs(collector: Collector):
    hanging = Sending(collector.url, timeout=600)
    collector.hold()
    hanging.put(3)
    collector.until_refused()
    hanging.exporter.stop()
    assert not hanging.exporter.thread.is_alive()  # after at most STOP seconds: stop waits no longer
    assert hanging.outbox.counts["failed"] == 3
    assert STOP < 5


def test_bug_in_one_batch_costs_no_other(collector: Collector, sending: Sending):
    sending.outbox.waiting.append("no record")  # type: ignore[arg-type]
    sending.exporter.wake()
    sending.until("failed", 1)
    sending.put(2)
    sending.until("exported", 2)
    assert sending.lines[0]["event"] == "internal error"
