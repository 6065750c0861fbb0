"""Every message of protocol 3.0 and 3.2, declared: the readable spec.

What is here both parses and builds. It serves the cold messages (start-up, authentication, errors) and is the
oracle that the fast codecs are tested against; the data path never comes here (a parse costs 15 µs).

PostgreSQL: "Message Formats". A declaration is a *payload*: a message without its kind byte and length. Texts
are UTF-8 where they can be and keep foreign bytes as surrogates, so that any name survives the way through.
"""

from collections.abc import Mapping
from typing import Any

from construct import (
    Byte,
    Bytes,
    Const,
    ConstructError,
    ExprAdapter,
    ExprValidator,
    GreedyBytes,
    GreedyRange,
    If,
    Int16sb,
    Int16ub,
    Int32sb,
    Int32ub,
    NullTerminated,
    Prefixed,
    PrefixedArray,
    Sequence,
    Struct,
    Switch,
    Terminated,
    this,
)

from dbproxy.errors import ProtocolViolation
from dbproxy.wire.codes import Authentication as Ask
from dbproxy.wire.codes import Backend, Frontend, Startup


def decode(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """The bytes of a text that stands between NULs."""
    if "\0" in text:
        raise ValueError("a text in the protocol cannot hold a NUL")
    return text.encode("utf-8", "surrogateescape")


def _payload(*fields: Any) -> Any:
    return Struct(*fields, Terminated)


Text = ExprAdapter(NullTerminated(GreedyBytes), lambda value, _: decode(value), lambda text, _: encode(text))
Name = ExprValidator(Text, lambda text, _: text != "")  # an empty one ends the list that it stands in
Letter = ExprAdapter(
    ExprValidator(Byte, lambda byte, _: byte != 0), lambda byte, _: chr(byte), lambda letter, _: ord(letter)
)
Oids = PrefixedArray(Int16ub, Int32ub)
Formats = PrefixedArray(Int16ub, Int16sb)  # 0 text, 1 binary
# A value that may be NULL: its size, or -1 and nothing.
Value = ExprAdapter(
    Struct(
        "size" / ExprValidator(Int32sb, lambda size, _: size >= -1),
        "data" / If(this.size >= 0, Bytes(this.size)),
    ),
    lambda value, _: value.data,
    lambda data, _: {"size": -1 if data is None else len(data), "data": data},
)
Values = PrefixedArray(Int16ub, Value)
Fields = ExprAdapter(
    GreedyRange(Sequence(Letter, Text)),
    lambda fields, _: dict(fields),
    lambda fields, _: list(fields.items()),
)
Parameters = ExprAdapter(
    GreedyRange(Sequence(Name, Text)), lambda fields, _: dict(fields), lambda fields, _: list(fields.items())
)

_NOTHING = _payload()
_RAW = _payload("data" / GreedyBytes)
_TARGET = _payload("target" / Letter, "name" / Text)  # S: a statement, P: a portal
_COPY_RESPONSE = _payload("format" / Byte, "columns" / Formats)
_FIELDS = _payload("fields" / Fields, Const(b"\0"))

# --- before a connection has kinds: the first message of a client, after its length ---

StartupMessage = _payload("version" / Int32ub, "parameters" / Parameters, Const(b"\0"))
CancelRequest = _payload(
    "code" / Const(Startup.CANCEL_REQUEST, Int32ub), "pid" / Int32ub, "key" / GreedyBytes
)
SSLRequest = _payload("code" / Const(Startup.SSL_REQUEST, Int32ub))
GSSENCRequest = _payload("code" / Const(Startup.GSSENC_REQUEST, Int32ub))

# --- from clients ---

FRONTEND = {
    Frontend.BIND: _payload(
        "portal" / Text,
        "statement" / Text,
        "formats" / Formats,
        "values" / Values,
        "result_formats" / Formats,
    ),
    Frontend.CLOSE: _TARGET,
    Frontend.COPY_DATA: _RAW,
    Frontend.COPY_DONE: _NOTHING,
    Frontend.COPY_FAIL: _payload("reason" / Text),
    Frontend.DESCRIBE: _TARGET,
    Frontend.EXECUTE: _payload("portal" / Text, "max_rows" / Int32sb),
    Frontend.FLUSH: _NOTHING,
    Frontend.FUNCTION_CALL: _payload(
        "function" / Int32ub, "formats" / Formats, "values" / Values, "result_format" / Int16sb
    ),
    Frontend.PARSE: _payload("name" / Text, "query" / Text, "types" / Oids),
    Frontend.PASSWORD: _RAW,
    Frontend.QUERY: _payload("query" / Text),
    Frontend.SYNC: _NOTHING,
    Frontend.TERMINATE: _NOTHING,
}

# --- from servers ---

_AUTHENTICATION = {
    Ask.MD5_PASSWORD: Struct("salt" / Bytes(4)),
    Ask.GSS_CONTINUE: Struct("data" / GreedyBytes),
    Ask.SASL: Struct("mechanisms" / GreedyRange(Name), Const(b"\0")),
    Ask.SASL_CONTINUE: Struct("data" / GreedyBytes),
    Ask.SASL_FINAL: Struct("data" / GreedyBytes),
}
_COLUMN = Struct(
    "name" / Text,
    "table" / Int32ub,
    "attribute" / Int16sb,
    "type" / Int32ub,
    "size" / Int16sb,
    "modifier" / Int32sb,
    "format" / Int16sb,
)

BACKEND = {
    Backend.AUTHENTICATION: _payload(
        "code" / Int32ub, "request" / Switch(this.code, _AUTHENTICATION, default=Struct())
    ),
    Backend.BACKEND_KEY_DATA: _payload(
        "pid" / Int32ub, "key" / GreedyBytes
    ),  # 4 bytes in 3.0, up to 256 in 3.2
    Backend.BIND_COMPLETE: _NOTHING,
    Backend.CLOSE_COMPLETE: _NOTHING,
    Backend.COMMAND_COMPLETE: _payload("tag" / Text),
    Backend.COPY_BOTH_RESPONSE: _COPY_RESPONSE,
    Backend.COPY_DATA: _RAW,
    Backend.COPY_DONE: _NOTHING,
    Backend.COPY_IN_RESPONSE: _COPY_RESPONSE,
    Backend.COPY_OUT_RESPONSE: _COPY_RESPONSE,
    Backend.DATA_ROW: _payload("values" / Values),
    Backend.EMPTY_QUERY_RESPONSE: _NOTHING,
    Backend.ERROR_RESPONSE: _FIELDS,
    Backend.FUNCTION_CALL_RESPONSE: _payload("value" / Value),
    # Documented as the minor version alone; what PostgreSQL sends and libpq reads is the whole number.
    Backend.NEGOTIATE_PROTOCOL_VERSION: _payload(
        "version" / Int32ub, "options" / PrefixedArray(Int32ub, Text)
    ),
    Backend.NO_DATA: _NOTHING,
    Backend.NOTICE_RESPONSE: _FIELDS,
    Backend.NOTIFICATION_RESPONSE: _payload("pid" / Int32ub, "channel" / Text, "payload" / Text),
    Backend.PARAMETER_DESCRIPTION: _payload("types" / Oids),
    Backend.PARAMETER_STATUS: _payload("name" / Text, "value" / Text),
    Backend.PARSE_COMPLETE: _NOTHING,
    Backend.PORTAL_SUSPENDED: _NOTHING,
    Backend.READY_FOR_QUERY: _payload("status" / Byte),
    Backend.ROW_DESCRIPTION: _payload("columns" / PrefixedArray(Int16ub, _COLUMN)),
}


def _framed(payloads: dict[int, Any]) -> Any:
    body = Switch(this.kind, payloads)
    return Struct("kind" / Byte, "body" / Prefixed(Int32ub, body, includelength=True))


FRONTEND_MESSAGE = _framed(FRONTEND)
BACKEND_MESSAGE = _framed(BACKEND)


def parse(declaration: Any, payload: bytes, what: str) -> Any:
    """What `payload` says; ProtocolViolation, naming `what`, where it is not as declared."""
    try:
        return declaration.parse(payload)
    except ConstructError as error:
        raise ProtocolViolation(f"malformed {what} message") from error


def build(declaration: Any, kind: int, body: Mapping[str, Any]) -> bytes:
    """A whole message with its kind and length (`declaration`: FRONTEND_MESSAGE or BACKEND_MESSAGE)."""
    message: bytes = declaration.build({"kind": kind, "body": body})
    return message
