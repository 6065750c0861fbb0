"""Log lines: structlog events and the libraries' `logging` records, on one stream in one format.

An event is a short noun and verb with key-values: `log.info("client login", user=…, database=…)`. A module's logger is
`structlog.get_logger(__name__)`: its package is the line's *area*, which may have a level of its own.
Logging never raises into the caller, nor waits: a line that cannot be written is dropped and counted in `Log.lost`.
"""

import logging
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from time import monotonic
from typing import Any, Literal, TextIO

from dbproxy.observe.floods import Floods, Kind, describe, kind_of
from dbproxy.observe.journal import journal
from dbproxy.observe.masking import mask_event
from dbproxy.observe.printable import clean
from dbproxy.observe.sink import Sink
from dbproxy.observe.traceback import format_traceback
from dbproxy.observe.without import without

with without("rich", "greenlet"):  # 6 MiB and 60 ms, for what it does not do here: `format_traceback` does
    import structlog

Format = Literal["auto", "json", "console"]
UNLIMITED = frozenset({"slow query"})  # which has a limit of its own
FLOOD_LIMIT = 50  # lines a second
_FIRST_KEYS = ("timestamp", "level", "event", "area")
_current: "Log | None" = None


class Desk:
    """Where the lines of one area are handed in; whatever level method structlog calls on it."""

    def __init__(self, area: str, sink: Sink) -> None:
        self.area = area
        self.msg = sink.write

    def __getattr__(self, level: str) -> Any:
        return self.msg


class SinkHandler(logging.Handler):
    """Brings the records of libraries that use `logging` to the same sink."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self.sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except structlog.DropEvent:
            return
        except Exception:  # a library's record may have arguments that do not fit its message
            self.sink.lost += 1
        else:
            self.sink.write(line)


class Log:
    """The process's: levels by area, and what keeps a flood from filling the disk."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.floods = Floods(FLOOD_LIMIT)
        self.least = logging.INFO
        self.levels: dict[str, int] = {}

    @property
    def lost(self) -> int:
        return self.sink.lost

    def set_levels(self, level: str, areas: Mapping[str, str]) -> None:
        """`areas`: those with a level of their own. KeyError, and nothing has changed, if there is no such level."""
        numbers = logging.getLevelNamesMapping()
        least, levels = numbers[level.upper()], {area: numbers[name.upper()] for area, name in areas.items()}
        self.least, self.levels = least, levels

    def filter(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """The structlog processor: raises DropEvent for what is below its area's level, or part of a flood."""
        area = logger.area if isinstance(logger, Desk) else ""
        level = "error" if method == "exception" else method
        number = logging.getLevelNamesMapping().get(level.upper(), logging.CRITICAL)
        if number < self.levels.get(area, self.least):
            raise structlog.DropEvent
        if area:
            event["area"] = area
        told = "more" in event or event.get("event") in UNLIMITED
        kind = kind_of(area or str(event.get("logger", "")), level, event if area else {"event": "library"})
        if not told and not self.floods.admit(kind, monotonic()):
            raise structlog.DropEvent
        return event

    def tell_floods(self, now: float) -> None:
        for kind, more in self.floods.take(now):
            area, level, *_ = kind
            getattr(structlog.get_logger(f"dbproxy.{area}"), level)(**describe(kind, more))


def configure(
    format: Format = "auto",  # noqa: A002  # its name in the settings
    level: str = "info",
    areas: Mapping[str, str] | None = None,
    stream: TextIO | None = None,
) -> Log:
    """Sets logging up; JSON unless the stream is a terminal."""
    global _current  # structlog and logging are the process's, too
    stream = stream or sys.stderr
    log = Log(Sink(stream))
    log.set_levels(level, areas or {})
    last = _renderer(format, stream)
    structlog.configure(
        processors=[log.filter, *_common(), last],
        logger_factory=lambda name="", *_: Desk(area_of(name), log.sink),
        cache_logger_on_first_use=False,  # other levels must reach loggers that were used before
    )
    _take_over_logging(log, last)
    _current = log
    _let_through(log)
    return log


@contextmanager
def written_to(stream: TextIO) -> Iterator[None]:
    """Lines go there for a while: to what draws on the terminal, and has them above what it draws."""
    if _current is None:
        yield
        return
    sink = _current.sink
    before = sink.stream, sink.pipe
    sink.stream, sink.pipe = stream, None
    try:
        yield
    finally:
        sink.stream, sink.pipe = before


def adjust(level: str, areas: Mapping[str, str], flood_limit: int) -> None:
    """Other settings, at run time; nothing if logging was not set up."""
    if _current is not None:
        _current.set_levels(level, areas)
        _current.floods.limit = flood_limit
        _let_through(_current)


def is_flood(kind: Kind) -> bool:
    """Whether a line of this kind (`kind_of`) is one too many. To be asked ahead of what is logged for each client."""
    return _current is not None and _current.floods.overflows(kind, monotonic())


def sweep(now: float) -> None:
    """Once a second: tell of floods."""
    if _current is not None:
        _current.tell_floods(now)


def count_unwritten() -> dict[str, int]:
    """Lines that were not written, by reason, since start: part of a flood, or an error of the stream."""
    return {"flood": _current.floods.summed, "error": _current.lost} if _current is not None else {}


def area_of(name: str) -> str:
    """The package of one of our modules; "" for others."""
    package, _, rest = name.partition(".")
    return rest.partition(".")[0] if package == "dbproxy" else ""


def _let_through(log: Log) -> None:
    """What no area wants costs no more than a call."""
    least = min(log.least, *log.levels.values()) if log.levels else log.least
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(least))
    logging.getLogger().setLevel(log.least)


def _common() -> list[Any]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(format_traceback),
        mask_event,
        journal.note,
        _order,
    ]


def _order(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """When, how bad, what and where come first: lines are read by people too."""
    first = {key: event[key] for key in _FIRST_KEYS if key in event}
    return {**first, **event}


def _renderer(format: Format, stream: TextIO) -> Any:  # noqa: A002  # as above
    if format == "json" or (format == "auto" and not stream.isatty()):
        return structlog.processors.JSONRenderer()
    renderer = structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return lambda logger, method, event: renderer(logger, method, spell_controls(event))


def spell_controls(event: Mapping[str, Any]) -> dict[str, Any]:
    """Without control characters: what clients call themselves must neither steer a terminal nor look like lines."""
    return {
        key: clean(value, "\n" if key == "exception" else "") if isinstance(value, str) else value
        for key, value in event.items()
    }


def _take_over_logging(log: Log, last: Any) -> None:
    handler = SinkHandler(log.sink)
    processors = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, log.filter, *_common(), last]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name], processors=processors
        )
    )
    logging.basicConfig(handlers=[handler], level=log.least, force=True)
    logging.captureWarnings(capture=True)
