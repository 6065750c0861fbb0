"""A statement with the place {chunk} in its WHERE, by PostgreSQL's own grammar."""

from google.protobuf.message import DecodeError
from postgast import PgQueryError, deparse, parse

from dbproxy.sql.binding import find_loose, find_unbound, is_required, last_name, list_from, name_of, walk
from dbproxy.sql.chunked import MARK, PLACE, Chunked, Relation, Unreadable
from dbproxy.sql.nodes import children
from dbproxy.sql.placement import Path, find_assigned, find_obstacle
from dbproxy.sql.setters import Node

_KINDS = {"update_stmt": "UPDATE", "delete_stmt": "DELETE", "insert_stmt": "INSERT", "select_stmt": "SELECT"}
_CHANGES = {"UpdateStmt": "UPDATE", "DeleteStmt": "DELETE"}
_LEVELS = ("SelectStmt", *_CHANGES)  # that have a WHERE


def read(text: str) -> Chunked:
    """Raises Unreadable."""
    if text.count(PLACE) != 1:
        _read_kind(_parse(text.replace(PLACE, MARK)))  # it may have a better reason
        raise Unreadable(f"it needs {PLACE} once in its WHERE: WHERE {PLACE} AND …")
    before, behind = text.strip().removesuffix(";").split(PLACE)
    statement = _parse(f"{before}{MARK}{behind}")
    kind = _read_kind(statement)
    if _has(statement, "ParamRef"):
        raise Unreadable("it has parameters ($1): write the values into it")
    path = _find_path(statement)
    if obstacle := find_obstacle(path):
        raise Unreadable(obstacle)
    if unbound := find_unbound(statement):
        raise Unreadable(
            f"its {unbound} is not bound by {PLACE}, so that each chunk would be of all its rows: "
            f"what {PLACE} bounds must come into it in FROM, with a condition that joins both, or by x IN (SELECT …)"
        )
    level = path[-1]
    relations = tuple(_list_relations(level))
    alone = not _has(statement, "WithClause")
    return Chunked(
        _CHANGES.get(level.DESCRIPTOR.name, kind),
        before,
        behind,
        relations,
        find_assigned(statement, frozenset(relation.name for relation in relations)),
        frozenset(_columns(level.where_clause)) - {MARK},
        _spell_matching(level) if alone else "",
        find_loose(level),
    )


def _read_kind(statement: Node) -> str:
    kind = _KINDS.get(statement.WhichOneof("node") or "", "")
    if not kind:
        raise Unreadable("it must be an UPDATE, DELETE, INSERT … SELECT or SELECT")
    return kind


def _parse(text: str) -> Node:
    try:
        statements = parse(text).stmts
    except (PgQueryError, DecodeError, UnicodeError) as error:
        words = str(error).replace(MARK, PLACE)
        raise Unreadable(words) from None
    if len(statements) != 1:
        raise Unreadable("it must be one statement")
    return statements[0].stmt


def _find_path(statement: Node) -> Path:
    """Down to the innermost part of the statement in whose WHERE the place is, as one of what must all hold."""
    found: list[tuple[Node, ...]] = []
    pending: list[tuple[Node, ...]] = [(statement,)]
    while pending:
        path = pending.pop()
        node = path[-1]
        if node.DESCRIPTOR.name in _LEVELS and is_required(node.where_clause):
            found.append(path)
        pending.extend((*path, child) for child in children(node))
    if len(found) != 1:
        raise Unreadable(
            f"{PLACE} must stand in its WHERE, beside other conditions with AND: WHERE {PLACE} AND …"
        )
    return found[0]


def _list_relations(level: Node) -> list[Relation]:
    own = [level.relation] if level.DESCRIPTOR.name != "SelectStmt" else []
    found = own + [
        node for root in list_from(level) for node in walk(root) if node.DESCRIPTOR.name == "RangeVar"
    ]
    return [Relation(one.schemaname, one.relname, one.alias.aliasname or one.relname) for one in found]


def _spell_matching(level: Node) -> str:
    own = level.DESCRIPTOR.name != "SelectStmt"
    tables = [*([level.relation] if own else []), *list_from(level)]
    if [table.DESCRIPTOR.name for table in tables] != ["RangeVar"]:
        return ""
    if _names(level) - set(map(name_of, filter(_is_item, walk(level)))):
        return ""  # it reads what surrounds it
    query = parse("SELECT 'dbproxy columns' FROM t WHERE true")
    select = query.stmts[0].stmt.select_stmt
    select.from_clause[0].range_var.CopyFrom(tables[0])
    select.where_clause.CopyFrom(level.where_clause)
    return str(deparse(query))


def _columns(root: Node) -> list[str]:
    return [last_name(node) for node in walk(root) if node.DESCRIPTOR.name == "ColumnRef"]


def _names(level: Node) -> set[str]:
    """By which its condition calls what its columns are of."""
    columns = [node for node in walk(level.where_clause) if node.DESCRIPTOR.name == "ColumnRef"]
    return {str(column.fields[-2].string.sval) for column in columns if len(column.fields) > 1}


def _is_item(node: Node) -> bool:
    return node.DESCRIPTOR.name in ("RangeVar", "RangeSubselect", "RangeFunction", "JoinExpr")


def _has(root: Node, kind: str) -> bool:
    return any(node.DESCRIPTOR.name == kind for node in walk(root))
