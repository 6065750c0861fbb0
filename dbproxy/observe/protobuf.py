"""Protobuf by hand, as far as what differs from span to span needs it.

The library makes a Python object of each attribute, which costs twenty times as much.
"""

from struct import Struct

Attribute = str | int | float | bool

_LAST = [bytes([bits]) for bits in range(128)]
_MORE = [bytes([bits | 128]) for bits in range(128)]
_ALL = (1 << 64) - 1
_DOUBLE = Struct("<d")


def write_varint(number: int) -> bytes:
    """Of 64 bits; a negative one is its complement."""
    left = number & _ALL
    written = b""
    while left > 127:
        written += _MORE[left & 127]
        left >>= 7
    return written + _LAST[left]


def write_field(tag: bytes, payload: bytes) -> bytes:
    """What has a length: a text or a message. `tag`: of its number and that kind."""
    return tag + write_varint(len(payload)) + payload


def write_attribute(tag: bytes, key: str, value: Attribute) -> bytes:
    """OpenTelemetry's KeyValue, as a field."""
    pair = write_field(b"\x0a", key.encode()) + write_field(b"\x12", _write_value(value))
    return write_field(tag, pair)


class Number:
    """An attribute that is a whole number: all but its digits is written once."""

    def __init__(self, tag: bytes, key: str) -> None:
        name = write_field(b"\x0a", key.encode())
        self.heads = [  # of a value of so many bytes
            write_field(tag, name + write_field(b"\x12", b"\x18" + bytes(size)))[:-size]
            for size in range(1, 11)
        ]

    def add(self, pieces: list[bytes], value: int) -> None:
        written = write_varint(value)
        pieces.append(self.heads[len(written) - 1])
        pieces.append(written)


def _write_value(value: Attribute) -> bytes:
    """OpenTelemetry's AnyValue."""
    if isinstance(value, str):
        return write_field(b"\x0a", value.encode("utf-8", "replace"))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + write_varint(value)
    return b"\x21" + _DOUBLE.pack(value)
