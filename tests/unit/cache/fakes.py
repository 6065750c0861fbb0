"""What tests of kept answers know of a database: what each statement reads and writes, said outright."""

from dbproxy.cache.reading import Reads, Row
from dbproxy.sql.cache import StatementCache
from dbproxy.sql.identity import Shape

ITEMS, OTHERS = 1, 2
NAMES = {"items": ITEMS, "others": OTHERS}

statements = StatementCache(100)


def shape_of(text: str) -> Shape:
    return statements.find(text.encode())


class Knowledge:
    """`opaque`: names of functions that may do anything; `spread`: which table is written along with which.

    `below`: which table is part of which.
    """

    names = {oid: name for name, oid in NAMES.items()}  # noqa: RUF012 - never written

    def __init__(
        self,
        opaque: tuple[str, ...] = ("do_it",),
        spread: dict[str, str] | None = None,
        below: dict[int, int] | None = None,
    ) -> None:
        self.below = below or {}
        self.opaque = opaque
        self.spread = spread or {}

    def judge(self, shape: Shape) -> Reads:
        missing = shape.relations - NAMES.keys()
        if missing:
            return Reads(reason=f"unknown relation {missing}")
        return Reads(frozenset(NAMES[name] for name in shape.relations))

    def find_row(self, shape: Shape) -> Row | None:
        return None

    def find_sources(self, shape: Shape) -> frozenset[int] | None:
        reads = self.judge(shape)
        return None if reads.reason else reads.tables

    def find_targets(self, shape: Shape, temporary: bool = False) -> frozenset[int] | None:
        access = shape.access
        if access.opaque or any(name in self.opaque for name in access.functions):
            return None
        also = {self.spread[name] for name in access.targets & self.spread.keys()}
        return frozenset(NAMES[name] for name in access.targets | also)

    def find_below(self, oid: int) -> frozenset[int]:
        return frozenset({oid, self.below.get(oid, oid)} & set(NAMES.values()))

    def has(self, name: str) -> bool:
        return name in NAMES
