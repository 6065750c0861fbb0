"""The section that says which requests become spans, and where those are sent (OpenTelemetry's OTLP over HTTP)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, PlainValidator, SecretStr

from dbproxy.config.secrecy import HIDDEN
from dbproxy.config.section import Section, setting
from dbproxy.config.sections import ExistingFile
from dbproxy.config.units import Count, Duration, Names, Unit

TRACES_PATH = "/v1/traces"  # OTLP's, behind a base URL
ALWAYS = ("error", "slow")
SPOKEN = "http/protobuf"
_PAIR = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Endpoint:
    """Where spans are sent; `headers` is what a Sentry DSN asks for. Its text shows no login, and no query."""

    url: str = field(repr=False)
    headers: tuple[tuple[str, SecretStr], ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        place, question, _ = self.url.partition("?")
        return f"{place}?{HIDDEN}" if question else place


def parse_endpoint(value: object) -> Endpoint:
    """A URL, to which OTLP's path is added if it has none; or a Sentry DSN, which has a key and a project."""
    if isinstance(value, Endpoint):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a URL in quotes")
    parts = _split(value.strip())
    path = parts.path.rstrip("/")
    place = parts.netloc.rpartition("@")[2]
    if not parts.username:
        return Endpoint(
            f"{parts.scheme}://{place}{path or TRACES_PATH}{'?' * bool(parts.query)}{parts.query}"
        )
    folder, _, project = path.rpartition("/")
    if not project.isdecimal() or parts.password:
        raise ValueError("holds a login: put it into tracing.headers, such as authorization=Basic …")
    key = SecretStr(f"sentry sentry_key={unquote(parts.username)}")
    url = f"{parts.scheme}://{place}{folder}/api/{project}/integration/otlp{TRACES_PATH}"
    return Endpoint(url, (("x-sentry-auth", key),))


def _split(text: str) -> Any:
    parts = urlsplit(text)  # ValueError, with nothing of the text but brackets
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.fragment
        or not text.isprintable()
    ):
        raise ValueError("must be a URL such as http://localhost:4318, or a Sentry DSN")
    if parts.port == 0 or re.search(r"\s", text):
        raise ValueError("must be a URL such as http://localhost:4318")
    return parts


def parse_headers(value: object) -> tuple[tuple[str, SecretStr], ...]:
    """`name=value`, separated by commas or in a list, values URL-encoded (OTEL_EXPORTER_OTLP_HEADERS); or a table."""
    if isinstance(value, tuple):
        return value
    value = _join(value)
    if isinstance(value, Mapping):
        pairs = [(str(name), str(text)) for name, text in value.items()]
    elif isinstance(value, str):
        found = [_PAIR.fullmatch(pair.strip()) for pair in value.split(",") if pair.strip()]
        if None in found:
            raise ValueError("must be name=value, separated by commas")
        pairs = [(pair[1], unquote(pair[2])) for pair in found if pair is not None]
    else:
        raise ValueError("must be name=value, separated by commas")
    if not all(_PAIR.fullmatch(f"{name}=") and text.isprintable() and text.isascii() for name, text in pairs):
        raise ValueError("holds a name or a value that is no header's")
    return tuple((name.lower(), SecretStr(text)) for name, text in pairs)


def _join(value: object) -> object:
    """What a list of texts, as TOML has it, is in one; anything else as it is."""
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return ",".join(value)
    return value


def show_headers(headers: tuple[tuple[str, SecretStr], ...]) -> str:
    return ",".join(f"{name}={HIDDEN}" for name, _ in headers)


def parse_attributes(value: object) -> tuple[tuple[str, str], ...]:
    """`key=value`, separated by commas or in a list, values URL-encoded (OTEL_RESOURCE_ATTRIBUTES)."""
    if isinstance(value, tuple):
        return value
    value = _join(value)
    if not isinstance(value, str):
        raise ValueError("must be key=value, separated by commas")
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    if not all(key.strip() and equals for key, equals, _ in pairs):
        raise ValueError("must be key=value, separated by commas")
    return tuple((key.strip(), unquote(text.strip())) for key, _, text in pairs)


