from dbproxy.terminal.result import Result, read_columns, read_row
from dbproxy.wire import build

COLUMNS = [("name", 25), ("size", 23), ("total", 1700), ("big", 20)]


def test_what_the_console_builds_is_read():
    payload = build.row_description([(name, oid, -1) for name, oid in COLUMNS])[5:]
    assert read_columns(payload) == COLUMNS
    assert read_row(build.data_row(["wörter".encode(), None, b""])[5:]) == ["wörter", None, ""]


def test_numbers_are_numbers_and_text_is_text():
    result = Result(COLUMNS, [["7", "7", "0.5", "9999999999"], [None, None, "", "-3"]])
    assert result.records() == [
        {"name": "7", "size": 7, "total": 0.5, "big": 9999999999},
        {"name": None, "size": None, "total": "", "big": -3},
    ]
