"""One stream, one format, no secret, no exception."""

import io
import json
import logging
import math
from typing import Any

import pytest
import structlog

from dbproxy.observe.logs import adjust, area_of, configure, count_unwritten, sweep


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_events_are_json_lines_with_time_level_and_event_first() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    structlog.get_logger().info("client login", user="u", client=("127.0.0.1", 1), password="hunter2")
    (line,) = lines(stream)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["timestamp"].endswith("Z")
    assert line["event"] == "client login"
    assert line["client"] == ["127.0.0.1", 1]
    assert line["password"] == "***"


def test_a_terminal_gets_readable_lines() -> None:
    stream = Terminal()
    configure(stream=stream)
    structlog.get_logger().info("server lost", url="postgresql://u:hunter2@h")
    assert "server lost" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
    assert "hunter2" not in stream.getvalue()


def test_json_and_console_can_be_demanded() -> None:
    stream, terminal = io.StringIO(), Terminal()
    configure("json", stream=terminal)
    structlog.get_logger().info("a b")
    assert lines(terminal)[0]["event"] == "a b"
    configure("console", stream=stream)
    structlog.get_logger().info("a b")
    assert "a b" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_what_a_client_is_called_steers_no_terminal(stream: io.StringIO) -> None:
    configure("console", stream=stream)
    log = structlog.get_logger("dbproxy.session.startup")
    log.warning("client refused", user="\x1b[2Jevil", database="a\x9b31m", application_name="x\nclient login")
    try:
        raise ValueError("\x1b]0;title\x07")
    except ValueError:
        log.exception("internal error")
    logging.getLogger("library").warning("\x1b[2J%s", "x\nforged")
    told = stream.getvalue()
    assert "\x1b[2J" not in told
    assert not {"\x9b", "\x07"} & set(told)
    assert not any(line.startswith(("forged", "client login")) for line in told.splitlines())
    assert "Traceback (most recent call last):\n" in told


def test_a_reload_changes_the_level_of_loggers_in_use() -> None:
    stream = io.StringIO()
    configure(level="warning", stream=stream)
    log = structlog.get_logger()
    log.info("not yet")
    configure(level="debug", stream=stream)
    log.debug("now")
    assert [line["event"] for line in lines(stream)] == ["now"]


def test_an_unknown_level_is_refused_and_changes_nothing() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    with pytest.raises(KeyError):
        configure(level="loud", stream=stream)
    structlog.get_logger().info("still here")
    assert lines(stream)[0]["event"] == "still here"


def test_libraries_log_to_the_same_stream_masked() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    logging.getLogger("aiohttp").warning("no route to %s", "postgresql://u:hunter2@h")
    (line,) = lines(stream)
    assert line["event"] == "no route to postgresql://u:***@h"
    assert line["level"] == "warning"
    assert line["logger"] == "aiohttp"


def fail(password: str) -> None:
    raise ValueError(f"password='{password}' is wrong for user {len(password)}")


@pytest.mark.parametrize("form", ["json", "console"])
def test_tracebacks_show_no_secret_and_no_local_variable(form: Any) -> None:
    stream = Terminal()
    configure(form, stream=stream)
    secret = "hunter2"
    try:
        fail(secret)
    except ValueError:
        structlog.get_logger().exception("reload failed")
        logging.getLogger("x").exception("reload failed")
    assert stream.getvalue().count("ValueError: ") == 2
    assert secret not in stream.getvalue()


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError

    __str__ = __repr__


@pytest.mark.parametrize("form", ["json", "console"])
def test_nothing_that_is_logged_raises(form: Any) -> None:
    stream = io.StringIO()
    sink = configure(form, stream=stream)
    log = structlog.get_logger()
    log.info(
        "odd values", value=Unshowable(), nested={1: {2: Unshowable()}}, text="\udcff", number=float("nan")
    )
    logging.getLogger("x").warning("%d", "not a number")
    assert "odd values" in stream.getvalue()
    assert sink.lost == 1


def test_lines_that_cannot_be_written_are_counted_not_raised() -> None:
    closed = io.StringIO()
    sink = configure(stream=closed)
    closed.close()
    structlog.get_logger().info("unheard")
    logging.getLogger("x").warning("unheard")
    assert sink.lost == 2


def test_a_line_that_the_stream_cannot_encode_is_counted_not_raised() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    sink = configure("console", stream=stream)
    structlog.get_logger().info("é")
    assert sink.lost == 1


def test_an_area_has_a_level_of_its_own_from_one_line_to_the_next() -> None:
    stream = io.StringIO()
    configure(level="warning", areas={"pool": "debug", "session": "error"}, stream=stream)
    pool, session, other = (
        structlog.get_logger(f"dbproxy.{name}.module") for name in ("pool", "session", "app")
    )
    for log in (pool, session, other):
        log.debug("a debug")
        log.warning("a warning")
    told = [(line["area"], line["event"]) for line in lines(stream)]
    assert told == [("pool", "a debug"), ("pool", "a warning"), ("app", "a warning")]
    adjust("error", {}, 0)
    pool.warning("unheard")
    adjust("error", {"pool": "info"}, 0)
    pool.info("heard")
    assert [line["event"] for line in lines(stream)][3:] == ["heard"]


def test_a_flood_is_summed_and_told_at_the_next_sweep() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    adjust("info", {}, 3)
    log = structlog.get_logger("dbproxy.session.startup")
    for client in range(100):
        log.warning("client refused", sqlstate="28P01", client=client)
    log.warning("client refused", sqlstate="53300", client=100)
    sweep(math.inf)
    sweep(math.inf)
    told = [(line.get("client"), line.get("more"), line["sqlstate"]) for line in lines(stream)]
    assert told == [
        (0, None, "28P01"),
        (1, None, "28P01"),
        (2, None, "28P01"),
        (100, None, "53300"),
        (None, 97, "28P01"),
    ]
    last = lines(stream)[-1]
    assert (last["event"], last["level"], last["area"]) == ("client refused", "warning", "session")
    assert count_unwritten() == {"flood": 97, "error": 0}


def test_slow_queries_have_a_limit_of_their_own() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    adjust("info", {}, 1)
    for _ in range(5):
        structlog.get_logger("dbproxy.observe.slowlog").warning("slow query")
    assert len(lines(stream)) == 5


def test_a_flood_of_a_library_is_summed_by_its_logger() -> None:
    stream = io.StringIO()
    configure(stream=stream)
    adjust("info", {}, 2)
    for number in range(10):
        logging.getLogger("aiohttp.server").warning("trouble %d", number)
    sweep(math.inf)
    assert [line.get("more") for line in lines(stream)] == [None, None, 8]
    assert count_unwritten() == {"flood": 8, "error": 0}


def test_the_area_is_the_package() -> None:
    assert area_of("dbproxy.pool.login") == "pool"
    assert area_of("aiohttp.server") == area_of("dbproxy") == area_of("") == ""
