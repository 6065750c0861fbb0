"""Whether a statement meets the rows of a chunk alone: what lies between it and the part that has the place {chunk}."""

from collections.abc import Sequence

from dbproxy.sql.binding import is_membership, list_kept, unwrap
from dbproxy.sql.nodes import children
from dbproxy.sql.setters import Node, enum_name

Path = Sequence[Node]  # from the statement down to that part
# Through these alone is a sub-select's WHERE a condition of the whole.
_PASSABLE = frozenset(
    ("Node", "SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "WithClause", "CommonTableExpr",
     "RangeSubselect", "JoinExpr", "BoolExpr", "SubLink")
)  # fmt: skip


def find_obstacle(path: Path) -> str:
    """Why rows would be met that are not the chunk's, or not all of the chunk's; "" if neither is so."""
    for node, below in zip(path, (*path[1:], None), strict=True):
        kind = node.DESCRIPTOR.name
        if kind not in _PASSABLE or not _passes(kind, node, below):
            return "the sub-select with {chunk} must be x IN (SELECT …) beside other conditions with AND, or in FROM"
        if kind == "SelectStmt" and (obstacle := _find_in_select(node)):
            return obstacle
    return ""


def find_assigned(root: Node, names: frozenset[str]) -> frozenset[str]:
    """The columns of tables of these names that a statement sets, wherever in it."""
    found: set[str] = set()
    pending = [root]
    while pending:
        node = pending.pop()
        kind = node.DESCRIPTOR.name
        if kind in ("UpdateStmt", "InsertStmt") and node.relation.relname in names:
            assigned = node if kind == "UpdateStmt" else node.on_conflict_clause
            found.update(target.res_target.name for target in assigned.target_list)
        pending.extend(children(node))
    return frozenset(found)


def _passes(kind: str, node: Node, below: Node | None) -> bool:
    match kind:
        case "BoolExpr":
            return enum_name(node, "boolop") == "AND_EXPR"
        case "SubLink":
            return is_membership(node)
        case "JoinExpr":
            return below is not None and unwrap(below) in list_kept(node)
    return True


def _find_in_select(select: Node) -> str:
    if enum_name(select, "op") != "SETOP_NONE":
        return "it has UNION, INTERSECT or EXCEPT, whose other side would be read anew in each chunk"
    if select.HasField("limit_count") or select.HasField("limit_offset"):
        return "it has LIMIT or OFFSET, which would leave out rows of each chunk"
    if any(enum_name(lock.locking_clause, "wait_policy") == "LockWaitSkip" for lock in select.locking_clause):
        return "it has SKIP LOCKED, which would leave out rows of a chunk"
    return ""
