"""Where a table is divided for several workers: by PostgreSQL's own statistics about the key's first column."""

from collections.abc import Sequence

from dbproxy.jobs.batch.key import Cursor

# $1: schema and $2: table by name, $3: column.
BOUNDS = """
SELECT histogram_bounds::text::text[] FROM pg_stats WHERE schemaname = $1 AND tablename = $2 AND attname = $3
ORDER BY inherited DESC LIMIT 1"""


def choose_places(bounds: Sequence[str], parts: int) -> list[str]:
    """Of bounds between which there are about as many rows each: those that divide all into so many parts."""
    steps = len(bounds) - 1
    if steps < parts:
        return []
    return [bounds[steps * number // parts] for number in range(1, parts)]


def list_parts(places: Sequence[Cursor], last: Cursor) -> list[tuple[Cursor | None, Cursor | None]]:
    """From each place to the next, those that are the same once."""
    parts: list[tuple[Cursor | None, Cursor | None]] = []
    after: Cursor | None = None
    for place in (*places, last):
        if place not in (after, *(upto for _, upto in parts)):
            parts.append((after, place))
            after = place
    return parts
