"""The literals of a text one by one, in the order in which its shape (sql.shape) leaves them out."""

from dbproxy.sql.lexer import gap_end, kept_end, literal_end


def count_literals(text: bytes, location: int) -> int:
    """The number, from 1, of the literal that begins there; 0 if none does."""
    number, start, _ = walk(text, location, 0)
    return number if start == location else 0


def cut_literal(text: bytes, number: int) -> bytes:
    """The literal of this number as it is written, quotes and all; b"" if there are not so many."""
    found, start, end = walk(text, len(text), number)
    return text[start:end] if found == number else b""


def walk(text: bytes, location: int, number: int) -> tuple[int, int, int]:
    """Up to the first literal that begins at `location` or is the one with this number: its number, and where it is."""
    n = len(text)
    padded = text + b"\0\0"  # see sql.shape
    source = padded
    i = found = 0
    while i < n:
        i = gap_end(source, i, n)
        end = literal_end(source, i, n, backslashes=False)
        if end > i:
            found += 1
            if i >= location or found == number:
                return found, i, end
            i = end
        else:
            i = kept_end(source, i, n)
    return 0, n, n
