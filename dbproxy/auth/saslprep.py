"""SASLprep (RFC 4013) as PostgreSQL applies it to passwords before SCRAM hashes them.

PostgreSQL departs from the RFC, and a proxy must depart with it or the hashes differ: plain ASCII stays as it
is, prohibited characters are looked for before normalization and not after, and a password that SASLprep
refuses is hashed as it was typed ("SASL Authentication"; pg_saslprep in PostgreSQL's source). So is one longer
than LONGEST, unlike PostgreSQL's: who is not let in yet may send 64 KiB of accents, and to put those in order takes
the square of their number, with the whole process held up.
"""

import stringprep
import unicodedata

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)

LONGEST = 4096  # characters beyond ASCII's


def saslprep(password: str) -> str:
    """The password that is hashed in place of `password`."""
    if password.isascii() or len(password) > LONGEST:
        return password
    mapped = "".join(_map(char) for char in password)
    if not mapped or _prohibited(mapped) or _mixes_directions(mapped):
        return password
    return unicodedata.normalize("NFKC", mapped)


def _map(char: str) -> str:
    if stringprep.in_table_c12(char):
        return " "
    return "" if stringprep.in_table_b1(char) else char


def _prohibited(text: str) -> bool:
    return any(in_table(char) for char in text for in_table in _PROHIBITED)


def _mixes_directions(text: str) -> bool:
    """Whether right-to-left letters stand with others, or not at both ends (RFC 3454, section 6)."""
    if not any(map(stringprep.in_table_d1, text)):
        return False
    framed = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return not framed or any(map(stringprep.in_table_d2, text))
