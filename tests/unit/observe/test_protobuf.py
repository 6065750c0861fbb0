"""What is written by hand is what the library reads."""

import pytest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from dbproxy.observe.protobuf import Attribute, Number, write_attribute

TAG = b"\x4a"  # of a Span's attributes
NUMBERS = [0, 1, 127, 128, 16_383, 16_384, 2**31, 2**32 + 5, 2**62, 2**63 - 1, -1, -(2**63)]


def read(written: bytes) -> KeyValue:
    (found,) = Span.FromString(written).attributes
    return found


@pytest.mark.parametrize("value", [*NUMBERS, True, False, 0.25, -1e300, "", "text", "é" * 200, "x" * 20_000])
def test_attribute(value: Attribute):
    found = read(write_attribute(TAG, "some.key", value))
    kind = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}[type(value)]
    assert (found.key, found.value.WhichOneof("value")) == ("some.key", kind)
    assert getattr(found.value, kind) == value


def test_what_is_no_text_is_told_all_the_same():
    assert read(write_attribute(TAG, "key", "a\udc80b")).value.string_value == "a?b"


@pytest.mark.parametrize("value", NUMBERS)
def test_number_is_the_attribute(value: int):
    pieces: list[bytes] = []
    Number(TAG, "some.key").add(pieces, value)
    assert b"".join(pieces) == write_attribute(TAG, "some.key", value)
