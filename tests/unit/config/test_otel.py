"""OpenTelemetry's variables mean what its specification says."""

import pytest

from dbproxy.config import load
from dbproxy.config.otel import read_otel


def read(**environ: str) -> dict[str, object]:
    return {".".join(map(str, found.path)): found.value for found in read_otel(environ)}


def test_base_endpoint_gets_the_path_of_traces_and_that_of_traces_is_taken_as_it_is():
    base = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"}
    assert read(**base) == {"tracing.endpoint": "http://collector:4318/v1/traces"}
    own = {**base, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://other/traces"}
    assert read(**own) == {"tracing.endpoint": "https://other/traces"}


def test_what_is_for_traces_goes_over_what_is_for_all():
    environ = {
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "a=1",
        "OTEL_EXPORTER_OTLP_HEADERS": "b=2",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2500",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    assert read(**environ) == {
        "tracing.headers": "a=1",
        "tracing.timeout": "2500ms",
        "tracing.compression": "gzip",
        "tracing.protocol": "http/protobuf",
    }


@pytest.mark.parametrize(
    ("sampler", "share", "parent", "rate"),
    [
        ("always_on", "", "ignore", "1"),
        ("always_off", "0.5", "ignore", "0"),
        ("traceidratio", "0.25", "ratio", "0.25"),
        ("parentbased_traceidratio", "0.25", "follow", "0.25"),
        ("parentbased_always_on", "", "follow", "1"),
        ("parentbased_traceidratio", "", "follow", "1"),
    ],
)
def test_samplers(sampler: str, share: str, parent: str, rate: str):
    found = read(OTEL_TRACES_SAMPLER=sampler, OTEL_TRACES_SAMPLER_ARG=share)
    assert found == {"tracing.parent": parent, "tracing.sample_rate": rate}


@pytest.mark.parametrize(
    "environ",
    [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}],
    ids=lambda names: next(iter(names)),
)
def test_what_turns_tracing_off(environ: dict[str, str]):
    assert read(**environ) == {"tracing.mode": "off"}
    assert read(OTEL_SDK_DISABLED="false", OTEL_TRACES_EXPORTER="otlp") == {}


def test_none_of_them_turns_tracing_on():
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SERVICE_NAME": "shop-db"}
    tracing = load(None, environ).tracing
    assert (tracing.mode, tracing.endpoint.url, tracing.service_name) == (
        "off",
        "http://c:4318/v1/traces",
        "shop-db",
    )


def test_ours_goes_over_them():
    environ = {"OTEL_SERVICE_NAME": "shop", "DBPROXY_TRACING__SERVICE_NAME": "proxy", "APM_SAMPLE_RATE": "0.2",
               "OTEL_TRACES_SAMPLER": "always_on"}  # fmt: skip
    tracing = load(None, environ).tracing
    assert (tracing.service_name, tracing.sample_rate) == ("proxy", 0.2)
