# cython: boundscheck=False, wraparound=False
"""Where the tokens of a SQL text end, as far as a text without its literals and comments needs it.

Follows "Lexical Structure" in PostgreSQL's documentation (and its scan.l where the chapter is silent). `text` is padded
with two bytes behind its `n`, so that a look at the next ones needs no bounds check. What has no end (a string, a
quoted name, a comment) lasts to the end of the text.
"""

_OTHER, _SPACE, _WORD, _DIGIT = 0, 1, 2, 3
_NEWLINE, _RETURN, _QUOTE, _DOUBLE_QUOTE, _BACKSLASH = 0x0A, 0x0D, 0x27, 0x22, 0x5C
_DOLLAR, _AND, _STAR, _PLUS, _DASH = 0x24, 0x26, 0x2A, 0x2B, 0x2D
_DOT, _SLASH, _ZERO, _UNDERSCORE = 0x2E, 0x2F, 0x30, 0x5F
_A, _B, _E, _F, _N, _O, _U, _X = 0x61, 0x62, 0x65, 0x66, 0x6E, 0x6F, 0x75, 0x78
_LOWER = 0x20  # the bit that makes a letter a small one


def _classify(byte: int) -> int:
    if byte in b" \t\n\r\f\v":
        return _SPACE
    if byte in b"0123456789":
        return _DIGIT
    return _WORD if byte >= 0x80 or chr(byte).isalpha() or byte == _UNDERSCORE else _OTHER


_KIND = bytes(_classify(byte) for byte in range(256))


def is_wordlike(byte: int) -> bool:
    """Whether a number before it would be read with it."""
    return _KIND[byte] >= _WORD or byte == _DOLLAR


def gap_end(text: bytes, i: int, n: int) -> int:
    """Where the white space and comments that begin at `i` end; `i` if there are none."""
    while i < n:
        c = text[i]
        if _KIND[c] == _SPACE:
            i += 1
        elif c == _DASH and text[i + 1] == _DASH:
            i = line_end(text, i, n)
        elif c == _SLASH and text[i + 1] == _STAR:
            i = comment_end(text, i + 2, n)
        else:
            return i
    return i


def line_end(text: bytes, i: int, n: int) -> int:
    """Where the line ends that goes on at `i`."""
    while i < n and text[i] not in (_NEWLINE, _RETURN):
        i += 1
    return i


def comment_end(text: bytes, i: int, n: int) -> int:
    """Where the block comment ends whose first character is at `i`."""
    depth = 1
    while i < n:
        if text[i] == _SLASH and text[i + 1] == _STAR:
            depth += 1
            i += 2
        elif text[i] == _STAR and text[i + 1] == _SLASH:
            depth -= 1
            i += 2
            if depth == 0:
                return i
        else:
            i += 1
    return n


def literal_end(text: bytes, i: int, n: int, backslashes: bool) -> int:
    """Where the literal that begins at `i` ends; 0 if none does."""
    c = text[i]
    kind = _KIND[c]
    if kind == _WORD:
        return _prefixed_end(text, i, n, backslashes)
    if kind == _DIGIT or (c == _DOT and _KIND[text[i + 1]] == _DIGIT):
        return _number_end(text, i)
    if c == _QUOTE:
        return _string_end(text, i + 1, n, backslashes)
    if c == _DOLLAR:
        return _dollar_end(text, i, n)
    if c == _DOUBLE_QUOTE and _name_end(text, i, n) == 0:
        return n
    return 0


def _prefixed_end(text: bytes, i: int, n: int, backslashes: bool) -> int:
    """The end of E'…', B'…', X'…', N'…' or U&'…' at `i`; 0 if it is a word."""
    c = text[i] | _LOWER
    if text[i + 1] == _QUOTE:
        if c in (_E, _B, _X, _N):
            return _string_end(text, i + 2, n, c == _E or (c == _N and backslashes))
    elif c == _U and text[i + 1] == _AND and text[i + 2] == _QUOTE:
        return _string_end(text, i + 3, n, c == _E)
    return 0


def _string_end(text: bytes, i: int, n: int, escapes: bool) -> int:
    """The end of the string whose first character is at `i`, continuation lines included."""
    while i < n:
        c = text[i]
        i += 1
        if c == _BACKSLASH and escapes:
            i += 1
        elif c == _QUOTE:
            if text[i] == _QUOTE:
                i += 1
                continue
            following = _continuation(text, i, n)
            if following == 0:
                return i
            i = following
    return n


def _continuation(text: bytes, i: int, n: int) -> int:
    """Where a string that was closed at `i` goes on, on a later line; 0 if it does not."""
    newline = False
    while i < n:
        c = text[i]
        if c in (_NEWLINE, _RETURN):
            newline = True
            i += 1
        elif _KIND[c] == _SPACE:
            i += 1
        elif c == _DASH and text[i + 1] == _DASH:
            i = line_end(text, i, n)
        else:
            return i + 1 if c == _QUOTE and newline else 0
    return 0


def _dollar_end(text: bytes, i: int, n: int) -> int:
    """The end of the dollar-quoted string at `i`; 0 if it is a parameter or a lone dollar sign."""
    end = i + 1
    if _KIND[text[end]] == _DIGIT:
        return 0
    while _KIND[text[end]] >= _WORD:
        end += 1
    if text[end] != _DOLLAR:
        return 0
    size = end + 1 - i
    tag = text[i : end + 1]
    while end < n:
        end += 1
        if text[end] == _DOLLAR and end + size <= n and text[end : end + size] == tag:
            return end + size
    return n


def _number_end(text: bytes, i: int) -> int:
    c = text[i + 1] | _LOWER
    if text[i] == _ZERO and c in (_X, _O, _B):
        end = i + 2
        while _is_hex(text[end]):
            end += 1
        if end > i + 2:
            return end
    end = _digits_end(text, i)
    if text[end] == _DOT and text[end + 1] != _DOT:
        end = _digits_end(text, end + 1)
    if text[end] | _LOWER == _E:
        exponent = end + 2 if text[end + 1] in (_PLUS, _DASH) else end + 1
        if _KIND[text[exponent]] == _DIGIT:
            return _digits_end(text, exponent)
    return end


def _is_hex(byte: int) -> bool:
    return _KIND[byte] == _DIGIT or _A <= byte | _LOWER <= _F or byte == _UNDERSCORE


def _digits_end(text: bytes, i: int) -> int:
    while _KIND[text[i]] == _DIGIT or (text[i] == _UNDERSCORE and _KIND[text[i + 1]] == _DIGIT):  # 1_000
        i += 1
    return i


def kept_end(text: bytes, i: int, n: int) -> int:
    """The end of the word, quoted name, parameter or other character at `i`."""
    c = text[i]
    if c == _DOUBLE_QUOTE:
        return _name_end(text, i, n)
    i += 1
    if _KIND[c] == _WORD:
        while is_wordlike(text[i]):
            i += 1
    elif c == _DOLLAR:
        while _KIND[text[i]] == _DIGIT:
            i += 1
    return i


def _name_end(text: bytes, i: int, n: int) -> int:
    """The end of the quoted name at `i`, doubled quotes included; 0 if it has none."""
    i += 1
    while i < n:
        if text[i] == _DOUBLE_QUOTE:
            if text[i + 1] != _DOUBLE_QUOTE:
                return i + 1
            i += 1
        i += 1
    return 0
