"""A traceback tells where and with which error, and no value that anybody has sent."""

import sys

import pytest

from dbproxy.errors import ProxyError
from dbproxy.observe.traceback import format_traceback, show_error

SECRET = "hunter2"


def shown_of(error: BaseException) -> str:
    try:
        raise error
    except BaseException:
        exc_info = sys.exc_info()
        assert exc_info[0] is not None
        return format_traceback(exc_info)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ValueError("invalid int() with base 10: b'hunter2'"), "ValueError: invalid int() with base ***: ***"),
        (KeyError(SECRET), "KeyError: ***"),
        (KeyError(b"hunter2"), "KeyError: ***"),
        (RuntimeError('no route for "hunter2"'), "RuntimeError: no route for ***"),
        (RuntimeError("SELECT * FROM t WHERE a = 'hunter2'"), "RuntimeError: SELECT * FROM t WHERE a = ***"),
        (AttributeError("'X' object has no attribute 'a'"), "AttributeError: 'X' object has no attribute 'a'"),
        (ProxyError('user "u" may not use the console'), 'dbproxy.errors.ProxyError: user "u" may not use the console'),
        (ValueError(), "ValueError"),
    ],
)  # fmt: skip
def test_what_an_error_quotes_is_hidden(error: BaseException, shown: str) -> None:
    last = shown_of(error).splitlines()[-1]
    assert last == shown
    assert SECRET not in shown_of(error) or isinstance(error, ProxyError)


def test_what_led_to_an_error_is_told_too() -> None:
    def fail() -> None:
        try:
            int(SECRET)
        except ValueError as error:
            raise RuntimeError("cannot go on") from error

    try:
        fail()
    except RuntimeError:
        shown = format_traceback(sys.exc_info())  # type: ignore[arg-type]
    assert shown.count("Traceback (most recent call last):") == 2
    assert "Caused:" in shown
    assert "ValueError: invalid literal for int()" in shown
    assert shown.endswith("RuntimeError: cannot go on")
    assert SECRET not in shown


def test_errors_of_a_group_are_all_told() -> None:
    shown = shown_of(ExceptionGroup("several", [ValueError("'hunter2'"), KeyError("b")]))
    assert "ValueError: ***" in shown
    assert "KeyError: ***" in shown
    assert SECRET not in shown


class Unshowable(Exception):
    def __str__(self) -> str:
        raise RuntimeError(SECRET)


def test_an_error_that_cannot_be_shown_is_still_told() -> None:
    assert show_error(Unshowable()).endswith("Unshowable: cannot be shown")
