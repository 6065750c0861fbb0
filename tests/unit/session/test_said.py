"""What a request is about, for the log: the text that it was parsed with, on its first execution."""

from dbproxy.pool.request import NO_TEXT, new_request
from dbproxy.session.said import Said
from dbproxy.wire import build
from dbproxy.wire.extended import statement_text

PARSE = build.parse("s", "SELECT 1 /*request_id='a'*/")
BODY = b"SELECT 1\0\0\0"


def text_of(said: Said) -> bytes:
    request = new_request(0.0)
    said.tell(request, True)
    return statement_text(request.chunk, request.at)


def test_first_bind_of_a_name_has_the_text_as_it_was_parsed_and_the_next_one_has_not() -> None:
    said = Said()
    said.parsed(PARSE, 0, b"s")
    said.bound(b"s", BODY)
    assert text_of(said) == b"SELECT 1 /*request_id='a'*/"
    said.bound(b"s", BODY)
    assert text_of(said) == b"SELECT 1"
    assert said.at == NO_TEXT


def test_bind_of_another_name_has_the_text_of_that() -> None:
    said = Said()
    said.parsed(PARSE, 0, b"s")
    said.bound(b"t", b"SELECT 2\0\0\0")
    assert text_of(said) == b"SELECT 2"
    said.bound(b"s", BODY)
    assert text_of(said) == b"SELECT 1"


def test_values_are_told_once() -> None:
    said = Said()
    said.bind = b"B"
    first, second = new_request(0.0), new_request(0.0)
    said.tell(first, True)
    said.tell(second, True)
    assert (first.bind, second.bind) == (b"B", None)
