from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.errors import InvalidPassword, ProxyError
from dbproxy.wire import build, messages
from dbproxy.wire.codes import Backend, Frontend, Startup

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
OID = st.integers(0, 2**32 - 1)
INT16 = st.integers(-(2**15), 2**15 - 1)
VALUES = st.lists(st.none() | st.binary())


def is_backend(message: bytes, kind: int, **body: Any) -> None:
    assert message == messages.build(messages.BACKEND_MESSAGE, kind, body)


def is_frontend(message: bytes, kind: int, **body: Any) -> None:
    assert message == messages.build(messages.FRONTEND_MESSAGE, kind, body)


def framed(payload: bytes) -> bytes:
    return (len(payload) + 4).to_bytes(4, "big") + payload


def fields_of(message: bytes) -> dict[str, str]:
    return dict(messages.BACKEND_MESSAGE.parse(message).body.fields)


def test_error_response_carries_what_the_error_says() -> None:
    error = InvalidPassword("no", detail="because", hint="try")
    assert fields_of(build.error_response(error)) == {
        "S": "FATAL",
        "V": "FATAL",
        "C": "28P01",
        "M": "no",
        "D": "because",
        "H": "try",
    }


def test_error_response_has_no_empty_detail_or_hint() -> None:
    assert fields_of(build.error_response(ProxyError("no"))).keys() == {"S", "V", "C", "M"}


def test_error_that_quotes_a_nul_still_reaches_the_client() -> None:
    assert fields_of(build.error_response(ProxyError("a\0b")))["M"] == "ab"


def test_notice_response_is_a_notice() -> None:
    message = build.notice_response("look", hint="there")
    is_backend(
        message,
        Backend.NOTICE_RESPONSE,
        fields={"S": "NOTICE", "V": "NOTICE", "C": "00000", "M": "look", "H": "there"},
    )


@given(st.dictionaries(st.sampled_from("SVCMDHPpqWscFLR"), TEXT))
def test_error_response_fields(fields: dict[str, str]) -> None:
    is_backend(build.error_response_fields(fields), Backend.ERROR_RESPONSE, fields=fields)


@given(st.binary(min_size=4, max_size=4), st.binary(), st.lists(TEXT.filter(bool)))
def test_authentication_requests(salt: bytes, data: bytes, mechanisms: list[str]) -> None:
    kind = Backend.AUTHENTICATION
    is_backend(build.authentication_ok(), kind, code=0, request={})
    is_backend(build.authentication(5, salt), kind, code=5, request={"salt": salt})
    offered = b"".join(name.encode() + b"\0" for name in mechanisms) + b"\0"
    is_backend(build.authentication(10, offered), kind, code=10, request={"mechanisms": mechanisms})
    is_backend(build.authentication(12, data), kind, code=12, request={"data": data})


@given(st.sampled_from([0, 2]), st.lists(TEXT))
def test_negotiate_protocol_version(minor: int, options: list[str]) -> None:
    message = build.negotiate_protocol_version(minor, options)
    is_backend(message, Backend.NEGOTIATE_PROTOCOL_VERSION, version=3 << 16 | minor, options=options)


@given(TEXT, TEXT, OID, st.binary(min_size=4, max_size=256), st.sampled_from(b"ITE"))
def test_what_ends_a_login(name: str, value: str, pid: int, key: bytes, status: int) -> None:
    is_backend(build.parameter_status(name, value), Backend.PARAMETER_STATUS, name=name, value=value)
    is_backend(build.backend_key_data(pid, key), Backend.BACKEND_KEY_DATA, pid=pid, key=key)
    is_backend(build.ready_for_query(status), Backend.READY_FOR_QUERY, status=status)


@given(st.lists(st.tuples(TEXT, OID, INT16)))
def test_row_description(columns: list[tuple[str, int, int]]) -> None:
    described = [
        {"name": name, "table": 0, "attribute": 0, "type": oid, "size": size, "modifier": -1, "format": 0}
        for name, oid, size in columns
    ]
    is_backend(build.row_description(columns), Backend.ROW_DESCRIPTION, columns=described)


@given(VALUES, TEXT)
def test_rows_and_their_end(values: list[bytes | None], tag: str) -> None:
    is_backend(build.data_row(values), Backend.DATA_ROW, values=values)
    is_backend(build.command_complete(tag), Backend.COMMAND_COMPLETE, tag=tag)
    is_backend(build.empty_query_response(), Backend.EMPTY_QUERY_RESPONSE)


@given(st.dictionaries(TEXT.filter(bool), TEXT), st.sampled_from([0, 2]))
def test_startup_message(parameters: dict[str, str], minor: int) -> None:
    spec = messages.StartupMessage.build({"version": 3 << 16 | minor, "parameters": parameters})
    assert build.startup_message(parameters, minor) == framed(spec)


@given(OID, st.binary(min_size=4, max_size=256))
def test_requests_of_a_new_connection(pid: int, key: bytes) -> None:
    cancel = messages.CancelRequest.build({"code": Startup.CANCEL_REQUEST, "pid": pid, "key": key})
    assert build.cancel_request(pid, key) == framed(cancel)
    assert build.ssl_request() == framed(messages.SSLRequest.build({}))


@given(st.binary())
def test_answers_to_authentication_requests(data: bytes) -> None:
    is_frontend(build.authentication_response(data), Frontend.PASSWORD, data=data)


@given(TEXT, TEXT, st.lists(OID))
def test_statements(name: str, sql: str, types: list[int]) -> None:
    is_frontend(build.query(sql), Frontend.QUERY, query=sql)
    is_frontend(build.parse(name, sql, types), Frontend.PARSE, name=name, query=sql, types=types)
    is_frontend(build.describe_statement(name), Frontend.DESCRIBE, target="S", name=name)
    is_frontend(build.close_statement(name), Frontend.CLOSE, target="S", name=name)


def test_bind_and_execute_are_of_the_unnamed_ones_and_of_texts() -> None:
    assert build.bind(["a", None]) == (
        b"B\0\0\0\x15\0\0" + b"\0\0" + b"\0\2" + b"\0\0\0\1a" + b"\xff\xff\xff\xff" + b"\0\0"
    )
    assert build.execute() == b"E\0\0\0\x09\0" + b"\0\0\0\0"


def test_messages_without_a_body() -> None:
    is_frontend(build.sync(), Frontend.SYNC)
    is_frontend(build.terminate(), Frontend.TERMINATE)


def test_sql_with_a_nul_is_not_sent_cut_short() -> None:
    with pytest.raises(ValueError, match="NUL"):
        build.query("SET a = 'x\0'")


@given(st.binary())
def test_copy_data(data: bytes) -> None:
    is_frontend(build.copy_data(data), Frontend.COPY_DATA, data=data)
