"""What a file is, by its name and by what was given."""

import pytest

from dbproxy.errors import JobRefused
from dbproxy.jobs.batch.formats import Format, choose_format


@pytest.mark.parametrize(
    ("name", "kind", "delimiter"),
    [
        ("a.csv", "csv", ","),
        ("/x/a.b.CSV.gz", "csv", ","),
        ("a.tsv.zst", "csv", "\t"),
        ("a.ndjson", "ndjson", ","),
        ("a.jsonl.gz", "ndjson", ","),
        ("a.csv.bad", "csv", ","),
    ],
)
def test_name_says_the_format(name: str, kind: str, delimiter: str):
    found = choose_format(name, "", {})
    assert (found.kind, found.delimiter) == (kind, delimiter)


@pytest.mark.parametrize(
    ("name", "kind", "options", "message"),
    [
        ("a", "", {}, "does not say its format"),
        ("-", "", {}, "does not say its format"),
        ("a.csv", "xml", {}, "no format"),
        ("a.csv", "", {"delimiter": "||"}, "one byte"),
        ("a.csv", "", {"quote": "é"}, "one byte"),
        ("a.ndjson", "", {"delimiter": ";"}, "is of CSV"),
        ("a.csv", "", {"encoding": "UTF-16"}, "cannot read"),
    ],
)
def test_what_cannot_be_is_refused(name: str, kind: str, options: dict[str, str], message: str):
    with pytest.raises(JobRefused, match=message):
        choose_format(name, kind, options)


def test_escape_is_the_quote_unless_it_is_given():
    assert choose_format("a.csv", "", {"quote": "'"}).escape == "'"
    assert choose_format("a.csv", "", {"escape": "\\"}) == Format("csv", escape="\\")


def test_statement_has_what_differs_from_the_usual():
    assert Format().spell() == "(FORMAT csv)"
    assert choose_format("a.csv", "", {"delimiter": ";", "null": "NA"}).spell() == (
        "(FORMAT csv, DELIMITER ';', NULL 'NA')"
    )


@pytest.mark.parametrize(
    ("form", "line", "names"),
    [
        (Format(), b'id,"a,b","c""d"\r\n', ["id", "a,b", 'c"d']),
        (Format(), b'"two\nlines",x\n', ["two\nlines", "x"]),
        (Format(delimiter=";", encoding="LATIN1"), b"stra\xdfe;x", ["straße", "x"]),
        (Format(escape="\\"), b'"a\\"b"\n', ['a"b']),
        (Format(encoding="WIN1252"), b"\x80\n", ["€"]),
    ],
)
def test_header_is_read_as_the_format_has_it(form: Format, line: bytes, names: list[str]):
    assert form.read_header(line) == names
