"""Log lines: structlog events and the libraries' `logging` records, on one stream in one format.

An event is a short noun and verb with key-values: `log.info("client login", user=…, database=…)`.
Logging never raises into the caller: a line that cannot be written is dropped and counted in `Sink.lost`.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog

from dbproxy.observe.masking import mask_event

Format = Literal["auto", "json", "console"]
_FIRST_KEYS = ("timestamp", "level", "event")


class Sink:
    """The one place that writes; whatever level method structlog calls on it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.lost = 0

    def msg(self, line: str) -> None:
        try:
            self.stream.write(line + "\n")
            self.stream.flush()
        except (OSError, ValueError):  # disk full, pipe or file closed, characters the stream cannot encode
            self.lost += 1

    debug = info = warning = warn = error = critical = exception = fatal = log = msg


class SinkHandler(logging.Handler):
    """Brings the records of libraries that use `logging` to the same sink."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self.sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # a library's record may have arguments that do not fit its message
            self.sink.lost += 1
        else:
            self.sink.msg(line)


def configure(format: Format = "auto", level: str = "info", stream: TextIO | None = None) -> Sink:  # noqa: A002  # its name in the settings
    """Sets logging up, again if called again (a reload); JSON unless the stream is a terminal."""
    stream = stream or sys.stderr
    sink = Sink(stream)
    number = logging.getLevelNamesMapping()[level.upper()]
    last = _renderer(format, stream)
    structlog.configure(
        processors=[*_common(), last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=False,  # a reload must reach loggers that were used before
    )
    _take_over_logging(sink, number, last)
    return sink


def _common() -> list[Any]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,  # text without local variables, which may hold secrets
        mask_event,
        _order,
    ]


def _order(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """When, how bad and what come first: lines are read by people too."""
    first = {key: event[key] for key in _FIRST_KEYS if key in event}
    return {**first, **event}


def _renderer(format: Format, stream: TextIO) -> Any:  # noqa: A002  # as above
    if format == "json" or (format == "auto" and not stream.isatty()):
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _take_over_logging(sink: Sink, level: int, last: Any) -> None:
    handler = SinkHandler(sink)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_common(), last],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(capture=True)
