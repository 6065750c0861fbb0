"""From settings to what is chosen and where it is sent."""

import subprocess
import sys
from typing import Any

import pytest

from dbproxy.app.tracing import Tracing, check_tracing, find_target
from dbproxy.config import Settings, load
from dbproxy.config.settings import Settings as AllSettings
from dbproxy.errors import ConfigurationError
from dbproxy.observe.exemplars import Exemplars
from dbproxy.pool.tenant import Tenant

URL = "postgresql://app@db/app"


def settings(**keys: str) -> Settings:
    return load(None, {"DATABASE_URL": URL}, {f"tracing.{key}": value for key, value in keys.items()})


def trace(**keys: str) -> Tracing:
    return Tracing(settings(**keys), Exemplars([]))


def tenant() -> Tenant:
    return Tenant("app", "app", AllSettings().pool)


def test_off_is_nobody_listening():
    tracing, one = trace(), tenant()
    tracing.attend([one])
    assert (one.listeners, one.sampler) == ((), None)


@pytest.mark.parametrize("mode", ["observe", "on"])
def test_on_is_one_listener_behind_the_sampler(mode: str):
    tracing, one = trace(mode=mode), tenant()
    for _ in range(2):
        tracing.attend([one])
    assert (one.listeners, one.sampler) == ((tracing,), tracing.sampler)
    assert one.hears_few()
    one.tell(object(), wanted=True)  # type: ignore[arg-type]  # another that hears of all
    assert not one.hears_few()
    tracing.apply(settings(mode="off"))
    tracing.attend([one])
    assert one.sampler is None
    assert len(one.listeners) == 1


def test_requests_of_clients_may_be_left_out():
    tracing, one = trace(mode="on", database="false"), tenant()
    tracing.attend([one])
    assert one.sampler is None


def test_thread_runs_once_the_proxy_does_and_tracing_is_on():
    tracing = trace(mode="off")
    tracing.start()
    assert tracing.exporter is None
    tracing.apply(settings(mode="on", endpoint="http://localhost:1"))
    assert tracing.exporter is not None
    tracing.apply(settings(mode="on", endpoint="http://localhost:2"))
    assert tracing.exporter.target.url == "http://localhost:2/v1/traces"
    tracing.stop()
    assert not tracing.exporter.thread.is_alive()


def test_target_has_all_headers():
    keys = settings(
        endpoint="https://k@sentry.example/7", headers="a=b", compression="gzip", interval="1s"
    ).tracing
    target = find_target(keys)
    assert target.headers == {"x-sentry-auth": "sentry sentry_key=k", "a": "b"}
    assert (target.gzip, target.interval, target.timeout) == (True, 1.0, 10.0)
    assert "sentry_key" not in repr(target)


def test_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("dbproxy.app.tracing.PACKAGE", "opentelemetry_that_is_not_there.proto")
    for mode in ("off", "observe"):
        check_tracing(settings(mode=mode))
    with pytest.raises(ConfigurationError, match=r'tracing\.mode = "on"'):
        trace(mode="on")


def test_nothing_of_it_is_imported_before_it_is_on():
    """In a process of its own: the tests themselves import it."""
    code = "import sys, dbproxy.app.proxy; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_figures_have_every_outcome():
    figures: Any = trace(mode="observe").figures()
    assert set(figures.spans) == {
        "exported", "failed", "observed", "dropped_queue", "dropped_rate", "dropped_context",
    }  # fmt: skip
    assert len(figures.buckets) == len(figures.bounds) + 1


def test_protocol_of_the_application_beside_us_is_a_mistake_only_once_tracing_is_on():
    known = {"DATABASE_URL": "postgresql://app:x@db/app", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    check_tracing(load(None, known))
    with pytest.raises(ConfigurationError, match="speaks http/protobuf only") as raised:
        check_tracing(load(None, {**known, "DBPROXY_TRACING__MODE": "on"}))
    assert "4318" in (raised.value.hint or "")
