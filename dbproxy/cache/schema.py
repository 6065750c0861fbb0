"""What is known of one database for caching: of each statement, what its answer depends on and what it may change.

Judged once for each shape. What a literal decides is not seen here: whether it is read by the clock ('now') is for
`sql.constants.judge_text` to say of a text, and for `may_be_moment` of a parameter.
"""

from dbproxy.cache.definitions import MATERIALIZED, PARTITIONED, TABLE, Definitions, Function, Relation
from dbproxy.cache.reading import Reading, Reads, Row
from dbproxy.cache.writing import Unknown, Writing
from dbproxy.sql import plpgsql
from dbproxy.sql.access import UNREAD, UNSEEN, Access
from dbproxy.sql.cache import TEXT_SHOWN
from dbproxy.sql.identity import NO_SHAPE, Shape
from dbproxy.sql.parser import LONGEST, UNREADABLE, examine
from dbproxy.sql.statement import CREATES_TEMP, UNKNOWN, Statement

SIZE = 8192  # shapes that are remembered

_MISSING: frozenset[int] = frozenset({-1})


class Schema:
    """An answer is as good as the definitions; when they have changed, there is another Schema."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.names = {
            oid: relation.name
            for oid, relation in definitions.relations.items()
            if relation.kind in (TABLE, PARTITIONED, MATERIALIZED)
        }
        self._reads: dict[Shape, Reads] = {}
        self._targets: dict[Shape, frozenset[int] | None] = {}
        self._targets_beside: dict[Shape, frozenset[int] | None] = {}  # of sessions with temporary tables
        self._examined: dict[str, tuple[Statement, Access]] = {}
        self._inspected: dict[str, Access] = {}

    def judge(self, shape: Shape) -> Reads:
        """The tables that its answer depends on, or why it cannot be kept."""
        found = self._reads.get(shape)
        if found is None:
            if len(self._reads) >= SIZE:
                self._reads.clear()
            found = self._reads[shape] = self._judge(shape)
        return found

    def find_targets(self, shape: Shape, temporary: bool = False) -> frozenset[int] | None:
        """The tables that running it may change; None: any.

        `temporary`: the session has temporary tables, so that a name that nobody knows is one of these.
        """
        known = self._targets_beside if temporary else self._targets
        found = known.get(shape, _MISSING)
        if found is _MISSING:
            if len(known) >= SIZE:
                known.clear()
            found = known[shape] = self._find_targets(shape, temporary)
        return found

    def find_row(self, shape: Shape) -> Row | None:
        """The rows that are all that it changes of their table; None: that cannot be told."""
        if shape.rows is None or not shape.targets or shape.effects.effects & UNKNOWN:
            return None
        writing = self._run(shape, temporary=False)
        return None if writing is None else self._locate(shape, shape.targets, writing.again)

    def has(self, name: str) -> bool:
        """Whether any relation that is not temporary is called so."""
        return name in self.definitions.named

    def find_below(self, oid: int) -> frozenset[int]:
        """A table, and all that are its partitions, or inherit from it; nothing if there was none like it."""
        found, left = set[int](), [oid]
        while left:
            relation = self.definitions.relations.get(left.pop())
            if relation is not None and relation.oid not in found:
                found.add(relation.oid)
                left += [child.oid for child in relation.children]
        return frozenset(found)

    def _judge(self, shape: Shape) -> Reads:
        if not shape.effects.single and shape.access.kind != UNREAD:
            return Reads(reason="several statements")
        reading = Reading(self.definitions, self._examine, self._inspect)
        reason = self._read(shape, reading)
        row = self._locate(shape, shape.relations, reading.again)
        return Reads(reason=reason) if reason else Reads(frozenset(reading.tables), row=row)

    def find_sources(self, shape: Shape) -> frozenset[int] | None:
        """The tables that its answer depends on, whether it can be kept or not; None: any."""
        if shape is NO_SHAPE:
            return frozenset()
        reads = self.judge(shape)
        if not reads.reason:
            return reads.tables
        reading = Reading(self.definitions, self._examine, self._inspect, passing=True)
        return None if self._read(shape, reading) else frozenset(reading.tables)

    def _read(self, shape: Shape, reading: Reading) -> str:
        try:
            return reading.read(shape.effects, shape.access) or reading.call(*self._find_columns(shape))
        except RecursionError:
            return "too many views and functions, one in the other"

    def _find_targets(self, shape: Shape, temporary: bool) -> frozenset[int] | None:
        if shape is NO_SHAPE:
            return frozenset()
        if shape.effects.effects & UNKNOWN:
            return None
        writing = self._run(shape, temporary)
        if writing is None:
            return None
        return frozenset(relation.oid for relation in writing.written if relation.oid in self.names)

    def _run(self, shape: Shape, temporary: bool) -> Writing | None:
        writing = Writing(self.definitions, self._examine, self._inspect)
        try:
            writing.run(shape.access, temporary or bool(shape.effects.effects & CREATES_TEMP))
            writing.call(*self._find_columns(shape))
        except (Unknown, RecursionError):
            return None
        return writing

    def _locate(self, shape: Shape, names: frozenset[str], again: set[Relation]) -> Row | None:
        """The rows of the only table of these names, unless it is one of those that other ways lead to."""
        relations = [relation for name in names for relation in self.definitions.named.get(name, ())]
        if shape.rows is None or len(relations) != 1 or relations[0] in again or relations[0].row_key is None:
            return None
        places = shape.rows.find(*relations[0].row_key)
        return Row(relations[0].oid, places) if places else None

    def _find_columns(self, shape: Shape) -> list[Function]:
        """The functions that it may call as if they were columns; all of these, if not all of its text is known."""
        if len(shape.text) < TEXT_SHOWN:
            return self.definitions.find_columns(shape.text)
        return [function for functions in self.definitions.columns.values() for function in functions]

    def _examine(self, text: str) -> tuple[Statement, Access]:
        found = self._examined.get(text)
        if found is None:
            encoded = text.encode()
            found = examine(encoded) if len(encoded) <= LONGEST else (UNREADABLE, UNSEEN)
            self._examined[text] = found
        return found

    def _inspect(self, body: str) -> Access:
        found = self._inspected.get(body)
        if found is None:
            found = self._inspected[body] = plpgsql.find_access(body)
        return found
