"""What the rows of a source mean."""

import pytest

from dbproxy.limits.source import Rows, read_limit


def read(*rows: tuple[object, ...]) -> Rows:
    found = Rows({"free", "pro"})
    found.add(rows)
    return found


def test_rows_are_keys_with_a_tier_or_a_limit():
    found = read(("acme", "pro"), ("globex", " 500/min burst 50 "), (17, "free"))
    assert found.listed == {"acme": "pro", "globex": "500/min burst 50", "17": "free"}
    assert found.unreadable == 0


def test_rows_that_say_nothing_are_counted():
    found = read(("acme", "gold"), (None, "pro"), ("globex", None), ("initech", "free"))
    assert (found.listed, found.unreadable) == ({"initech": "free"}, 3)


def test_rows_that_are_no_pairs_are_refused():
    with pytest.raises(ValueError, match="3 columns; they are a key and its tier"):
        read(("acme", "pro", "more"))


@pytest.mark.parametrize("text", ["", "pro", "a lot", "10/min burst many", "10/min burst 99999999999"])
def test_text_that_is_no_limit_is_none(text: str):
    assert read_limit(text) is None
