# cython: boundscheck=False, wraparound=False
"""The shape of a statement: its text without literals and comments, white space folded to one blank.

Follows "Lexical Structure" in PostgreSQL's documentation (and its scan.l where the chapter is silent):

    '…'  E'…'  U&'…'  B'…'  X'…'  N'…'  $tag$…$tag$     a literal: becomes $?
    42  3.5e-7  .5  0x1F  1_000                          a literal: becomes $?
    "…"  U&"…"  name  $1  operators                      kept letter for letter
    -- to the end of the line, nested /* … */            white space (comments may hold values)

Why `$?`: no valid statement holds it outside quotes, so it is neither taken for the operator `?` of jsonb nor
for a parameter, and no other statement's own text equals a shape. A string continued on the next line ('a'
newline 'b') is one literal. What has no end (a string, a quoted name, a comment) lasts to the end of the text
and is not shown. `IN (…)`, `ARRAY[…]` and `VALUES (…), (…)` of nothing but values fold to one shape.

With `standard_conforming_strings` off a backslash escapes in '…' as it does in E'…': the caller says so (the
setting is reported to clients, ParameterStatus). Who cannot know, and must not leak, uses `redact`. The text
is taken to be in an encoding where a byte below 128 is always that ASCII character: true of UTF-8 and every
server encoding, not of the client-only ones (SJIS, BIG5, GBK, UHC, JOHAB, GB18030).
"""

import re

from dbproxy.sql.comments import mark_values
from dbproxy.sql.lexer import gap_end, is_wordlike, kept_end, literal_end

_BLANK, _QUOTE, _DOLLAR, _QUESTION = 0x20, 0x27, 0x24, 0x3F
_PAREN, _COMMA, _DASH, _BRACKET = 0x28, 0x2C, 0x2D, 0x5B
NUMBER, STRING, TAG = 1, 2, 3  # in patterns

_VALUE = rb"-?(?:\$\?|NULL|TRUE|FALSE|DEFAULT)"
_LIST = rb" ?%s(?: ?, ?%s)* ?" % (_VALUE, _VALUE)
_LISTS = re.compile(
    rb"\b(IN) ?\(%(list)s\)|\b(ARRAY) ?\[%(list)s\]|\b(VALUES) ?\(%(list)s\)(?: ?, ?\(%(list)s\))*"
    % {b"list": _LIST},
    re.IGNORECASE,
)

_NAME = rb'(?:"[^"]*"|[\w$\x80-\xff]+)'
_SETTING = re.compile(
    rb"((?:\A|;) ?(?:|(?:ALTER|CREATE)\b[^;]*? )SET (?:SESSION |LOCAL )?%(name)s(?: ?\. ?%(name)s)+ ?(?:=|TO\b) ?)[^;]+"
    % {b"name": _NAME},
    re.IGNORECASE,
)
_PASSWORD = re.compile(
    rb"((?:\A|;) ?(?:ALTER|CREATE) (?:ROLE|USER|GROUP)\b%(within)s\bPASSWORD(?: |(?=\")))(?!\$\?|NULL\b).+"
    % {b"within": rb'(?:[^;]*?|(?:"[^"]*"|[^;"])*?)'},  # the statement: a quoted name may have a semicolon
    re.IGNORECASE | re.DOTALL,
)


def shape(text: bytes, backslashes: bool = False) -> bytes:
    """`text` without its literals; idempotent. `backslashes`: `standard_conforming_strings` is off."""
    n = len(text)
    padded = text + b"\0\0"  # spares every look at the next two bytes its bounds check
    source = padded
    room = bytearray(3 * n)  # at most " $?" for one byte
    out = room
    i = size = last = 0  # `last` is the last byte kept that is no white space
    listed = False
    while i < n:
        end = gap_end(source, i, n)
        if end > i:
            i = end
            if size > 0:
                out[size] = _BLANK
                size += 1
            continue
        end = literal_end(source, i, n, backslashes)
        if end > i:
            i = end
            listed = listed or last in (_PAREN, _COMMA, _BRACKET, _DASH)
            if size > 0 and is_wordlike(out[size - 1]):
                out[size] = _BLANK
                size += 1
            out[size] = _DOLLAR
            out[size + 1] = _QUESTION
            size += 2
            continue
        end = kept_end(source, i, n)
        while i < end:
            out[size] = source[i]
            size += 1
            i += 1
        last = source[i - 1]
    if size > 0 and out[size - 1] == _BLANK:
        size -= 1
    found = b"" + out[:size]  # compiled, it is bytes already and not copied
    return _LISTS.sub(_fold, found) if listed else found


def find_pattern(text: bytes) -> bytes:
    """`text` with marks for what may be another value in a text of the same shape.

    NUMBER for each number of digits only, STRING in each string without a prefix or quotes, TAG in comments that are
    tags (sql.comments).
    """
    n = len(text)
    padded = text + b"\0\0"
    source = padded
    found = b""
    i = 0
    while i < n:
        start = gap_end(source, i, n)
        end = literal_end(source, start, n, backslashes=False) or kept_end(source, start, n)
        token = text[start:end]
        if token.isdigit() and not is_wordlike(source[end]):
            token = b"%c" % NUMBER
        elif source[start] == _QUOTE and text.find(b"'", start + 1) == end - 1:
            token = b"'%c'" % STRING
        found += mark_values(text[i:start], b"%c" % TAG) + token
        i = end
    return found


def redact(text: bytes) -> bytes:
    """The shape for a log; ends with `…` where a backslash before a quote may be read in two ways.

    The value of a setting of the application's own (`SET app.key = word`) is left out, too, if it has no quotes; so is
    a password without them, which is no SQL, and what follows it.
    """
    found = shape(text)
    other = shape(text, backslashes=True) if b"\\'" in text else found
    if found != other:
        end = 0
        while found[end : end + 1] == other[end : end + 1]:
            end += 1
        found = found[:end] + "…".encode()
    return _PASSWORD.sub(rb"\1$?", _SETTING.sub(rb"\1$?", found))


def _fold(found: re.Match[bytes]) -> bytes:
    return found[2] + b"[$?, ...]" if found[2] else (found[1] or found[3]) + b" ($?, ...)"
