"""Tracebacks without secrets: no local variable, and of the errors of others no value that their message quotes.

`int(b"…")` quotes what it was given, and so do many more: what it was given may be a client's. Which line failed, and
with which error, is what one looks for.
"""

import re
import traceback
from types import TracebackType

from dbproxy.errors import ProxyError
from dbproxy.observe.masking import MASK
from dbproxy.sql.shape import redact

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

_NAMING = (AttributeError, NameError, ImportError, TypeError)  # quote names of the code's
_QUOTED = re.compile(r'b?"[^"]*"')
_DEEPEST = 8  # errors behind errors


def format_traceback(exc_info: ExcInfo) -> str:
    """As Python prints it, with what led to the error ahead of it."""
    return "\n".join(_format(exc_info[1], _DEEPEST))


def show_error(error: BaseException) -> str:
    """Its type and its message."""
    try:
        message = str(error)
    except Exception:  # a __str__ of anyone's may fail in any way
        message = "cannot be shown"
    if not isinstance(error, (ProxyError, *_NAMING)):
        shown = redact(message.encode(errors="replace")).decode(errors="replace")
        message = _QUOTED.sub(MASK, shown).replace("$?", MASK)
    name = type(error).__qualname__
    module = type(error).__module__
    name = name if module in ("builtins", "__main__") else f"{module}.{name}"
    return f"{name}: {message}" if message else name


def _format(error: BaseException, depth: int) -> list[str]:
    lines: list[str] = []
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if behind is not None and depth:
        how = "Caused" if error.__cause__ is not None else "Met while handled"
        lines += [*_format(behind, depth - 1), "", f"{how}:", ""]
    if isinstance(error, BaseExceptionGroup) and depth:
        for part in error.exceptions:
            lines += [*_format(part, depth - 1), "", "In a group:", ""]
    if error.__traceback__ is not None:
        lines.append("Traceback (most recent call last):")
        lines += [line.rstrip("\n") for line in traceback.format_tb(error.__traceback__)]
    return [*lines, show_error(error)]
