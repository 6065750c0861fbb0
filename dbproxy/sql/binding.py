"""Whether all that a statement changes is bound by the place {chunk}: else each chunk would change the same rows anew.

An INSERT or a SELECT is bound where its rows come from what is bound. An UPDATE or a DELETE has rows of its own, which
a condition must join with that. Columns without the name of their table may be of any: then a condition joins all.
"""

from collections.abc import Iterable, Iterator

from dbproxy.sql.chunked import MARK
from dbproxy.sql.nodes import children
from dbproxy.sql.setters import Node, enum_name

_CHANGES = ("UpdateStmt", "DeleteStmt", "InsertStmt", "MergeStmt")
Names = frozenset[str]


def find_unbound(statement: Node) -> str:
    """What it would do anew with each chunk: UPDATE, DELETE, …; "" if nothing."""
    level = unwrap(statement)
    names = _bind(level, frozenset())
    changing = [unwrap(one.common_table_expr.ctequery) for one in level.with_clause.ctes]
    changing = [one for one in changing if one.DESCRIPTOR.name in _CHANGES]
    reads = level.DESCRIPTOR.name == "SelectStmt"
    judged = changing if reads and changing else [*changing, level]
    return next((_call(one) for one in judged if not _is_bound(one, names)), "")


def find_loose(level: Node) -> Names:
    """Of an UPDATE or DELETE with the place: what it reads without joining it with the rows that it changes."""
    if level.DESCRIPTOR.name == "SelectStmt":
        return frozenset()
    return frozenset(map(name_of, _flatten(list_from(level)))) - _find_joined(level)


def is_required(where: Node) -> bool:
    """Whether the place is one of what must all hold."""
    return any(
        one.WhichOneof("node") == "column_ref" and last_name(one.column_ref) == MARK
        for one in _conjuncts(where)
    )


def unwrap(node: Node) -> Node:
    """The statement in a Node; itself if there is none."""
    kind = node.WhichOneof("node")
    return getattr(node, kind) if kind else node


def name_of(item: Node) -> str:
    """What the columns of an item of FROM are called by."""
    return str(item.alias.aliasname or getattr(item, "relname", ""))


def last_name(column: Node) -> str:
    return str(column.fields[-1].string.sval) if column.fields else ""


def walk(root: Node) -> list[Node]:
    found, pending = [], [root]
    while pending:
        node = pending.pop()
        found.append(node)
        pending.extend(children(node))
    return found


def _bind(level: Node, names: Names) -> Names:
    """Those of its WITH queries that are bound, too."""
    for one in level.with_clause.ctes:
        query = one.common_table_expr
        bound = _is_bound(unwrap(query.ctequery), names)
        names = names | {query.ctename} if bound else names - {query.ctename}
    return names


def _is_bound(level: Node, names: Names) -> bool:
    match level.DESCRIPTOR.name:
        case "InsertStmt":
            return _is_bound(unwrap(level.select_stmt), _bind(level, names))
        case "SelectStmt":
            names = _bind(level, names)
            items = _bound_items(list_from(level), names)
            return _is_whole(level) and (bool(items) or _binds(level.where_clause, names))
        case "UpdateStmt" | "DeleteStmt":
            names = _bind(level, names)
            items = _bound_items(list_from(level), names)
            joined = items and _find_joined(level) & frozenset(map(name_of, items))
            return bool(joined) or _binds(level.where_clause, names)
    return False


def _is_whole(select: Node) -> bool:
    """Whether it gives all that it reads, and nothing else."""
    limited = select.HasField("limit_count") or select.HasField("limit_offset")
    return enum_name(select, "op") == "SETOP_NONE" and not limited


def _binds(where: Node, names: Names) -> bool:
    return is_required(where) or any(_is_among(one, names) for one in _conjuncts(where))


def _is_among(condition: Node, names: Names) -> bool:
    """Whether it is x IN (SELECT … of what is bound)."""
    if condition.WhichOneof("node") != "sub_link":
        return False
    link = condition.sub_link
    return (
        is_membership(link)
        and bool(_list_columns(link.testexpr))
        and _is_bound(unwrap(link.subselect), names)
        and _gives_own(unwrap(link.subselect))
    )


