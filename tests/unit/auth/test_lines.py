import re
from pathlib import Path

import pytest

from dbproxy.auth.lines import Line, Source, Token, compile_pattern, read_lines
from dbproxy.errors import ConfigurationError


def read(text: str, folder: Path = Path()) -> list[list[list[str]]]:
    lines = read_lines(Source("pg_hba.conf", folder, text))
    return [[[token.text for token in field] for field in line.fields] for line in lines]


def find_mistakes(text: str, folder: Path) -> list[Line]:
    return [line for line in read_lines(Source("pg_hba.conf", folder, text)) if line.mistake]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("host all all", [["host"], ["all"], ["all"]]),
        ("host\ta,b , c\tall\r", [["host"], ["a", "b"], ["c"], ["all"]]),
        ("host a, b all", [["host"], ["a", "b"], ["all"]]),
        ('host "a,b c#d" x', [["host"], ["a,b c#d"], ["x"]]),
        ('host "say ""hi"""', [["host"], ['say "hi"']]),
        ("host all#comment all", [["host"], ["all"]]),
        ('host x"all"', [["host"], ["xall"]]),
        ('host ""', [["host"], [""]]),
        ("# nothing", None),
        ("   ", None),
    ],
)
def test_fields_and_tokens(text, fields) -> None:  # type: ignore[no-untyped-def]
    assert read(text) == ([fields] if fields is not None else [])


def test_backslash_continues_a_line_also_a_comment() -> None:
    assert read("host all \\\n  all\n# gone \\\nhost not\nlocal x\n") == [
        [["host"], ["all"], ["all"]],
        [["local"], ["x"]],
    ]
    assert [line.where for line in read_lines(Source("f", Path(), "a \\\n b\nc"))] == ["f:1", "f:3"]


@pytest.mark.parametrize(("text", "keyword"), [("all", True), ('"all"', False), ('x"all"', False)])
def test_quotes_take_a_keyword_its_meaning(text: str, keyword: bool) -> None:
    (line,) = read_lines(Source("f", Path(), text))
    assert line.fields[0][0].is_keyword("all") is keyword


def test_role_is_meant_by_a_plus_that_is_not_quoted() -> None:
    assert (Token("+dba").group, Token("+dba", quoted=True).group, Token("dba").group) == ("dba", "", "")


def test_file_stands_for_its_tokens_and_included_files_for_their_lines(tmp_path: Path) -> None:
    (tmp_path / "admins").write_text("alice, bob\n# nobody else\ncarol @more\n")
    (tmp_path / "more").write_text("dave\n")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "b.conf").write_text("second\n")
    (tmp_path / "rules" / "a.conf").write_text("first\ninclude ../last\n")
    (tmp_path / "rules" / "a.txt").write_text("not\n")
    (tmp_path / "rules" / ".a.conf").write_text("not\n")
    (tmp_path / "last").write_text("last\n")
    text = 'host @admins,"@x"\ninclude_dir rules\ninclude_if_exists missing\ninclude last\n'
    assert read(text, tmp_path) == [
        [["host"], ["alice", "bob", "carol", "dave", "@x"]],
        [["first"]],
        [["last"]],
        [["second"]],
        [["last"]],
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\ninclude missing", '^pg_hba.conf:2: could not open file ".*missing": No such file'),
        ("host @missing", '^pg_hba.conf:1: could not open file ".*missing": No such file'),
        ("include_dir missing", '^pg_hba.conf:1: could not open directory ".*missing"'),
        ("host @selves", "maximum nesting depth exceeded"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "selves").write_text("@selves\n")
    told = [f"{line.where}: {line.mistake}" for line in find_mistakes(text, tmp_path)]
    assert [re.search(message, line) is not None for line in told] == [True]


def test_file_that_includes_itself_is_a_mistake_at_once(tmp_path: Path) -> None:
    (tmp_path / "self").write_text("include self\n" * 10)
    with pytest.raises(ConfigurationError, match="maximum nesting depth exceeded"):
        find_mistakes("include self", tmp_path)


def test_mistake_in_an_included_file_has_that_files_place(tmp_path: Path) -> None:
    (tmp_path / "inner").write_text("\ninclude missing\n")
    (wrong,) = find_mistakes("include inner", tmp_path)
    assert wrong.where == f"{tmp_path}/inner:2"


def test_lines_behind_a_mistake_are_read(tmp_path: Path) -> None:
    (tmp_path / "inner").write_text("include missing\nfirst\n")
    assert read("include inner\nhost @gone\nlast", tmp_path) == [[], [["first"]], [], [["last"]]]


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("^app", "app1", True),
        ("^app$", "app\n", False),
        ("^a.b$", "a\nb", True),
        ("^[[:alpha:]_]+$", "a_b", True),
        ("^[[:digit:]]+$", "1a", False),
        (r"\mapp\M", "the app", True),
        (r"\mapp\M", "apple", False),
        (r"^\w+\d$", "app1", True),
        (r"^\$x$", "$x", True),
    ],
)
def test_regular_expressions_mean_what_postgresql_means(pattern: str, text: str, matches: bool) -> None:
    assert (compile_pattern(pattern).search(text) is not None) is matches


@pytest.mark.parametrize(
    "pattern", ["(", "***=a", "[[:nope:]]", "[[:<:]]a", "[[.a.]]", "a{2,1}", f"a{{{2**32}}}"]
)
def test_regular_expressions_that_python_has_not_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="invalid regular expression"):
        compile_pattern(pattern)
