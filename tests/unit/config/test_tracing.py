"""Where spans are sent: what may be written, and what of it is shown."""

import pytest

from dbproxy.config import list_entries, load
from dbproxy.config.tracing import parse_attributes, parse_endpoint, parse_headers, parse_rate
from dbproxy.errors import ConfigurationError

DSN = "https://5ecre7@o123.ingest.sentry.io/456"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://localhost:4318", "http://localhost:4318/v1/traces"),
        ("http://localhost:4318/", "http://localhost:4318/v1/traces"),
        ("https://otlp.example/custom/traces", "https://otlp.example/custom/traces"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
        ("https://otlp.example/v1/traces?a=b", "https://otlp.example/v1/traces?a=b"),
    ],
)
def test_endpoint(written: str, meant: str):
    assert parse_endpoint(written).url == meant
    assert parse_endpoint(written).headers == ()


def test_key_in_the_query_is_sent_and_not_shown():
    found = parse_endpoint("https://h/v1/traces?key=hunter2")
    assert found.url == "https://h/v1/traces?key=hunter2"
    assert str(found) == "https://h/v1/traces?***"
    assert "hunter2" not in repr(found)


def test_sentry_dsn_is_an_endpoint_and_a_header():
    found = parse_endpoint(DSN)
    assert found.url == "https://o123.ingest.sentry.io/api/456/integration/otlp/v1/traces"
    ((name, value),) = found.headers
    assert (name, value.get_secret_value()) == ("x-sentry-auth", "sentry sentry_key=5ecre7")
    below = parse_endpoint("https://k@sentry.example/own/7")
    assert below.url == "https://sentry.example/own/api/7/integration/otlp/v1/traces"


@pytest.mark.parametrize(
    "written",
    ["", "localhost:4318", "grpc://localhost:4317", "http://", "https://user:5ecre7@h/1", "https://5ecre7@h/x",
     "http://h:x", "http://h/ b", 7],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused_and_not_repeated(written: object):
    with pytest.raises(ValueError, match=r"^(?!.*5ecre7)"):
        parse_endpoint(written)


def test_headers_are_decoded():
    found = parse_headers("api-key=a%2Cb, X-Two = 2=2")
    assert [(name, text.get_secret_value()) for name, text in found] == [("api-key", "a,b"), ("x-two", "2=2")]
    assert [name for name, _ in parse_headers({"A": "b"})] == ["a"]
    assert parse_headers(["api-key=a%2Cb", "X-Two = 2=2"]) == found


@pytest.mark.parametrize("written", ["5ecre7", "a b=1", "a=1%0d%0ab: c", 7, "a=\u00e4", [7], ["5ecre7"]])
def test_what_is_no_header_is_refused(written: object):
    with pytest.raises(ValueError, match=r"^(?!.*5ecre7)"):
        parse_headers(written)


def test_attributes_are_decoded():
    assert parse_attributes("deployment.environment.name=prod,team=a%20b") == (
        ("deployment.environment.name", "prod"),
        ("team", "a b"),
    )
    assert parse_attributes(["team=a%20b", "n=1,m=2"]) == (("team", "a b"), ("n", "1"), ("m", "2"))


@pytest.mark.parametrize(("written", "meant"), [("0.1", 0.1), ("1", 1.0), (".5", 0.5), (0, 0.0), ("1.", 1.0)])
def test_rate(written: object, meant: float):
    assert parse_rate(written) == meant


@pytest.mark.parametrize("written", ["10%", "1.1", "-1", "", "nan", True, None])
def test_what_is_no_rate_is_refused(written: object):
    with pytest.raises(ValueError, match="from 0 to 1"):
        parse_rate(written)


def test_secrets_are_not_shown():
    settings = load(None, {"DBPROXY_TRACING__ENDPOINT": DSN, "DBPROXY_TRACING__HEADERS": "api-key=5ecre7"})
    shown = {entry.key: entry.shown for entry in list_entries(settings)}
    assert shown["tracing.headers"] == "api-key=***"
    assert "5ecre7" not in f"{shown} {settings!r} {settings} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("name", "value"),
    [("ENDPOINT", "https://user:5ecre7@h/1"), ("HEADERS", "5ecre7"), ("MODE", "maybe"), ("ALWAYS", "all")],
)
def test_mistakes_name_the_key_and_no_secret(name: str, value: str):
    with pytest.raises(ConfigurationError, match=rf"tracing\.{name.lower()}") as raised:
        load(None, {f"DBPROXY_TRACING__{name}": value})
    assert "5ecre7" not in raised.value.message


@pytest.mark.parametrize(
    ("name", "advice"),
    [("DATADOG_ENABLED", "must be true or false"), ("OTEL_TRACES_SAMPLER", "must be one of always_on, ")],
)
def test_mistake_in_a_variable_of_others_is_told_in_its_words(name: str, advice: str):
    with pytest.raises(ConfigurationError, match=f'{name}: tracing.* = "maybe": {advice}'):
        load(None, {name: "maybe"})


def test_what_would_be_traced_if_tracing_were_on_is_warned_of():
    known = {"DATABASE_URL": "postgresql://app:x@db/app"}
    assert load(None, known).warnings() == []
    (warning,) = load(None, {**known, "APM_ENABLE_DATABASE_TRACING": "true"}).warnings()
    assert 'tracing.mode is "off"' in warning
    assert (
        load(None, {**known, "APM_ENABLE_DATABASE_TRACING": "true", "DATADOG_ENABLED": "1"}).warnings() == []
    )
