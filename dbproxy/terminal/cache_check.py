"""Kept answers, compared with the server's for a while: `dbproxy cache verify`."""

import time

from dbproxy.terminal.address import Address
from dbproxy.terminal.connection import Connection

SETTING = "cache.verify"


def check(address: Address, seconds: float) -> tuple[int, int]:
    """How many answers were compared, and how many of them were not the same. The setting is put back."""
    with Connection(address) as console:
        usual = read(console, "SHOW CONFIG", "key", SETTING, "value")
        before = count(console)
        console.ask(f"SET {SETTING} = 1")
        try:
            time.sleep(seconds)
        finally:
            console.ask(f"SET {SETTING} = {usual}")
        verified, mismatches = count(console)
        return verified - before[0], mismatches - before[1]


def count(console: Connection) -> tuple[int, int]:
    """Of all databases and users, since start."""
    verified, mismatches = (
        read(console, "SHOW CACHE", "user", "<all>", name) for name in ("verified", "mismatches")
    )
    return int(verified), int(mismatches)


def read(console: Connection, command: str, key: str, wanted: str, name: str) -> str:
    """Of the row of which the column `key` says what is wanted."""
    (result,) = console.ask(command)
    names = [column for column, _ in result.columns]
    row = next(row for row in result.rows if row[names.index(key)] == wanted)
    return row[names.index(name)] or ""
