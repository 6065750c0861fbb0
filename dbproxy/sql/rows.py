"""Which row a statement is about, as far as its text tells: the values that columns of its only table must have.

    SELECT … FROM t WHERE id = 5 AND …     rows of which `id` is 5, and no other
    UPDATE, DELETE                         the same
    INSERT INTO t (id, …) VALUES (5, …)    a row of which it is 5

A value is a literal or a parameter that nothing else has to do with, so that it can only be of its column's type. Texts
of one shape differ in their literals: of these only the place is noted, and where one text may have more of them than
another (lists that a shape folds) none is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dbproxy.sql.literals import count_literals
from dbproxy.sql.setters import Node, enum_name
from dbproxy.sql.shape import shape

MOST = 64  # rows of an INSERT
_FOLDED = b"$?, ..."
_TYPES = frozenset({"int2", "int4", "int8"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: the number, from 1, of a parameter, or of a literal among those of the text."""

    parameter: int = 0
    literal: int = 0


@dataclass(frozen=True, slots=True)
class Rows:
    """The `places` of each row's `columns`; these are () if an INSERT names none: then they are the table's.

    `sets`: columns that are changed.
    """

    columns: tuple[str, ...]
    places: tuple[tuple[Place | None, ...], ...]
    sets: frozenset[str] = frozenset()

    def find(self, column: str, number: int) -> tuple[Place, ...]:
        """The values of the table's column with this name and number (from 1) in all rows; () if one is not told."""
        if column in self.sets or (self.columns and column not in self.columns):
            return ()
        place = self.columns.index(column) if self.columns else number - 1
        found = [row[place] if place < len(row) else None for row in self.places]
        told = tuple(one for one in found if one is not None)
        return told if len(told) == len(found) else ()


def find_rows(statements: list[Node], text: bytes) -> Rows | None:
    """None: the text does not tell, is not known, or has several statements."""
    if len(statements) != 1 or not text:
        return None
    kind = statements[0].WhichOneof("node")
    node = getattr(statements[0], kind) if kind in _FINDERS else None
    if node is None or node.HasField("with_clause"):
        return None
    spelled = _FINDERS[kind](node, _Values(node, text))
    return spelled if spelled is not None and any(map(any, spelled.places)) else None


class _Values:
    """What of a statement's expressions is a value."""

    def __init__(self, root: Node, text: bytes) -> None:
        self.text = text
        self.folds = _FOLDED in shape(text)
        self.parameters: list[int] = []
        self.asks = False  # it has a query within
        for node in _descend(root):
            if node.DESCRIPTOR.name == "ParamRef":
                self.parameters.append(node.number)
            self.asks = self.asks or node.DESCRIPTOR.name == "SubLink"

    def find(self, node: Node) -> Place | None:
        kind = node.WhichOneof("node")
        if kind == "type_cast" and _is_integer(node.type_cast.type_name):
            return self.find(node.type_cast.arg)
        if (
            kind == "param_ref"
            and node.param_ref.number
            and self.parameters.count(node.param_ref.number) == 1
        ):
            return Place(parameter=node.param_ref.number)
        if kind == "a_const" and not self.folds:
            number = count_literals(self.text, node.a_const.location)
            return Place(literal=number) if number > 0 else None
        return None

    def find_equal(self, where: Node, relation: Node) -> dict[str, Place]:
        """The columns of the relation, the only one, that have a value in all rows that fit."""
        kind = where.WhichOneof("node")
        if kind == "bool_expr" and enum_name(where.bool_expr, "boolop") == "AND_EXPR":
            found: dict[str, Place] = {}
            for one in where.bool_expr.args:
                found |= self.find_equal(one, relation)
            return found
        if kind != "a_expr" or enum_name(where.a_expr, "kind") != "AEXPR_OP":
            return {}
        if [part.string.sval for part in where.a_expr.name] not in (["="], ["pg_catalog", "="]):
            return {}
        sides = where.a_expr.lexpr, where.a_expr.rexpr
        for one, other in (sides, sides[::-1]):
            column, place = _column_of(one, relation), self.find(other)
            if column and place is not None:
                return {column: place}
        return {}

    def spell(self, relation: Node, where: Node, sets: frozenset[str] = frozenset()) -> Rows:
        found = self.find_equal(where, relation)
        return Rows(tuple(found), (tuple(found.values()),), sets)


def _find_read(node: Node, values: _Values) -> Rows | None:
    if (
        values.asks
        or enum_name(node, "op") != "SETOP_NONE"
        or len(node.from_clause) != 1
        or node.values_lists
    ):
        return None
    if node.from_clause[0].WhichOneof("node") != "range_var" or node.HasField("into_clause"):
        return None
    return values.spell(node.from_clause[0].range_var, node.where_clause)


def _find_update(node: Node, values: _Values) -> Rows | None:
    if node.from_clause:
        return None
    sets = frozenset(target.res_target.name for target in node.target_list)
    return values.spell(node.relation, node.where_clause, sets)


def _find_delete(node: Node, values: _Values) -> Rows | None:
    return None if node.using_clause else values.spell(node.relation, node.where_clause)


def _find_insert(node: Node, values: _Values) -> Rows | None:
    rows = node.select_stmt.select_stmt.values_lists
    action = enum_name(node.on_conflict_clause, "action")
    if action == "ONCONFLICT_UPDATE" or enum_name(node, "override") not in _NOT_OVERRIDDEN:
        return None
    if not 0 < len(rows) <= MOST or node.select_stmt.select_stmt.HasField("with_clause"):
        return None
    places = tuple(tuple(map(values.find, row.list.items)) for row in rows)
    return Rows(tuple(column.res_target.name for column in node.cols), places)


_NOT_OVERRIDDEN = frozenset({"OVERRIDING_KIND_UNDEFINED", "OVERRIDING_NOT_SET"})
_FINDERS = {
    "select_stmt": _find_read,
    "insert_stmt": _find_insert,
    "update_stmt": _find_update,
    "delete_stmt": _find_delete,
}


def _descend(root: Node) -> Iterator[Node]:
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        for field, value in node.ListFields():
            if field.message_type is not None:
                pending.extend((value,) if hasattr(value, "ListFields") else value)


def _column_of(node: Node, relation: Node) -> str:
    """The column of this relation that an expression is; "" if it is none."""
    parts = [part.string.sval for part in node.column_ref.fields]
    alias = relation.alias
    if not parts or not all(parts) or alias.colnames:
        return ""
    names = (
        [[alias.aliasname]]
        if alias.aliasname
        else [[relation.relname], [relation.schemaname, relation.relname]]
    )
    return parts[-1] if parts[:-1] in ([], *names) else ""


def _is_integer(name: Node) -> bool:
    """Whether a type is PostgreSQL's, as its keywords name it: int, bigint and the like."""
    words = [part.string.sval for part in name.names]
    plain = not (name.array_bounds or name.typmods or name.setof or name.pct_type)
    return plain and len(words) == 2 and words[0] == "pg_catalog" and words[1] in _TYPES
