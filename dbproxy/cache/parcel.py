"""A kept answer as it lies in Redis, which is trusted with nothing: it may be old, of others, or no parcel at all.

    hash       16 bytes, of all that follows, under what it was kept for (`Stamp.name`)
    seen       the position in the WAL of which the answer has seen all commits to its tables
    cost       seconds that the server took
    packed     whether what follows is compressed
    lengths    of the key, of RowDescription, of all of it
    the key, RowDescription, rows

Compressed by zlib, which Python has: its first level takes about a millisecond for the largest answer that is kept by
default, in a thread, and a third of that on the way back.
"""

import zlib
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct

from dbproxy.cache.value import Value

PACKED_ABOVE = 4096  # bytes
LEVEL = 1
HASH = 16  # bytes
_HEAD = Struct("!QdBIII")


@dataclass(frozen=True, slots=True)
class Parcel:
    seen: int
    cost: float
    value: Value


def pack(name: bytes, key: bytes, parcel: Parcel) -> bytes:
    """`name`: what it is kept for."""
    columns, rows = parcel.value.columns, parcel.value.rows
    body = key + columns + rows
    size, packed = len(body), len(body) > PACKED_ABOVE
    if packed:
        body = zlib.compress(body, LEVEL)
    body = _HEAD.pack(parcel.seen, parcel.cost, packed, len(key), len(columns), size) + body
    return hash_of(name, body) + body


def unpack(name: bytes, key: bytes, data: bytes, limit: int) -> Parcel | None:
    """None if it is not what was kept for this name and key, or larger than `limit` without the key."""
    body = data[HASH:]
    if len(body) < _HEAD.size or data[:HASH] != hash_of(name, body):
        return None
    seen, cost, packed, of_key, of_columns, size = _HEAD.unpack_from(body)
    body = body[_HEAD.size :]
    if size > limit + len(key):
        return None
    if packed:
        body = inflate(body, size)
    if len(body) != size or body[:of_key] != key:
        return None
    return Parcel(seen, cost, Value(body[of_key : of_key + of_columns], body[of_key + of_columns :]))


def inflate(body: bytes, size: int) -> bytes:
    """Not much more than `size`; b"" if it is not compressed."""
    try:
        return zlib.decompressobj().decompress(body, size + 1)
    except zlib.error:
        return b""


def hash_of(name: bytes, body: bytes) -> bytes:
    return blake2b(body, digest_size=HASH, key=blake2b(name, digest_size=32).digest()).digest()
