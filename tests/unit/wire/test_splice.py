"""What moves on of a chunk, held against a model that has no offsets: one byte after the other."""

from hypothesis import given
from hypothesis import strategies as st

from dbproxy.wire.splice import Splice

CHUNK = b"abcdefgh"
steps = st.lists(
    st.tuples(
        st.integers(0, len(CHUNK)),
        st.sampled_from(["keep", "drop", "insert", "replace", "skip"]),
        st.integers(0, 3),
    ),
    max_size=8,
)


def model(dropping: bool, changes: list[tuple[int, str, int]]) -> bytes:
    """The same, byte by byte: what is put in at a place goes ahead of the byte there."""
    out = b""
    position = 0
    for at, change, width in [*changes, (len(CHUNK), "keep", 0)]:
        while position < at:
            out += b"" if dropping else CHUNK[position : position + 1]
            position += 1
        if change in ("keep", "drop") and (at < len(CHUNK) or change == "drop"):
            dropping = change == "drop"
        if change in ("insert", "replace"):
            out += b"!"
        if change in ("replace", "skip"):
            position = min(at + width, len(CHUNK))
    return out


@given(st.booleans(), steps)
def test_what_moves_on_is_what_was_kept_with_what_was_put_in(
    dropping: bool, wanted: list[tuple[int, str, int]]
):
    splice = Splice()
    splice.dropping = dropping
    splice.begin(CHUNK)
    position, changes = 0, []
    for at, change, width in sorted(wanted, key=lambda step: step[0]):
        if at < position:
            continue
        position = min(at + width, len(CHUNK)) if change in ("replace", "skip") else at
        changes.append((at, change, width))
        if change == "insert":
            splice.insert(at, b"!")
        elif change == "replace":
            splice.replace(at, position, b"!")
        elif change == "skip":
            splice.skip(at, position)
        else:
            getattr(splice, change)(at)
    assert splice.take(len(CHUNK)) == model(dropping, changes)


def test_chunk_of_which_nothing_is_cut_is_not_copied():
    splice = Splice()
    splice.begin(CHUNK)
    splice.keep(3)
    assert splice.take(len(CHUNK)) is CHUNK


def test_what_is_dropped_stays_dropped_in_the_next_chunk():
    splice = Splice()
    splice.begin(b"row")
    splice.drop(0)
    assert splice.take(3) == b""
    splice.begin(b"restnext")
    splice.keep(4)
    assert splice.take(8) == b"next"


def test_what_was_taken_is_not_taken_again():
    splice = Splice()
    splice.begin(CHUNK)
    assert (splice.take(3), splice.take(8)) == (b"abc", b"defgh")


def test_nothing_ahead_of_a_place_moves_on_once_it_is_forgotten():
    splice = Splice()
    splice.begin(CHUNK)
    splice.insert(2, b"!")
    splice.forget(5)
    assert splice.take(8) == b"fgh"
