"""Positions in the WAL as PostgreSQL writes them (PostgreSQL: "pg_lsn Type")."""

import re

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


def parse_lsn(text: str) -> int:
    """Of `16/B374D848`; ValueError if it is none."""
    found = _LSN.fullmatch(text)
    if found is None:
        raise ValueError(f"not a position in the WAL: {text}")
    return (int(found[1], 16) << 32) + int(found[2], 16)


def format_lsn(lsn: int) -> str:
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
