"""Lines of JSON become COPY's, or are left to PostgreSQL: nothing in between."""

import json

import pytest

from dbproxy.jobs.batch import objects
from dbproxy.jobs.batch.objects import FIELD, NULL, Unsure, convert
from dbproxy.jobs.batch.target import Column

COLUMNS = {
    column.name: column
    for column in (Column("a", "int"), Column("b", "text"), Column("c", "int", default="7"))
}


def spell(lines: str, *, whole: bool = False) -> tuple[list[str], list[list[str]]]:
    """The columns, and the fields of each line."""
    found = list(convert(lines.encode(), COLUMNS, whole=whole))
    text = b"".join(block for _, block in found).decode()
    return [column.name for column in found[0][0]], [
        line.split(FIELD) for line in text.removesuffix("\n").split("\n")
    ]


def test_plain_values_are_as_they_were_written():
    lines = (
        '{"a": 1, "b": "x"}\n{"b": true, "a": null}\r\n{"a": -1.10, "b": ""}\n{"a": "12345678901234567890"}\n'
    )
    assert spell(lines) == (
        ["a", "b"],
        [["1", "x"], [NULL, "true"], ["-1.10", ""], ["12345678901234567890", NULL]],
    )


def test_text_that_looks_like_the_end_of_a_number_is_a_text():
    assert spell('{"b": "2024-0"}\n{"a": -0.5, "b": "10-0"}')[1] == [[NULL, "2024-0"], ["-0.5", "10-0"]]


def test_one_column_is_no_special_case():
    assert spell('{"b": "two"}\n{"b": "words"}') == (["b"], [["two"], ["words"]])


def test_what_copy_would_read_otherwise_is_escaped():
    lines = "".join(json.dumps({"b": value}) + "\n" for value in ("a\nb", "\\N", "\\.", "c\r\td", "é \u2028"))
    assert spell(lines)[1] == [["a\\nb"], ["\\\\N"], ["\\\\."], ["c\\r\td"], ["é \u2028"]]


@pytest.mark.parametrize(
    "line",
    [
        " ", "7", "null", '"b"', "[]", '["a"]', "{", '{"a": 1', '{"a": 1}}', '{"a": 1},', '{"a": 1} {"a": 2}',
        '{"a": 1}, {"a": 2}', '{"a": 01}', '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e2}', '{"a": -0}', '{"a": -0.0}',
        '{"a": [1]}', '{"a": {}}',
        '{"other": 1}', '{"b": "\\u0000"}', '{"b": "\\u001f"}', '{"b": "\\ud800"}', '{"b": "a\tb"}', '{"b": "',
        "[" * 9999,
        '{"a": 1, "b": "x", "c": [',
    ],
)  # fmt: skip
@pytest.mark.parametrize("around", ["%s", '{"a": 1}\n%s\n{"a": 2, "b": "x"}'])
def test_what_is_not_plain_is_left_to_postgresql(line: str, around: str):
    with pytest.raises(Unsure):
        spell(around % line)


def test_column_that_a_line_has_not_is_null_unless_it_has_a_default():
    assert spell('{"a": 1}\n{}') == (["a"], [["1"], [NULL]])
    with pytest.raises(Unsure):
        spell('{"a": 1, "c": 3}\n{"a": 1}')


def test_blank_line_and_none_are_told_apart():
    assert list(convert(b"", COLUMNS)) == []
    with pytest.raises(Unsure):
        spell('{"a": 1}\n\n{"a": 2}')


@pytest.mark.parametrize(
    "lines",
    [
        '{"b": "x\n,y"}', '{"a": [1\n2]}\n{"a": 1},{"a": 2}', '{"a": 1,\n"b": "x"}',
        '{"a": 1},{"a": 2}\n{"a": 3\n"b": "x"}',
    ],
)  # fmt: skip
def test_lines_do_not_mend_each_other(lines: str):
    with pytest.raises(Unsure):
        spell(lines)


def test_upsert_needs_each_column_on_each_line():
    whole = '{"c": 1, "a": 2, "b": null}'
    assert spell(whole, whole=True) == (["a", "b", "c"], [["2", NULL, "1"]])
    with pytest.raises(Unsure):
        spell(whole + '\n{"a": 1, "c": 2}', whole=True)


def test_blocks_together_are_all_lines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(objects, "FIRST", 10)
    monkeypatch.setattr(objects, "BLOCK", 50)
    lines = [json.dumps({"a": number, "b": "x" * (number % 70)}) for number in range(200)]
    found = list(convert("\n".join(lines).encode(), COLUMNS))
    assert len(found) > 50
    assert spell("\n".join(lines))[1] == [[str(number), "x" * (number % 70)] for number in range(200)]
