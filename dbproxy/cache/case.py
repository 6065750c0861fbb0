"""What one gate knows of one statement: whether its answers can be kept, on which terms, and what came of it."""

import re

from dbproxy.cache.asked import Asked, read_keys
from dbproxy.cache.fence import Fence, Row
from dbproxy.cache.table import Table
from dbproxy.sql.identity import Shape
from dbproxy.sql.rows import Place

MEMORY = 64  # requests after which two thirds of what is seen of a statement are forgotten
_READS = ("SELECT", "WITH", "VALUES", "TABLE", "(")  # not SHOW, EXPLAIN, COPY
_COMMENTS = re.compile(r"(?:\s|/\*.*?\*/|--[^\n]*\n)+", re.DOTALL)
SELDOM = 0.1  # the share of hits under which not every answer is worth being kept


class Case:
    """`tables`: what answers depend on, with the marks of its tags and its own, which nobody writes (cache.fence).

    `reason`: why they are not kept, "" if they are. `knowledge`: what was known of the database when it was judged.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.knowledge: object = None
        self.reason = ""
        self.oids: frozenset[int] = frozenset()
        self.tables: list[Table] = []
        # An answer depends only on rows of this table, with the value at `place`, and on what is `beside` it.
        self.table: Table | None = None
        self.places: tuple[Place, ...] = ()
        self.beside: list[Table] = []
        self.tags: frozenset[str] = frozenset()
        self.ttl = 0.0
        self.wanted = False  # a hint asks for it
        self.hits = 0  # and what could have been one
        self.misses = 0
        self.success = 1.0  # the share of hits among the latest, of which most are expected
        self.saved = 0.0  # seconds that servers would have taken for the hits
        self.bypassed = 0

    def narrow(self, row: Row | None, fence: Fence) -> None:
        """None: all of its tables count."""
        self.table = None if row is None else fence.find(row.table)
        self.places = () if row is None else row.places
        self.beside = [table for table in self.tables if table is not self.table]

    def find_tables(self, request: Asked) -> list[Table]:
        """What the answer to this request depends on, with the marks."""
        if self.table is None:
            return self.tables
        keys = read_keys(self.places, request)
        if keys is None:
            return self.tables
        return [self.table.beside, self.table.find_cell(keys[0]), *self.beside]  # type: ignore[list-item]  # its bulk

    def hit(self) -> None:
        self.hits += 1
        self.success += (1.0 - self.success) / MEMORY

    def miss(self) -> None:
        self.misses += 1
        self.success -= self.success / MEMORY

    def is_choosy(self) -> bool:
        """Whether an answer is kept only if it was asked for before."""
        return self.success < SELDOM and not self.wanted


def is_query(shape: Shape) -> bool:
    """And not SHOW, EXPLAIN or COPY. Hints are ahead of the text."""
    found = _COMMENTS.match(shape.text)
    at = found.end() if found is not None else 0
    return shape.text[at : at + 6].upper().startswith(_READS)


def is_ordered(shape: Shape) -> bool:
    """Whether somebody has asked for an order, of rows or within one."""
    return "ORDER BY" in shape.text.upper()


def name_statement(identifier: str) -> str:
    """The mark (cache.fence) of a statement, by its id."""
    return f"query {identifier}"


def name_tag(tag: str) -> str:
    return f"tag {tag}"