def _gives_own(select: Node) -> bool:
    """Whether one of its columns is of what it reads, not of what surrounds it, nor a constant."""
    own = {"", *map(name_of, _flatten(list_from(select)))}
    return any(_qualifier(column) in own for one in select.target_list for column in _list_columns(one))


def is_membership(link: Node) -> bool:
    """Whether a SubLink is x IN (SELECT …), or x = ANY (SELECT …)."""
    equal = [name.string.sval for name in link.oper_name] in ([], ["="])
    return enum_name(link, "sub_link_type") == "ANY_SUBLINK" and equal


def _bound_items(items: Iterable[Node], names: Names) -> list[Node]:
    found: list[Node] = []
    for item in items:
        match item.DESCRIPTOR.name:
            case "RangeVar" if not item.schemaname and item.relname in names:
                found.append(item)
            case "RangeSubselect" if _is_bound(unwrap(item.subquery), names):
                found.append(item)
            case "JoinExpr":
                found += _bound_items(list_kept(item), names)
    return found


def list_kept(join: Node) -> list[Node]:
    """The sides of which a join has no rows but those that are there."""
    sides = {"JOIN_INNER": (join.larg, join.rarg), "JOIN_LEFT": (join.larg,), "JOIN_RIGHT": (join.rarg,)}
    return [unwrap(side) for side in sides.get(enum_name(join, "jointype"), ())]


def _find_joined(level: Node) -> Names:
    """What is joined with the rows that it changes, these among it."""
    target = name_of(level.relation)
    everything = frozenset([target, *map(name_of, _flatten(list_from(level)))])
    ties = [tie or everything for tie in _list_ties(level)]
    joined, grown = frozenset([target]), True
    while grown:
        more = joined.union(*(tie for tie in ties if tie & joined))
        joined, grown = more, more != joined
    return joined


def _list_ties(level: Node) -> Iterator[Names]:
    """Names that one condition joins; none: it may be any."""
    for condition in _conjuncts(level.where_clause):
        yield from _tie(condition)
    for item in list_from(level):
        for node in walk(item):
            if node.DESCRIPTOR.name == "JoinExpr":
                yield from _tie(node.quals)
                if node.is_natural or node.using_clause:
                    yield frozenset(map(name_of, _flatten([unwrap(node.larg), unwrap(node.rarg)])))
        if getattr(item, "lateral", False) or item.DESCRIPTOR.name == "RangeFunction":
            yield frozenset([name_of(item), *filter(None, map(_qualifier, _list_columns(item)))])


def _tie(condition: Node) -> Iterator[Names]:
    columns = _list_columns(condition)
    if len(columns) > 1:
        names = frozenset(map(_qualifier, columns))
        yield frozenset() if "" in names else names


def list_from(level: Node) -> list[Node]:
    """What a SELECT reads, or an UPDATE or DELETE beside what it changes."""
    listed = level.using_clause if level.DESCRIPTOR.name == "DeleteStmt" else level.from_clause
    return [unwrap(one) for one in listed]


def _flatten(items: Iterable[Node]) -> Iterator[Node]:
    for item in items:
        if item.DESCRIPTOR.name == "JoinExpr":
            yield from _flatten([unwrap(item.larg), unwrap(item.rarg)])
        else:
            yield item


def _conjuncts(where: Node) -> Iterator[Node]:
    if where.WhichOneof("node") == "bool_expr" and enum_name(where.bool_expr, "boolop") == "AND_EXPR":
        for one in where.bool_expr.args:
            yield from _conjuncts(one)
    else:
        yield where


def _list_columns(root: Node) -> list[Node]:
    return [node for node in walk(root) if node.DESCRIPTOR.name == "ColumnRef" and last_name(node) != MARK]


def _qualifier(column: Node) -> str:
    return str(column.fields[-2].string.sval) if len(column.fields) > 1 else ""


def _call(level: Node) -> str:
    return str(level.DESCRIPTOR.name).removesuffix("Stmt").upper()