def show_attributes(attributes: tuple[tuple[str, str], ...]) -> str:
    return ",".join(f"{key}={text}" for key, text in attributes)


def parse_rate(value: object) -> float:
    if isinstance(value, str):
        value = float(value) if re.fullmatch(r"\d*\.?\d+|\d+\.", value.strip(), re.ASCII) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("must be a share from 0 to 1, such as 0.1")
    return float(value)


def check_always(names: tuple[str, ...]) -> tuple[str, ...]:
    if not set(names) <= set(ALWAYS):
        raise ValueError(f"must be of {', '.join(ALWAYS)}")
    return names


EndpointUrl = Annotated[
    Endpoint, PlainValidator(parse_endpoint), PlainSerializer(str, return_type=str), Unit("URL", str)
]
Headers = Annotated[
    tuple[tuple[str, SecretStr], ...],
    PlainValidator(parse_headers),
    PlainSerializer(show_headers, return_type=str),
    Unit("list of headers", show_headers),
]
Attributes = Annotated[
    tuple[tuple[str, str], ...],
    PlainValidator(parse_attributes),
    PlainSerializer(show_attributes, return_type=str),
    Unit("list of attributes", show_attributes),
]
Rate = Annotated[float, BeforeValidator(parse_rate), Unit("share", "{:g}".format)]


class TracingSettings(Section):
    """Spans of requests, sent to an OpenTelemetry collector: docs/observability.md. Needs `dbproxy[tracing]`."""

    mode: Literal["off", "observe", "on"] = setting(
        "off", "Whether requests become spans; `observe` picks and counts them, and sends none."
    )
    database: bool = setting(default=True, description="Whether clients' requests do.")
    http: bool = setting(
        default=False, description="Whether requests to our own HTTP endpoints do, all of them."
    )
    endpoint: EndpointUrl = setting(
        "http://localhost:4318",
        "The collector's URL (`/v1/traces` is added where it has no path), or a Sentry DSN.",
    )
    protocol: Literal["http/protobuf", "grpc", "http/json"] = setting(
        SPOKEN,
        "What is spoken there: `http/protobuf`. OpenTelemetry's others are a mistake once `mode` is `on`.",
    )
    headers: Headers = setting(
        "", "Headers of what is sent there, as `name=value`, separated by commas; values are URL-encoded."
    )
    compression: Literal["none", "gzip"] = setting("none", "How what is sent there is compressed.")
    certificate: ExistingFile = setting(
        "", "File of the certificates that its own is checked against; empty: the system's."
    )
    timeout: Duration = setting("10s", "Longest that sending a batch may take.", ge=0.01, le=600)
    interval: Duration = setting(
        "5s", "How often what has come is sent; 512 of them are at once.", ge=0.01, le=600
    )
    service_name: str = setting("dbproxy", "The name of the service that the spans are of.")
    resource: Attributes = setting(
        "", "More attributes of that service, as `key=value`, separated by commas; values are URL-encoded."
    )
    sample_rate: Rate = setting("0.1", "Share of requests without a parent that become spans.")
    parent: Literal["follow", "ratio", "ignore"] = setting(
        "follow",
        "What a `traceparent` decides: `follow` does as its flag says, `ratio` takes the share by its trace id, "
        "`ignore` does not look at it.",
    )
    always: Annotated[Names, AfterValidator(check_always)] = setting(
        ["error", "slow"],
        "What becomes a span whatever was decided: `error`, `slow` (`slow_query.threshold`).",
    )
    max_spans_per_second: Count = setting(1000, "Of more only the number is told; 0 is no limit.")

    def exports(self) -> bool:
        """Whether spans of clients' requests are sent."""
        return self.mode == "on" and self.database
