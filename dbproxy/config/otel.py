"""What OpenTelemetry's own variables in the environment set: `OTEL_…`, as its specification has them.

`OTEL_EXPORTER_OTLP_TRACES_…` go over `OTEL_EXPORTER_OTLP_…`. None of them turns tracing on: they may be meant for an
application beside us. Those of a batch's and the queue's size are not read: ours has its own bounds.
"""

from collections.abc import Iterator, Mapping

from dbproxy.config.tracing import TRACES_PATH
from dbproxy.config.written import Assignment

_SPECIFIC = ("PROTOCOL", "HEADERS", "COMPRESSION", "CERTIFICATE", "TIMEOUT")
SAMPLERS = {  # the parent's part, and the share where it is fixed
    "always_on": ("ignore", "1"),
    "always_off": ("ignore", "0"),
    "traceidratio": ("ratio", ""),
    "parentbased_always_on": ("follow", "1"),
    "parentbased_always_off": ("follow", "0"),
    "parentbased_traceidratio": ("follow", ""),
}
NAMES = (
    "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    *(f"OTEL_EXPORTER_OTLP_{part}{name}" for name in _SPECIFIC for part in ("", "TRACES_")),
)  # fmt: skip


def read_otel(environ: Mapping[str, str]) -> Iterator[Assignment]:
    for name in NAMES:
        if value := environ.get(name, "").strip():
            for key, text in _translate(name, value, environ):
                yield Assignment(("tracing", key), text, name)


def _translate(name: str, value: str, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Keys and their values."""
    specific = name.removeprefix("OTEL_EXPORTER_OTLP_").removeprefix("TRACES_")
    if name == "OTEL_SDK_DISABLED" or name == "OTEL_TRACES_EXPORTER":
        if value.lower() == ("none" if name == "OTEL_TRACES_EXPORTER" else "true"):
            yield "mode", "off"
    elif name == "OTEL_SERVICE_NAME":
        yield "service_name", value
    elif name == "OTEL_RESOURCE_ATTRIBUTES":
        yield "resource", value
    elif name == "OTEL_TRACES_SAMPLER":
        yield from _translate_sampler(value.lower(), environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip())
    elif name == "OTEL_EXPORTER_OTLP_ENDPOINT":
        yield "endpoint", value.rstrip("/") + TRACES_PATH
    elif name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":
        yield "endpoint", value
    elif name == "OTEL_BSP_SCHEDULE_DELAY":
        yield "interval", f"{value}ms" if value.isdecimal() else value
    elif specific == "TIMEOUT":
        yield "timeout", f"{value}ms" if value.isdecimal() else value
    elif specific in _SPECIFIC:
        yield specific.lower(), value


def _translate_sampler(sampler: str, share: str) -> Iterator[tuple[str, str]]:
    parent, fixed = SAMPLERS.get(sampler, (sampler, ""))  # an unknown one is told as what it is
    yield "parent", parent
    if sampler in SAMPLERS:
        yield "sample_rate", fixed or share or "1"
