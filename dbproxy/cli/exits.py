"""How a command ends: its exit code, and the message of what went wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from dbproxy.errors import ConfigurationError, JobRefused, LoginRefused, ProxyError
from dbproxy.observe.printable import clean

FAILED, BAD_CONFIGURATION = 1, 2


@contextmanager
def reporting() -> Iterator[None]:
    """Turn the proxy's own errors into a message and an exit code; any other is a bug, with its traceback."""
    try:
        yield
    except ConfigurationError as error:
        lines = f"{error.message}\n{error.hint}" if error.hint else error.message
        typer.echo(f"dbproxy: the configuration is wrong\n{indent(lines)}", err=True)
        raise typer.Exit(BAD_CONFIGURATION) from None
    except ProxyError as error:
        more = "".join(f"\n{indent(text)}" for text in (error.detail, error.hint) if text)
        message = clean(error.message, "\n")  # there may be values of rows in it, from anybody
        typer.echo(f"dbproxy: {message}{more}", err=True)
        refused = isinstance(error, (JobRefused, LoginRefused))
        raise typer.Exit(BAD_CONFIGURATION if refused else FAILED) from None


def indent(text: str) -> str:
    return "\n".join(f"  {clean(line)}" for line in text.splitlines())
