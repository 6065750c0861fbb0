"""Which relations a text reads and writes, and what it calls: by syntax, at any depth.

Names are qualified as they are written: `schema.name`, or `name` for the search path to find. Names of WITH are none.
What a statement writes to it does not read for that: `UPDATE t SET a = a + 1` writes t. What is only prepared counts
(its EXECUTE says nothing), what is only explained or defined does not: EXPLAIN without ANALYZE, the body of a rule or
a function. DDL reads and writes nothing here, but CREATE TABLE AS and the like. What triggers, rules, foreign keys and
functions do, and what views stand for, is for the catalog to say.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dbproxy.sql.setters import Node, enum_name

# Half of a tree. In them there are only names and values.
LEAVES = frozenset({"A_Const", "ColumnRef", "ParamRef", "TypeName", "String", "Integer", "Alias"})

READ, WRITE, UTILITY, UNREAD = "read", "write", "utility", "unknown"
_QUERIES = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_ENDS = frozenset({"TRANS_STMT_COMMIT", "TRANS_STMT_ROLLBACK", "TRANS_STMT_PREPARE"})
_FALSE = frozenset({"false", "off", "0"})
_TARGETS = {  # which field of a node names what it writes
    "InsertStmt": "relation",
    "UpdateStmt": "relation",
    "DeleteStmt": "relation",
    "MergeStmt": "relation",
    "RefreshMatViewStmt": "relation",
    "TruncateStmt": "relations",
    "IntoClause": "rel",
}
_SKIPPED = LEAVES | {"RuleStmt", "CreateFunctionStmt"}
Known = frozenset[str] | None  # the names of WITH; None outside of queries


@dataclass(frozen=True, slots=True)
class Access:
    """`kind`: what its text shows: "write" if it names `targets`, "read" for other queries, "utility", "unknown"."""

    kind: str = UNREAD
    relations: frozenset[str] = frozenset()  # that it reads
    targets: frozenset[str] = frozenset()  # that it writes
    functions: frozenset[str] = frozenset()  # that it calls
    ends_transaction: bool = True  # it may: COMMIT, ROLLBACK, PREPARE TRANSACTION; a procedure can


UNSEEN = Access()  # of what the grammar does not read, or is too long


def find_access(statements: list[Node]) -> Access:
    """Of all statements of a text together."""
    relations: set[str] = set()
    targets: set[str] = set()
    functions: set[str] = set()
    ends = False
    pending: list[tuple[Node, Known]] = [(statement, None) for statement in statements]
    while pending:
        node, known = pending.pop()
        kind = node.DESCRIPTOR.name
        if kind in _SKIPPED:
            continue
        if kind in _QUERIES and known is None:
            known = frozenset()
        if kind == "RangeVar":
            if known is not None and (node.schemaname or node.relname not in known):
                relations.add(spell(node))
            continue
        if kind == "FuncCall":
            functions.add(".".join(_quote(part.string.sval) for part in node.funcname))
        elif kind == "TransactionStmt":
            ends |= enum_name(node, "kind") in _ENDS
        elif kind in ("CallStmt", "DoStmt"):
            ends = True
        elif kind == "ExplainStmt" and not _analyzes(node):
            explained = find_access([node.query])
            relations |= explained.relations | explained.targets
            functions |= explained.functions
            continue
        field = _target_field(kind, node)
        targets.update(spell(target) for target in _targets(node, field))
        if kind == "CopyStmt" and not node.is_from:
            known = frozenset()
        pending.extend(descend(node, known, field))
    return Access(
        _kind(statements, targets), frozenset(relations), frozenset(targets), frozenset(functions), ends
    )


def descend(node: Node, known: Known, left_out: str = "") -> Iterator[tuple[Node, Known]]:
    """The children of a node but the field `left_out`, each with the names of WITH that it knows.

    A query in WITH knows those before it, with RECURSIVE all of them.
    """
    if node.DESCRIPTOR.name in _QUERIES and node.HasField("with_clause"):
        inner = known or frozenset()
        queries = node.with_clause.ctes
        every = inner.union(query.common_table_expr.ctename for query in queries)
        for query in queries:
            yield query, every if node.with_clause.recursive else inner
            inner |= {query.common_table_expr.ctename}
        known = every
    for field, value in node.ListFields():
        if field.message_type is None or field.name in ("with_clause", left_out):
            continue
        if hasattr(value, "ListFields"):
            yield value, known
        else:
            yield from ((child, known) for child in value)


def spell(relation: Node) -> str:
    """A RangeVar's name as `Access` has it."""
    name = _quote(relation.relname)
    return f"{_quote(relation.schemaname)}.{name}" if relation.schemaname else name


def _quote(name: str) -> str:
    """A name that holds a dot would be taken for two."""
    return '"' + name.replace('"', '""') + '"' if "." in name or '"' in name else name


def _target_field(kind: str, node: Node) -> str:
    if kind == "CopyStmt":
        return "relation" if node.is_from else ""
    return _TARGETS.get(kind, "")


def _targets(node: Node, field: str) -> list[Node]:
    if not field:
        return []
    value = getattr(node, field)
    if hasattr(value, "ListFields"):
        return [value] if value.relname else []
    return [item.range_var for item in value]


def _analyzes(node: Node) -> bool:
    """Whether an EXPLAIN carries its statement out."""
    options = [option.def_elem for option in node.options]
    return any(option.defname == "analyze" and _is_on(option.arg) for option in options)


def _is_on(value: Node) -> bool:
    """An option without a value is on."""
    text = value.string.sval or value.a_const.sval.sval
    if value.WhichOneof("node") == "integer":
        return bool(value.integer.ival)
    return text.lower() not in _FALSE


def _kind(statements: list[Node], targets: set[str]) -> str:
    if targets:
        return WRITE
    kinds = {statement.WhichOneof("node") for statement in statements}
    reads = kinds <= {"select_stmt", "variable_show_stmt", "explain_stmt", "copy_stmt"}
    return READ if reads and kinds else UTILITY
