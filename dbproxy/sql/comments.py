"""Comments that say something: who asks (*tags*), and how a statement is to be planned (`/*+ … */`, pg_hint_plan).

Tags are those that sqlcommenter, Datadog and many frameworks write, another text for each request:

    /*application='shop',route='%2Fitems',traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01'*/

A comment of nothing but such pairs, whose values are URL-encoded, ahead of a statement or behind it, is no part of what
is asked, and *cut*: behind the statement it goes, ahead of it there are blanks in its place, so that the position that
an error names is still the right one. All other comments stay as they are.
"""

import re

from dbproxy.sql.lexer import comment_end, gap_end, kept_end, line_end, literal_end

LIMIT = 65536  # bytes of a text that is looked at
SHORT = 256  # bytes
_DASH, _SEMICOLON, _SLASH, _STAR = 0x2D, 0x3B, 0x2F, 0x2A
_SPACE = b" \t\n\r\f\v"
_PAIR = rb"\s*[A-Za-z_]\w*\s*=\s*'(?:[!-&(-\[\]-~]|\\')*+'\s*"
_TAGS = re.compile(rb"/\*%s(?:,%s)*\*/" % (_PAIR, _PAIR), re.ASCII)
_VALUE = re.compile(rb"'[^'*]*'")


def cut_comments(text: bytes) -> bytes:
    """`text` without the tags ahead of it and behind it; itself if there are none."""
    n = len(text)
    if n > LIMIT or not may_comment(text, n):
        return text
    start = gap_end(text + b"\0\0", 0, n)
    stop = _last_end(text, start, backslashes=False)
    if b"\\" in text and stop != _last_end(text, start, backslashes=True):
        return text  # it depends on standard_conforming_strings what is a comment
    ahead, behind = _cut(text, 0, start, b" "), _cut(text, stop, n, b"")
    if len(ahead) + len(behind) == start + n - stop and text.startswith(ahead):
        return text
    return ahead + text[start:stop] + behind


def may_comment(text: bytes, n: int) -> bool:
    """Whether a comment may begin somewhere: in a short text a loop beats a call of `find`."""
    if n > SHORT:
        return text.find(b"/*") >= 0
    padded = text + b"\0" if n and text[n - 1] == _SLASH else text
    source = padded
    i = 0
    while i < n and not (source[i] == _SLASH and source[i + 1] == _STAR):
        i += 1
    return i < n


def find_tags(text: bytes) -> list[bytes]:
    """The tags ahead of `text` and behind it, in their order: the comments that `cut_comments` cuts."""
    if b"/*" not in text or len(text) > LIMIT:
        return []
    n = len(text)
    start = gap_end(text + b"\0\0", 0, n)
    stop = _last_end(text, start, backslashes=False)
    if b"\\" in text and stop != _last_end(text, start, backslashes=True):
        stop = n
    return [piece for piece in _split(text, 0, start) + _split(text, stop, n) if _is_tags(piece)]


def mark_values(gap: bytes, mark: bytes) -> bytes:
    """White space and comments with `mark` for each value of a tag."""
    if b"/*" not in gap:
        return gap
    return b"".join(
        [
            _VALUE.sub(b"'" + mark + b"'", piece) if _is_tags(piece) else piece
            for piece in _split(gap, 0, len(gap))
        ]
    )


def find_plan_hints(text: bytes, backslashes: bool = False) -> list[bytes]:
    """The comments that begin with `/*+`."""
    n = len(text)
    padded = text + b"\0\0"
    source = padded
    found: list[bytes] = []
    i = 0
    while i < n:
        end = gap_end(source, i, n)
        if end > i + 4:
            found += [piece for piece in _split(text[i:end], 0, end - i) if piece.startswith(b"/*+")]
        i = literal_end(source, end, n, backslashes) or kept_end(source, end, n)
    return found


def _last_end(text: bytes, i: int, backslashes: bool) -> int:
    """Where the last token ends that is no semicolon; `i` if none comes behind it."""
    n = len(text)
    padded = text + b"\0\0"
    source = padded
    last = i
    while i < n:
        end = literal_end(source, i, n, backslashes) or kept_end(source, i, n)
        if source[i] != _SEMICOLON:
            last = end
        i = gap_end(source, end, n)
    return last


def _cut(text: bytes, start: int, stop: int, filler: bytes) -> bytes:
    """White space, semicolons and comments with `filler` for each byte of a tag; without one, nor what parts it."""
    kept: list[bytes] = []
    lined = False  # a line comment needs its end
    for piece in _split(text, start, stop):
        if not _is_tags(piece):
            lined = lined or piece.startswith(b"--")
            kept.append(piece)
        elif filler:
            kept.append(filler * len(piece))
        elif kept and not lined:
            kept[-1] = kept[-1].rstrip(_SPACE)
    return b"".join(kept)


def _split(text: bytes, start: int, stop: int) -> list[bytes]:
    """Comments, and the white space and semicolons between them."""
    padded = text + b"\0\0"
    source = padded
    pieces: list[bytes] = []
    i = start
    while i < stop:
        end = i
        while end < stop and source[end] != _SLASH and source[end] != _DASH:
            end += 1
        if end == i:
            end = comment_end(source, i + 2, stop) if source[i] == _SLASH else line_end(source, i, stop)
        pieces.append(text[i:end])
        i = end
    return pieces


def _is_tags(piece: bytes) -> bool:
    return len(piece) > 1 and _TAGS.fullmatch(piece) is not None and b"/*" not in piece[2:]
