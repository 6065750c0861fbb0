"""What a database has defined: its relations and functions, and how they hang together. Found by OID or by name.

A name is `schema.name` or `name`, as `sql.access` spells it; the second stands for all that have it, in whatever
schema. A superset is the safe side: an answer depends on more tables, a write changes more.
"""

import re
from dataclasses import dataclass, field

IMMUTABLE, STABLE, VOLATILE = "i", "s", "v"  # pg_proc.provolatile
TABLE, PARTITIONED, VIEW, MATERIALIZED, FOREIGN, SEQUENCE = "r", "p", "v", "m", "f", "S"  # pg_class.relkind
PERMANENT = "p"  # pg_class.relpersistence
# pg_constraint.confdeltype and confupdtype
CASCADE = "c"
CHANGING = frozenset({"c", "n", "d"})  # CASCADE, SET NULL, SET DEFAULT

_COMPARISONS = frozenset({"=", "<", "<=", ">", ">="})
_COLUMN = re.compile(r'\.\s*(?:"((?:[^"]|"")+)"|([\w$]+))')


@dataclass(slots=True, eq=False)
class Function:
    """`source`: its text, "" if that is of no use: it is in a language that is not read, or too long."""

    oid: int
    name: str
    aggregate: bool
    volatility: str
    language: str
    source: str = ""
    defaults: str = ""  # of its arguments, as a SELECT
    uses: "list[Function]" = field(default_factory=list)  # of an aggregate
    vouched: "list[Relation] | None" = None  # what it reads, as a rule says (cache.vouching)


@dataclass(slots=True, eq=False)
class Key:
    """A foreign key, as the table that is referenced has it; what happens there, happens to `table`, too."""

    table: "Relation"
    on_delete: str
    on_update: str


@dataclass(slots=True, eq=False)
class Relation:
    oid: int
    name: str
    kind: str
    persistence: str
    query: str = ""  # of a view
    children: "list[Relation]" = field(default_factory=list)  # partitions, and those that inherit
    reads: "list[Relation]" = field(default_factory=list)  # what its query and its policies read
    calls: list[Function] = field(default_factory=list)  # what those call
    fills: list[Function] = field(default_factory=list)  # what writing calls: defaults, constraints, indexes
    policies: list[str] = field(default_factory=list)  # expressions, for SELECT
    triggers: list[tuple[int, Function]] = field(default_factory=list)  # with pg_trigger.tgtype
    rules: int = 0  # the events that have one, as pg_trigger.tgtype has them
    keys: list[Key] = field(default_factory=list)
    row_key: tuple[str, int] | None = None  # the column, and its number, by which its rows are told apart


@dataclass(slots=True, eq=False)
class Definitions:
    relations: dict[int, Relation] = field(default_factory=dict)
    functions: dict[int, Function] = field(default_factory=dict)
    named: dict[str, list[Relation]] = field(default_factory=dict)
    called: dict[str, list[Function]] = field(default_factory=dict)
    operators: dict[str, list[Function]] = field(default_factory=dict)
    casts: list[Function] = field(default_factory=list)  # which nobody calls by name
    columns: dict[str, list[Function]] = field(
        default_factory=dict
    )  # may be called as `table.function`; lower case

    def add_relation(self, relation: Relation, plain_name: str) -> None:
        self.relations[relation.oid] = relation
        for name in (relation.name, plain_name):
            self.named.setdefault(name, []).append(relation)

    def add_function(self, function: Function, plain_name: str) -> None:
        self.functions[function.oid] = function
        for name in (function.name, plain_name):
            self.called.setdefault(name, []).append(function)

    def find_columns(self, text: str) -> list[Function]:
        """The functions that a text may call as if they were columns."""
        if not self.columns:
            return []
        names = {plain or quoted.replace('""', '"') for quoted, plain in _COLUMN.findall(text.lower())}
        return [function for name in sorted(names & self.columns.keys()) for function in self.columns[name]]

    def find_operators(self, names: frozenset[str]) -> list[Function]:
        """What these operators call, and those that stand behind BETWEEN, USING, CASE, ORDER BY and DISTINCT."""
        return [
            function for name in sorted(names | _COMPARISONS) for function in self.operators.get(name, ())
        ]
