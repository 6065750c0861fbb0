"""Figures of statements kept in files: one for each snapshot, a line of JSON for each statement behind one about all.

`queries-20261128T220000Z.jsonl` holds what was counted in the minutes ahead of that moment. Written to another name
and renamed, so that nobody reads half of one.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dbproxy.observe.queries import Row

VERSION = 1
PATTERN = "queries-*.jsonl"
STAMP = "queries-%Y%m%dT%H%M%SZ.jsonl"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`at`: seconds since 1970, when its `window_s` seconds ended."""

    at: float
    window_s: float
    rows: list[Row]


def write(folder: Path, snapshot: Snapshot) -> Path:
    """OSError if it cannot be."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / datetime.fromtimestamp(snapshot.at, UTC).strftime(STAMP)
    head = {"version": VERSION, "at": snapshot.at, "window_s": snapshot.window_s}
    lines = [json.dumps(line, ensure_ascii=False) for line in (head, *snapshot.rows)]
    unfinished = path.with_suffix(".tmp")
    text = "\n".join(lines) + "\n"
    try:
        unfinished.write_text(text, encoding="utf-8", errors="replace")  # names may be no UTF-8
        unfinished.replace(path)
    except OSError:  # no room: what there is of it takes none, either
        unfinished.unlink(missing_ok=True)
        raise
    return path


def read(path: Path) -> Snapshot:
    """ValueError if it is none."""
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        head = json.loads(lines[0]) if lines else {}
        if head["version"] == VERSION:
            return Snapshot(head["at"], head["window_s"], [json.loads(line) for line in lines[1:]])
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{path} is no snapshot: {error}") from None
    raise ValueError(f"{path} is no snapshot of version {VERSION}")


def list_files(folder: Path) -> list[tuple[float, Path]]:
    """When each was taken, the oldest first; other files are left alone."""
    return sorted(_find_files(folder))


def _find_files(folder: Path) -> Iterator[tuple[float, Path]]:
    for path in folder.glob(PATTERN):
        try:
            taken = datetime.strptime(path.name, STAMP).replace(tzinfo=UTC)
        except ValueError:
            continue
        yield taken.timestamp(), path


def forget(folder: Path, before: float) -> None:
    """Remove those taken before this moment."""
    for at, path in list_files(folder):
        if at < before:
            path.unlink(missing_ok=True)


def find_nearest(folder: Path, at: float) -> Path | None:
    """The one taken at about this moment."""
    return min(list_files(folder), key=lambda found: abs(found[0] - at), default=(0.0, None))[1]
