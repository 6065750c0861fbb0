"""What clients and servers say to each other: messages as bytes, and back as words for whoever reads a failed test."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from construct import Container

from dbproxy.wire import messages
from dbproxy.wire.build import close_statement as close
from dbproxy.wire.build import (
    command_complete,
    data_row,
    error_response_fields,
    parse,
    query,
    ready_for_query,
    row_description,
    terminate,
)
from dbproxy.wire.build import describe_statement as describe
from dbproxy.wire.build import flush as flush_message
from dbproxy.wire.build import sync as sync_message
from dbproxy.wire.codes import Backend, Frontend

__all__ = ["close", "describe", "parse", "query"]

TEXT = 25  # the oid of `text`


def _from_client(kind: int, **body: Any) -> bytes:
    return messages.build(messages.FRONTEND_MESSAGE, kind, body)


def _from_server(kind: int, **body: Any) -> bytes:
    return messages.build(messages.BACKEND_MESSAGE, kind, body)


# --- from clients -------------------------------------------------------------------------------------------

SYNC = sync_message()
FLUSH = flush_message()
TERMINATE = terminate()
COPY_DONE = _from_client(Frontend.COPY_DONE)


def bind(statement: str = "", *values: str, portal: str = "") -> bytes:
    return _from_client(
        Frontend.BIND,
        portal=portal,
        statement=statement,
        formats=[],
        values=[value.encode() for value in values],
        result_formats=[],
    )


def execute(portal: str = "", max_rows: int = 0) -> bytes:
    return _from_client(Frontend.EXECUTE, portal=portal, max_rows=max_rows)


def describe_portal(portal: str = "") -> bytes:
    return _from_client(Frontend.DESCRIBE, target="P", name=portal)


def close_portal(portal: str = "") -> bytes:
    return _from_client(Frontend.CLOSE, target="P", name=portal)


def copy_data(data: bytes) -> bytes:
    return _from_client(Frontend.COPY_DATA, data=data)


def copy_fail(reason: str) -> bytes:
    return _from_client(Frontend.COPY_FAIL, reason=reason)


def function_call(function: int, *values: bytes) -> bytes:
    return _from_client(
        Frontend.FUNCTION_CALL, function=function, formats=[], values=list(values), result_format=1
    )


# --- from servers -------------------------------------------------------------------------------------------

PARSE_COMPLETE = _from_server(Backend.PARSE_COMPLETE)
BIND_COMPLETE = _from_server(Backend.BIND_COMPLETE)
CLOSE_COMPLETE = _from_server(Backend.CLOSE_COMPLETE)
NO_DATA = _from_server(Backend.NO_DATA)
EMPTY = _from_server(Backend.EMPTY_QUERY_RESPONSE)
SUSPENDED = _from_server(Backend.PORTAL_SUSPENDED)
COPY_IN = _from_server(Backend.COPY_IN_RESPONSE, format=0, columns=[0])
COPY_OUT = _from_server(Backend.COPY_OUT_RESPONSE, format=0, columns=[0])
IDLE, INTRANS, INERROR = (ready_for_query(ord(status)) for status in "ITE")


def columns(*names: str) -> bytes:
    return row_description([(name, TEXT, -1) for name in names])


def row(*values: str) -> bytes:
    return data_row([value.encode() for value in values])


def complete(tag: str = "SELECT 1") -> bytes:
    return command_complete(tag)


def rows(*values: str, tag: str = "") -> bytes:
    """The answer to a Query for one column: everything before ReadyForQuery."""
    return columns("a") + b"".join(map(row, values)) + complete(tag or f"SELECT {len(values)}")


def error(sqlstate: str, text: str, *, severity: str = "ERROR", routine: str = "") -> bytes:
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": text, "R": routine}
    return error_response_fields({letter: value for letter, value in fields.items() if value})


def notice(text: str) -> bytes:
    return _from_server(Backend.NOTICE_RESPONSE, fields={"S": "NOTICE", "C": "00000", "M": text})


def parameter_status(name: str, value: str) -> bytes:
    return _from_server(Backend.PARAMETER_STATUS, name=name, value=value)


def notification(channel: str, payload: str) -> bytes:
    return _from_server(Backend.NOTIFICATION_RESPONSE, pid=1, channel=channel, payload=payload)


def parameter_types(*oids: int) -> bytes:
    return _from_server(Backend.PARAMETER_DESCRIPTION, types=list(oids))


def function_result(value: bytes) -> bytes:
    return _from_server(Backend.FUNCTION_CALL_RESPONSE, value=value)


# --- reading ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """One message as it came; `body` has its fields by their names in wire.messages."""

    raw: bytes
    body: Container

    @property
    def kind(self) -> str:
        return chr(self.raw[0])

    @property
    def sqlstate(self) -> str:
        """Of an ErrorResponse."""
        assert self.kind == "E", f"not an error: {self}"
        return str(self.body.fields["C"])

    @property
    def text(self) -> str:
        """What an ErrorResponse or NoticeResponse says."""
        return str(self.body.fields["M"])

    def __str__(self) -> str:
        fields = {name: value for name, value in (self.body or {}).items() if not name.startswith("_")}
        return f"{self.kind} {fields}" if fields else self.kind


def read(raw: bytes, declaration: Any) -> Message:
    """One whole message; `declaration`: messages.FRONTEND_MESSAGE or BACKEND_MESSAGE."""
    return Message(raw, declaration.parse(raw).body)


def split(stream: bytes) -> list[bytes]:
    """Whole messages, one by one."""
    found = []
    while stream:
        size = int.from_bytes(stream[1:5], "big") + 1
        found.append(stream[:size])
        stream = stream[size:]
    return found


def spell(stream: Sequence[bytes], declaration: Any) -> list[str]:
    """Messages in words, for comparison."""
    return [str(read(raw, declaration)) for raw in stream]
