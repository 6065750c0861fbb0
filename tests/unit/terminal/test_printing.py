import csv
import io
import json

from dbproxy.terminal.format import Format
from dbproxy.terminal.printing import show
from dbproxy.terminal.result import Result

TABLE = Result([("name", 25), ("items", 23)], [["a", "7"], ['say "hi", you', None]], "SHOW")


def test_table_is_psqls():
    assert show(TABLE, Format.TABLE).splitlines() == [
        "      name     | items",
        "---------------+-------",
        " a             |     7",
        ' say "hi", you |',
    ]


def test_one_column_and_no_rows():
    assert show(Result([("version", 25)], []), Format.TABLE) == " version\n---------\n"


def test_json_is_one_line_for_each_table():
    text = show(TABLE, Format.JSON)
    assert text.count("\n") == 1
    assert json.loads(text) == [{"name": "a", "items": 7}, {"name": 'say "hi", you', "items": None}]


def test_csv_can_be_read_back():
    rows = list(csv.reader(io.StringIO(show(TABLE, Format.CSV))))
    assert rows == [["name", "items"], ["a", "7"], ['say "hi", you', ""]]


def test_action_is_shown_by_its_tag():
    done = Result(tag="RELOAD")
    assert show(done, Format.TABLE) == "RELOAD\n"
    assert json.loads(show(done, Format.JSON)) == {"command": "RELOAD"}
    assert show(done, Format.CSV) == ""


def test_what_a_client_calls_itself_does_not_steer_the_terminal():
    evil = "\x1b]0;owned\x07\nx\u202e"
    assert "\x1b" not in show(Result([("name", 25)], [[evil]]), Format.TABLE)
    assert json.loads(show(Result([("name", 25)], [[evil]]), Format.JSON)) == [{"name": evil}]
