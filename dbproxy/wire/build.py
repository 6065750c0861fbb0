"""The messages that we author, as bytes (those that we only pass on are never rebuilt).

PostgreSQL: "Message Formats"; tests hold each against its declaration in wire.messages.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from struct import Struct, pack

from dbproxy.errors import ProxyError
from dbproxy.wire.codes import Authentication, Backend, Frontend, Startup
from dbproxy.wire.messages import encode

_HEADER = Struct("!BI")
_KEY_DATA = Struct("!BII")


def _message(kind: int, *parts: bytes) -> bytes:
    payload = b"".join(parts)
    return _HEADER.pack(kind, len(payload) + 4) + payload


def _opening(code: int, *parts: bytes) -> bytes:
    """A message without a kind: the first on a connection."""
    payload = b"".join(parts)
    return pack("!II", len(payload) + 8, code) + payload


def _text(text: str) -> bytes:
    return encode(text) + b"\0"


def _value(value: bytes | None) -> bytes:
    return pack("!i", -1) if value is None else pack("!i", len(value)) + value


# --- to clients: errors and notices ---


def error_response(error: ProxyError) -> bytes:
    """The one way from an error to what a client reads ("Error and Notice Message Fields")."""
    return error.spelled or error_response_fields(
        _fields(error.severity, error.sqlstate, error.message, error.detail, error.hint)
    )


def notice_response(
    message: str, *, severity: str = "NOTICE", sqlstate: str = "00000", detail: str = "", hint: str = ""
) -> bytes:
    return _message(Backend.NOTICE_RESPONSE, _pack_fields(_fields(severity, sqlstate, message, detail, hint)))


def error_response_fields(fields: Mapping[str, str]) -> bytes:
    """An ErrorResponse of any fields, by their letter."""
    return _message(Backend.ERROR_RESPONSE, _pack_fields(fields))


def _fields(severity: str, sqlstate: str, message: str, detail: str, hint: str) -> dict[str, str]:
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": message, "D": detail, "H": hint}
    return {letter: text for letter, text in fields.items() if text or letter == "M"}


def _pack_fields(fields: Mapping[str, str]) -> bytes:
    # An error must reach its client whatever its text quotes: a NUL is dropped here instead of refused.
    return (
        b"".join(letter.encode() + _text(text.replace("\0", "")) for letter, text in fields.items()) + b"\0"
    )


# --- to clients: login ---


def authentication(code: int, data: bytes = b"") -> bytes:
    """Any Authentication request: `data` is what follows its code."""
    return _message(Backend.AUTHENTICATION, pack("!I", code), data)


@lru_cache(1)
def authentication_ok() -> bytes:
    return authentication(Authentication.OK)


def negotiate_protocol_version(minor: int, unrecognized: Sequence[str]) -> bytes:
    """We serve 3.`minor` and none of the `unrecognized` protocol options."""
    options = b"".join(map(_text, unrecognized))
    return _message(
        Backend.NEGOTIATE_PROTOCOL_VERSION, pack("!II", 3 << 16 | minor, len(unrecognized)), options
    )


@lru_cache(256)
def parameter_status(name: str, value: str) -> bytes:
    return _message(Backend.PARAMETER_STATUS, _text(name), _text(value))


def parameter_statuses(parameters: Mapping[str, str]) -> bytes:
    return b"".join([parameter_status(name, value) for name, value in parameters.items()])


def backend_key_data(pid: int, key: bytes) -> bytes:
    return _KEY_DATA.pack(Backend.BACKEND_KEY_DATA, 8 + len(key), pid) + key


def ready_for_query(status: int) -> bytes:
    return _message(Backend.READY_FOR_QUERY, bytes((status,)))


# --- to clients: answers of the console ---


def row_description(columns: Iterable[tuple[str, int, int]]) -> bytes:
    """Text columns of no table, each as (name, type oid, type size; -1 where it varies)."""
    described = [_text(name) + pack("!IhIhih", 0, 0, oid, size, -1, 0) for name, oid, size in columns]
    return _message(Backend.ROW_DESCRIPTION, pack("!H", len(described)), *described)


def data_row(values: Sequence[bytes | None]) -> bytes:
    return _message(Backend.DATA_ROW, pack("!H", len(values)), *map(_value, values))


def command_complete(tag: str) -> bytes:
    return _message(Backend.COMMAND_COMPLETE, _text(tag))


def empty_query_response() -> bytes:
    return _message(Backend.EMPTY_QUERY_RESPONSE)


# --- to servers ---


def startup_message(parameters: Mapping[str, str], minor: int = 0) -> bytes:
    pairs = b"".join(_text(name) + _text(value) for name, value in parameters.items())
    return _opening(Startup.PROTOCOL_3_0 | minor, pairs, b"\0")


def ssl_request() -> bytes:
    return _opening(Startup.SSL_REQUEST)


def cancel_request(pid: int, key: bytes) -> bytes:
    return _opening(Startup.CANCEL_REQUEST, pack("!I", pid), key)


def authentication_response(payload: bytes) -> bytes:
    """Any answer to an Authentication request."""
    return _message(Frontend.PASSWORD, payload)


def query(sql: str) -> bytes:
    return _message(Frontend.QUERY, _text(sql))


def parse(name: str, sql: str, types: Sequence[int] = ()) -> bytes:
    return _message(Frontend.PARSE, _text(name), _text(sql), pack(f"!H{len(types)}I", len(types), *types))


def bind(values: Sequence[str | None]) -> bytes:
    """The unnamed statement to the unnamed portal; values and results are text."""
    packed = b"".join(_value(None if value is None else encode(value)) for value in values)
    return _message(Frontend.BIND, b"\0\0", pack("!HH", 0, len(values)), packed, pack("!H", 0))


def execute() -> bytes:
    """The unnamed portal, to its end."""
    return _message(Frontend.EXECUTE, b"\0", pack("!I", 0))


def describe_statement(name: str) -> bytes:
    return _message(Frontend.DESCRIBE, b"S", _text(name))


def close_statement(name: str) -> bytes:
    return _message(Frontend.CLOSE, b"S", _text(name))


def flush() -> bytes:
    return _message(Frontend.FLUSH)


def sync() -> bytes:
    return _message(Frontend.SYNC)


def copy_data(payload: bytes) -> bytes:
    return _message(Frontend.COPY_DATA, payload)


def terminate() -> bytes:
    return _message(Frontend.TERMINATE)
