"""What a load was asked for, and how its bad lines are loaded."""

import json
from dataclasses import asdict, replace

import pytest

from dbproxy.jobs.batch.formats import choose_format
from dbproxy.jobs.batch.load import FIELDS, Header, Order, read_filled, read_identity


@pytest.mark.parametrize(
    ("name", "options", "order", "words"),
    [
        ("/in/a b.csv.gz", {}, {}, "'/in/a b.csv.bad' --table t --format csv"),
        ("t.tsv", {}, {"header": "none"}, "t.tsv.bad --table t --format csv --header none --delimiter tab"),
        ("t.csv", {"quote": "|", "null": "-"}, {"header": "skip", "columns": ("a", "b c")},
         "t.csv.bad --table t --format csv --header skip --columns 'a,b c' --null - --quote '|' --escape '|'"),
        ("t.jsonl", {}, {"upsert": ("a", "b")}, "t.jsonl.bad --table t --format ndjson --upsert a,b"),
        ("-", {}, {}, "users-1.bad --table t --format csv"),
        ("t.csv", {"encoding": "LATIN1"}, {"bad": "/out"}, "/out --table t --format csv --encoding LATIN1"),
    ],
)  # fmt: skip
def test_command_for_bad_lines_says_all_that_the_load_was_told(name, options, order, words):
    form = choose_format(name, "csv" if name == "-" else "", options)
    assert Order("t", name, form, **order).spell_retry("users-1") == f"dbproxy batch load {words} --execute"


@pytest.mark.parametrize(
    ("header", "columns", "word"),
    [
        ("none", (), " --columns b,a"),
        ("skip", (), " --columns b,a"),
        ("match", (), ""),
        ("none", ("a", "b"), "a,b"),
    ],
)
def test_command_for_bad_lines_has_the_columns_that_the_table_had(
    header: Header, columns: tuple[str, ...], word: str
):
    order = Order("t", "t.csv", choose_format("t.csv", "", {}), header, columns)
    command = read_filled({**asdict(order), FIELDS: ["b", "a"]}).spell_retry("t-1")
    assert f"{word} --execute" in command
    assert read_filled(asdict(order)) == order  # of an older version


@pytest.mark.parametrize(
    "change",
    [
        {"header": "none"}, {"header": "skip"}, {"columns": ("a", "b")}, {"upsert": ("a",)}, {"table": "u"},
        {"path": "u"},
        *({"format": choose_format("t.csv", "", {key: value})} for key, value in (
            ("delimiter", ";"), ("null", "-"), ("quote", "'"), ("escape", "!"), ("encoding", "LATIN1"))),
        {"format": choose_format("t", "ndjson", {})},
    ],
    ids=str,
)  # fmt: skip
def test_all_but_the_file_of_bad_lines_makes_a_load_another_one(change):
    order = Order("t", "t.csv", choose_format("t.csv", "", {}))
    kept = json.loads(json.dumps({**asdict(order), FIELDS: ["a"]}))
    assert read_identity(kept) == read_identity(asdict(replace(order, bad="elsewhere")))
    assert read_identity(kept) != read_identity(asdict(replace(order, **change)))
