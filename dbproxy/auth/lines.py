"""The lines of pg_hba.conf and pg_ident.conf (PostgreSQL: "The pg_hba.conf File").

Fields stand apart by blanks, and hold tokens that stand apart by commas; double quotes keep blanks, commas and `#`, and
take a keyword its meaning; `#` begins a comment; a backslash at its end continues a line. `@file` stands for the
tokens in that file, `include file`, `include_if_exists file` and `include_dir folder` for their lines. A relative path
starts at the folder of the file that it stands in.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dbproxy.errors import ConfigurationError

MAX_DEPTH = 10  # of files that include each other
_PIECE = re.compile(
    r'"(?:[^"]|"")*"?|[^ \t\r,#"]+', re.DOTALL
)  # a quote that does not end ends with the line
_TOKEN = re.compile(rf"[ \t\r,]*((?:{_PIECE.pattern})*)(#.*|,)?", re.DOTALL)
_CLASS = re.compile(r"\[:(\w+):\]")
_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "lower": "a-z",
    "space": r"\s",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}
_ESCAPES = {"m": r"\b(?=\w)", "M": r"\b(?<=\w)", "y": r"\b", "Y": r"\B", "Z": r"\Z", "A": r"\A"}


@dataclass(frozen=True)
class Token:
    """One word; `quoted`: its text stood in double quotes, so it is no keyword."""

    text: str
    quoted: bool = False

    def is_keyword(self, word: str) -> bool:
        return not self.quoted and self.text == word

    @property
    def group(self) -> str:
        """The role whose members are meant, as in `+role`; empty if it is none such."""
        return self.text[1:] if self.text.startswith("+") and not self.quoted else ""

    @cached_property
    def pattern(self) -> re.Pattern[str] | None:
        """Of a text that begins with a slash, quoted or not. ValueError if it is no regular expression."""
        return compile_pattern(self.text[1:]) if self.text.startswith("/") else None


Fields = list[list[Token]]


@dataclass(frozen=True)
class Line:
    """`where`: the file and the line's number, for people. `mistake`: why there are no fields."""

    where: str
    fields: Fields
    mistake: str = ""


@dataclass(frozen=True)
class Source:
    """A text with lines; `name` is shown in errors, `folder` is where its relative paths start."""

    name: str
    folder: Path
    text: str
    depth: int = 0


def open_source(path: Path, depth: int = 0) -> Source:
    """ConfigurationError if the file cannot be read, with nothing of what is in it."""
    if depth > MAX_DEPTH:
        raise ConfigurationError(f'could not open file "{path}": maximum nesting depth exceeded')
    try:
        return Source(str(path), path.parent, path.read_text("utf-8", "surrogateescape"), depth)
    except OSError as error:
        raise ConfigurationError(f'could not open file "{path}": {error.strerror}') from None
    except ValueError:  # a NUL
        raise ConfigurationError(f"could not open file {str(path)!r}: invalid name") from None


def read_lines(source: Source) -> Iterator[Line]:
    """What cannot be read is a line with a mistake. ConfigurationError where files go too deep."""
    for number, text in _join(source.text):
        where = f"{source.name}:{number}"
        try:
            fields = split_fields(text, source)
            included = list(_include(fields, source))
        except ConfigurationError as error:
            if source.depth == MAX_DEPTH:  # who includes itself would do so without end
                raise ConfigurationError(f"{where}: {error.message}") from None
            yield Line(where, [], error.message)
            continue
        if included:
            for inner in included:
                yield from read_lines(inner)
        elif fields and not _is_include(fields):
            yield Line(where, fields)


def _join(text: str) -> Iterator[tuple[int, str]]:
    """Lines that are continued as one, each with the number of its first."""
    pending, start = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        start = start if pending else number
        line = pending + line.rstrip("\r")
        pending = line[:-1] if line.endswith("\\") else ""
        if not pending:
            yield start, line.removesuffix("\\")
    if pending:
        yield start, pending


def _is_include(fields: Fields) -> bool:
    return len(fields) == 2 and fields[0][0].text in ("include", "include_if_exists", "include_dir")


def _include(fields: Fields, source: Source) -> Iterator[Source]:
    if not _is_include(fields):
        return
    what, path = fields[0][0].text, source.folder / fields[1][0].text
    if what == "include_dir":
        if not path.is_dir():
            raise ConfigurationError(f'could not open directory "{path}"')
        files = sorted(file for file in path.glob("*.conf") if file.is_file() and file.name[0] != ".")
        yield from (open_source(file, source.depth + 1) for file in files)
    elif what == "include" or path.exists():
        yield open_source(path, source.depth + 1)


# --- one line ---


def split_fields(text: str, source: Source) -> Fields:
    """Its tokens, field by field; those of `@file` in its place."""
    fields: Fields = []
    at = 0
    while at < len(text):
        field: list[Token] = []
        more = True
        while more:
            token, at, more = _next_token(text, at)
            if token is None:
                break
            field += _expand(token, source)
        if field:
            fields.append(field)
    return fields


def _expand(token: Token, source: Source) -> list[Token]:
    if token.quoted or not token.text.startswith("@") or len(token.text) == 1:
        return [token]
    lines = list(read_lines(open_source(source.folder / token.text[1:], source.depth + 1)))
    if wrong := next((line for line in lines if line.mistake), None):
        raise ConfigurationError(f"{wrong.where}: {wrong.mistake}")
    return [found for line in lines for field in line.fields for found in field]


def _next_token(text: str, at: int) -> tuple[Token | None, int, bool]:
    """The token from there on, where it ends, and whether a comma follows: as next_token of PostgreSQL's hba.c."""
    found = _TOKEN.match(text, at)
    assert found is not None  # it matches any text
    written, behind = found.groups()
    if not written:
        return None, found.end(), False
    built = "".join(map(_unquote, _PIECE.findall(written)))
    return Token(built, quoted=written.startswith('"')), found.end(), behind == ","


def _unquote(piece: str) -> str:
    if not piece.startswith('"'):
        return piece
    closed = piece.count('"') % 2 == 0
    return piece[1 : -1 if closed else None].replace('""', '"')


# --- regular expressions ---


def compile_pattern(text: str) -> re.Pattern[str]:
    """PostgreSQL's regular expression as Python has it; ValueError if it cannot be said there."""
    if text.startswith("***"):
        raise ValueError(f'invalid regular expression "{text}": directors (***) are not served')
    translated = _CLASS.sub(lambda found: _name_class(text, found[1]), text)
    if re.search(r"\[[:.=]", translated):
        raise ValueError(f'invalid regular expression "{text}": collating elements are not served')
    translated = re.sub(r"\\(.)|\$", _translate_sign, translated)
    try:
        return re.compile(translated, re.DOTALL)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f'invalid regular expression "{text}": {error}') from None


def _name_class(text: str, name: str) -> str:
    if name not in _CLASSES:
        raise ValueError(f'invalid regular expression "{text}": class [:{name}:] is not served')
    return _CLASSES[name]


def _translate_sign(found: re.Match[str]) -> str:
    """PostgreSQL's $ is the end, never a place before a line feed."""
    if found[1] is None:
        return r"\Z"
    return _ESCAPES.get(found[1], found[0])
