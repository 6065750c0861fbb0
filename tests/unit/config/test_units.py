import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.config.units import (
    LONGEST,
    parse_count,
    parse_duration,
    parse_file_mode,
    parse_names,
    parse_port,
    parse_size,
    show_count,
    show_duration,
    show_size,
)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30s", 30),
        ("100ms", 0.1),
        ("5m", 300),
        ("1h", 3600),
        ("1.5s", 1.5),
        ("2d", 172800),
        (7, 7),
        ("7", 7),
        (0, 0),
    ],
)
def test_duration_is_seconds(written: object, seconds: float):
    assert parse_duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "s",
        "5 parsecs",
        "-1s",
        -1,
        "1e3",
        True,
        None,
        float("nan"),
        float("inf"),
        "3651d",
        "٣s",
        [1],
        "5M",
    ],
)
def test_what_is_no_duration_is_refused_with_an_example(written: object):
    with pytest.raises(ValueError, match=r'must be a duration: .* such as "30s"'):
        parse_duration(written)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("64KiB", 65536),
        ("16MiB", 16 * 1024**2),
        ("1GiB", 1024**3),
        ("12B", 12),
        (4096, 4096),
        ("1.5KiB", 1536),
    ],
)
def test_size_is_bytes(written: object, size: int):
    assert parse_size(written) == size


@pytest.mark.parametrize(
    "written", ["64KB", "64k", "0.3B", 1.5, "-1", False, None, float("inf"), "9" * 400, 1 << 61]
)
def test_what_is_no_size_is_refused_with_an_example(written: object):
    with pytest.raises(ValueError, match=r'must be a size: .* such as "64KiB"'):
        parse_size(written)


@given(st.integers(0, int(LONGEST * 1000)))
def test_a_shown_duration_reads_as_the_same(milliseconds: int):
    assert parse_duration(show_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


@given(st.integers(0, 2**40))
def test_a_shown_size_reads_as_the_same(size: int):
    assert parse_size(show_size(size)) == size


def test_durations_and_sizes_are_shown_in_the_unit_that_fits():
    assert [show_duration(value) for value in (0.1, 5.0, 90.0, 3600.0, 0.0)] == [
        "100ms",
        "5s",
        "90s",
        "1h",
        "0s",
    ]
    assert [show_size(value) for value in (65536, 16 * 1024**2, 1000)] == ["64KiB", "16MiB", "1000B"]


@pytest.mark.parametrize("written", ["many", "-1", -1, True, 1.0, "٣", "", None, "9" * 30])
def test_count_takes_whole_numbers_only(written: object):
    with pytest.raises(ValueError, match="must be a whole number"):
        parse_count(written)


def test_count_and_port_are_read_from_the_texts_of_the_environment():
    assert parse_count("50") == 50
    assert parse_port("6432") == 6432


@pytest.mark.parametrize("written", ["70000", 65536, -1, "http", True, None])
def test_port_stays_within_its_range(written: object):
    with pytest.raises(ValueError, match="from 0 to 65535"):
        parse_port(written)


def test_permissions_are_octal():
    assert parse_file_mode("0770") == parse_file_mode("0o770") == parse_file_mode(0o770) == 0o770


@pytest.mark.parametrize("written", ["770x", "0888", 0o1777, "rwx", None])
def test_what_is_no_permissions_is_refused(written: object):
    with pytest.raises(ValueError, match="octal"):
        parse_file_mode(written)


def test_names_are_a_list_or_a_text_with_commas():
    assert parse_names(["a", "b"]) == parse_names("a, b,") == ("a", "b")
    with pytest.raises(ValueError, match="list of names"):
        parse_names([1])


def test_one_is_said_in_the_singular():
    assert [show_count(number, "chunk") for number in (0, 1, 2)] == ["0 chunks", "1 chunk", "2 chunks"]
