"""What comes back is what was put in, or nothing."""

import pytest

from dbproxy.cache.parcel import HASH, Parcel, hash_of, inflate, pack, unpack
from dbproxy.cache.value import Value

SMALL = Parcel(7, 0.25, Value(b"T-columns", b"D-rows"))
LARGE = Parcel(2**63, 1.5, Value(b"", b"D-rows" * 2000))


@pytest.mark.parametrize("parcel", [SMALL, LARGE])
def test_parcel_comes_back(parcel: Parcel):
    found = unpack(b"name", b"key", pack(b"name", b"key", parcel), 1 << 20)
    assert found is not None
    assert (found.seen, found.cost) == (parcel.seen, parcel.cost)
    assert (found.value.columns, found.value.rows) == (parcel.value.columns, parcel.value.rows)


def test_large_one_is_compressed():
    assert len(pack(b"name", b"key", LARGE)) < LARGE.value.size() / 10


@pytest.mark.parametrize("parcel", [SMALL, LARGE])
def test_parcel_of_another_is_none(parcel: Parcel):
    data = pack(b"name", b"key", parcel)
    assert unpack(b"other", b"key", data, 1 << 20) is None
    assert unpack(b"name", b"yek", data, 1 << 20) is None
    assert unpack(b"name", b"ke", data, 1 << 20) is None


@pytest.mark.parametrize("parcel", [SMALL, LARGE])
def test_parcel_with_one_wrong_byte_is_none(parcel: Parcel):
    data = pack(b"name", b"key", parcel)
    for at in range(len(data)):
        assert unpack(b"name", b"key", data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], 1 << 20) is None
        assert unpack(b"name", b"key", data[:at], 1 << 20) is None


def test_parcel_that_is_larger_than_an_answer_may_be_is_none():
    assert unpack(b"name", b"key", pack(b"name", b"key", LARGE), LARGE.value.size()) is not None
    assert unpack(b"name", b"key", pack(b"name", b"key", LARGE), LARGE.value.size() - 1) is None


def test_nothing_is_unpacked_beyond_its_size():
    """A parcel that claims to be small, and would fill the memory."""
    body = bytearray(pack(b"name", b"key", Parcel(1, 1.0, Value(b"", b"0" * 1_000_000)))[HASH:])
    body[25:29] = (5000).to_bytes(4, "big")
    assert unpack(b"name", b"key", hash_of(b"name", bytes(body)) + body, 1 << 20) is None
    assert inflate(b"no such thing", 10) == b""
