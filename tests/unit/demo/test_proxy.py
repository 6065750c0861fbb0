import socket

import pytest

from dbproxy.config import load
from dbproxy.demo.proxy import check_addresses, choose_environment, parse_line, reachable
from dbproxy.errors import ConfigurationError


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_users_addresses_are_honoured():
    environ = {"PGBOUNCER_PORT": "6500", "DBPROXY_HTTP__PORT": "9200", "PATH": "/bin"}
    settings = load(None, choose_environment(environ))
    assert (settings.listen.port, settings.http.port) == (6500, 9200)
    assert choose_environment(environ)["PATH"] == "/bin"


def test_users_other_settings_do_not_change_what_is_shown():
    environ = {
        "DATABASE_URL": "postgresql://app:secret@production/app",
        "PGBOUNCER_POOL_SIZE": "50",
        "DBPROXY_POOL__MODE": "session",
        "SLOW_QUERY_THRESHOLD_MS": "1",
    }
    settings = load(None, choose_environment(environ))
    assert settings.primary.url is None
    assert (settings.pool.mode, settings.pool.size, settings.slow_query.threshold) == ("transaction", 10, 0.5)


@pytest.mark.parametrize("variable", ["DBPROXY_LISTEN__PORT", "DBPROXY_HTTP__PORT"])
def test_taken_port_is_told_with_the_setting_that_changes_it(taken: int, variable: str):
    free = {"DBPROXY_LISTEN__PORT": "0", "DBPROXY_HTTP__PORT": "1"} | {variable: str(taken)}
    with pytest.raises(ConfigurationError, match=rf"port {taken}: (?s:.*){variable}="):
        check_addresses(load(None, free))


def test_demo_without_metrics_is_refused():
    with pytest.raises(ConfigurationError, match="DBPROXY_HTTP__PORT"):
        check_addresses(load(None, {"DBPROXY_LISTEN__PORT": "0", "DBPROXY_HTTP__PORT": "0"}))


def test_line_that_is_no_event_has_no_keys():
    assert parse_line("Traceback (most recent call last):") == {}
    assert parse_line("3") == {}
    assert parse_line('{"event": "proxy started"}') == {"event": "proxy started"}


def test_proxy_that_listens_everywhere_is_reached_by_loopback():
    assert [reachable(host) for host in ("0.0.0.0", "::", "db.internal")] == [
        "127.0.0.1",
        "::1",
        "db.internal",
    ]
