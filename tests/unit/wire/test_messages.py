import pytest
from construct import ConstructError

from dbproxy.errors import ProtocolViolation
from dbproxy.wire import messages
from dbproxy.wire.codes import Backend, Frontend, Startup

# Each as it stands in PostgreSQL's "Message Formats", written by hand.
BACKEND = [
    (b"R\0\0\0\x08\0\0\0\0", {"code": 0, "request": {}}),
    (b"R\0\0\0\x0c\0\0\0\x05salt", {"code": 5, "request": {"salt": b"salt"}}),
    (
        b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0",
        {"code": 10, "request": {"mechanisms": ["SCRAM-SHA-256"]}},
    ),
    (b"R\0\0\0\x0a\0\0\0\x0br=", {"code": 11, "request": {"data": b"r="}}),
    (b"K\0\0\0\x0c\0\0\0\x07\x01\x02\x03\x04", {"pid": 7, "key": b"\x01\x02\x03\x04"}),
    (b"2\0\0\0\x04", {}),
    (b"C\0\0\0\x0dSELECT 1\0", {"tag": "SELECT 1"}),
    (b"G\0\0\0\x0b\x01\0\x02\0\x01\0\x01", {"format": 1, "columns": [1, 1]}),
    (b"D\0\0\0\x0f\0\x02\xff\xff\xff\xff\0\0\0\x01x", {"values": [None, b"x"]}),
    (b"E\0\0\0\x10SERROR\0Mno\0\0", {"fields": {"S": "ERROR", "M": "no"}}),
    (b"V\0\0\0\x08\xff\xff\xff\xff", {"value": None}),
    (b"v\0\0\0\x13\0\x03\0\0\0\0\0\x01_pq_.x\0", {"version": 3 << 16, "options": ["_pq_.x"]}),
    (b"A\0\0\0\x0c\0\0\0\x07c\0p\0", {"pid": 7, "channel": "c", "payload": "p"}),
    (b"t\0\0\0\x0a\0\x01\0\0\0\x17", {"types": [23]}),
    (b"S\0\0\0\x08a\0b\0", {"name": "a", "value": "b"}),
    (b"Z\0\0\0\x05I", {"status": ord("I")}),
    (
        b"T\0\0\0\x1a\0\x01c\0\0\0\0\x00\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0",
        {
            "columns": [
                {
                    "name": "c",
                    "table": 0,
                    "attribute": 0,
                    "type": 23,
                    "size": 4,
                    "modifier": -1,
                    "format": 0,
                }
            ]
        },
    ),
]
FRONTEND = [
    (
        b"B\0\0\0\x15p\0s\0\0\x00\0\x01\0\0\0\x01v\0\x01\0\x01",
        {"portal": "p", "statement": "s", "formats": [], "values": [b"v"], "result_formats": [1]},
    ),
    (b"C\0\0\0\x07Ss\0", {"target": "S", "name": "s"}),
    (b"d\0\0\0\x06xy", {"data": b"xy"}),
    (b"E\0\0\0\x0ap\0\0\0\0\x05", {"portal": "p", "max_rows": 5}),
    (
        b"F\0\0\0\x0e\0\0\0\x2a\0\x00\0\x00\0\x01",
        {"function": 42, "formats": [], "values": [], "result_format": 1},
    ),
    (b"P\0\0\0\x0es\0Q\0\0\x01\0\0\0\x17", {"name": "s", "query": "Q", "types": [23]}),
    (b"Q\0\0\0\x06Q\0", {"query": "Q"}),
    (b"S\0\0\0\x04", {}),
]


def plain(parsed: object) -> object:
    if isinstance(parsed, dict):
        return {key: plain(value) for key, value in parsed.items() if key != "_io"}
    if isinstance(parsed, list):
        return [plain(value) for value in parsed]
    return parsed


@pytest.mark.parametrize(("wire", "body"), BACKEND)
def test_backend_message_parses_and_builds(wire: bytes, body: dict[str, object]) -> None:
    assert plain(messages.BACKEND_MESSAGE.parse(wire).body) == body
    assert messages.build(messages.BACKEND_MESSAGE, wire[0], body) == wire


@pytest.mark.parametrize(("wire", "body"), FRONTEND)
def test_frontend_message_parses_and_builds(wire: bytes, body: dict[str, object]) -> None:
    assert plain(messages.FRONTEND_MESSAGE.parse(wire).body) == body
    assert messages.build(messages.FRONTEND_MESSAGE, wire[0], body) == wire


def test_every_kind_is_declared() -> None:
    def kinds(names: type) -> set[int]:
        return {kind for name, kind in vars(names).items() if not name.startswith("_")}

    assert set(messages.BACKEND) == kinds(Backend)
    assert set(messages.FRONTEND) == kinds(Frontend)


def test_request_codes_are_those_of_the_documentation() -> None:
    assert Startup.SSL_REQUEST == 80877103
    assert Startup.GSSENC_REQUEST == 80877104
    assert Startup.CANCEL_REQUEST == 80877102
    assert Startup.PROTOCOL_3_0 == 196608
    assert Startup.PROTOCOL_3_2 == 196610


def test_bytes_after_the_declared_end_are_refused() -> None:
    with pytest.raises(ProtocolViolation, match="malformed ReadyForQuery message"):
        messages.parse(messages.BACKEND[Backend.READY_FOR_QUERY], b"Ix", "ReadyForQuery")


@pytest.mark.parametrize("row", [b"\0\x01\xff\xff\xff\xfe", b"\0\x01\0\0\0\x05x", b"\0\x02\0\0\0\0"])
def test_impossible_value_sizes_are_refused(row: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        messages.parse(messages.BACKEND[Backend.DATA_ROW], row, "DataRow")


def test_text_that_is_not_utf8_survives() -> None:
    declaration = messages.FRONTEND[Frontend.QUERY]
    assert declaration.build({"query": declaration.parse(b"\xe9\xff\0").query}) == b"\xe9\xff\0"


def test_text_with_a_nul_is_not_built() -> None:
    with pytest.raises((ValueError, ConstructError)):
        messages.FRONTEND[Frontend.QUERY].build({"query": "SELECT 1\0; DROP TABLE t"})
