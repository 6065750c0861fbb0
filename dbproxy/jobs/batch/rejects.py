"""The file of lines that were left out, made of the ledger: as they came, so that they can be mended and loaded.

Beside it, its name with `.reasons`, a JSON object for each of them: its line in what was loaded, and what was wrong.
What an earlier load has left there is kept as `.old`, as somebody may have mended it and not loaded it yet; so is a
file of that name without reasons beside it, which is no load's.
"""

import asyncio
import json
import os
from pathlib import Path

from dbproxy.jobs.primary import Connection

BAD = """
SELECT (key ->> 0)::int8 AS line, sqlstate, message, detail, "constraint", content FROM dbproxy.batch_errors
WHERE batch = $1 AND (key ->> 0)::int8 > $2 ORDER BY 1 LIMIT 100"""


async def write_rejects(connection: Connection, batch: str, path: str, header: bytes) -> int:
    """How many they are; there are files only if there are any. `header` comes first. Raises OSError."""
    lines, reasons = Path(path), Path(f"{path}.reasons")
    found, after = 0, -1
    while rows := await connection.fetch(BAD, batch, after):
        if not found:
            await asyncio.to_thread(_begin, lines, reasons, header)
        content = b"".join(row["content"].removesuffix(b"\n") + b"\n" for row in rows)
        listed = "".join(json.dumps({name: row[name] for name in NAMES}) + "\n" for row in rows)
        await asyncio.to_thread(_append, lines, reasons, content, listed)
        found, after = found + len(rows), rows[-1]["line"]
    if not found:
        await asyncio.to_thread(_put_away, lines, reasons)
    return found


def find_obstacle(path: str) -> str:
    """Why there can be no such files, as far as that is known before one is needed; "" if they can be."""
    folder, files = Path(path).absolute().parent, (Path(path), Path(f"{path}.reasons"))
    if not folder.is_dir():
        return f"there is no folder {folder}"
    if any(file.is_dir() for file in files):
        return "there is a folder of that name"
    if not all(os.access(one, os.W_OK) for one in (folder, *files) if one.exists()):
        return "it may not be written"
    return ""


NAMES = ("line", "sqlstate", "message", "detail", "constraint")


def _begin(lines: Path, reasons: Path, header: bytes) -> None:
    if lines.exists() and not reasons.exists():
        _keep(lines)
    lines.write_bytes(header)
    reasons.write_bytes(b"")


def _put_away(lines: Path, reasons: Path) -> None:
    """Both, if they were made here."""
    if reasons.exists() and lines.exists():
        _keep(lines)
        _keep(reasons)


def _keep(path: Path) -> None:
    path.replace(f"{path}.old")


def _append(lines: Path, reasons: Path, content: bytes, listed: str) -> None:
    with lines.open("ab") as file:
        file.write(content)
    with reasons.open("a", encoding="utf-8") as file:
        file.write(listed)
