"""Which relations a text reads and writes, and what it calls: by syntax, at any depth.

Names are qualified as they are written: `schema.name`, or `name` for the search path to find. Names of WITH are none.
What a statement writes to it does not read for that: `UPDATE t SET a = a + 1` writes t. What is only prepared counts
(its EXECUTE says nothing), what is only explained or defined does not: EXPLAIN without ANALYZE, the body of a rule or
a function. DDL reads and writes nothing here, but CREATE TABLE AS and the like. What triggers, rules, foreign keys and
functions do, and what views stand for, is for the catalog to say.

`opaque` is what changes what nobody can name here: DDL, DO, CALL, EXECUTE. A temporary table of one's own is no matter.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from dbproxy.sql.rows import Rows, find_rows
from dbproxy.sql.setters import Node, enum_name
from dbproxy.sql.steadiness import find_unsteady, reads_unnamed

# Half of a tree. In them there are only names and values.
LEAVES = frozenset({"A_Const", "ColumnRef", "ParamRef", "TypeName", "String", "Integer", "Alias"})

KINDS = READ, WRITE, UTILITY, UNREAD = "read", "write", "utility", "unknown"
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
# What is done to the targets; the first four are bits of pg_trigger.tgtype.
INSERTS, DELETES, UPDATES, TRUNCATES, CASCADES, REFRESHES = 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 8, 1 << 9
_EVENTS = {
    "InsertStmt": INSERTS,
    "UpdateStmt": UPDATES,
    "DeleteStmt": DELETES,
    "MergeStmt": INSERTS | UPDATES | DELETES,
    "CopyStmt": INSERTS,
    "TruncateStmt": TRUNCATES,
    "RefreshMatViewStmt": REFRESHES,
}
# Statements that change nothing but their targets. Those that are missing here are opaque.
_OPEN = frozenset(
    (
        "select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "transaction_stmt",
        "variable_set_stmt", "variable_show_stmt", "explain_stmt", "copy_stmt", "declare_cursor_stmt", "fetch_stmt",
        "close_portal_stmt", "prepare_stmt", "deallocate_stmt", "discard_stmt", "listen_stmt", "unlisten_stmt",
        "notify_stmt", "lock_stmt", "check_point_stmt", "load_stmt", "constraints_set_stmt", "truncate_stmt",
        "vacuum_stmt", "refresh_mat_view_stmt", "reindex_stmt", "cluster_stmt", "comment_stmt",
    )
)  # fmt: skip
_OPAQUE = {"ExecuteStmt": "EXECUTE", "IntoClause": "CREATE TABLE AS"}
_OPERATORS = {"A_Expr": "name", "SubLink": "oper_name", "SortBy": "use_op"}
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
    operators: frozenset[str] = frozenset()  # that it calls, without their schema
    events: int = 0  # what it does to its targets, to all of them together
    opaque: str = "a text that is not read"  # what may change more than the targets
    reads_unnamed: bool = True  # it may read what it does not name: catalogs, what a function is told
    unsteady: str = (
        "a text that is not read"  # why its answer may differ though data, role and settings are the same
    )
    rows: Rows | None = None  # what it is about, of its only relation or target


UNSEEN = Access()  # of what the grammar does not read, or is too long


@dataclass(slots=True)
class _Found:
    relations: set[str] = field(default_factory=set)
    targets: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    operators: set[str] = field(default_factory=set)
    ends: bool = False
    events: int = 0
    opaque: str = ""
    unsteady: str = ""
    reads_unnamed: bool = False

    def note(self, kind: str, node: Node) -> None:
        """What a node says by itself."""
        self.unsteady = self.unsteady or find_unsteady(kind, node)
        self.reads_unnamed = self.reads_unnamed or reads_unnamed(kind, node)
        self.opaque = self.opaque or _find_opaque(kind, node)
        if kind == "FuncCall":
            self.functions.add(".".join(quote(part.string.sval) for part in node.funcname))
        elif kind in _OPERATORS:
            names = getattr(node, _OPERATORS[kind])
            self.operators.update(part.string.sval for part in names[-1:])
        elif kind == "TransactionStmt":
            self.ends |= enum_name(node, "kind") in _ENDS
        elif kind in ("CallStmt", "DoStmt"):
            self.ends = True

    def write(self, kind: str, node: Node) -> str:
        """Note what a node writes; the field that names it, or ""."""
        name = _target_field(kind, node)
        if targets := _targets(node, name):
            self.targets.update(map(spell, targets))
            self.events |= _find_events(kind, node)
        return name


def find_access(statements: list[Node], text: bytes = b"") -> Access:
    """Of all statements of a text together; b"": which rows they are about does not matter."""
    found = _Found()
    for statement in statements:
        found.opaque = found.opaque or _name_opaque(statement)
    pending: list[tuple[Node, Known]] = [(statement, None) for statement in statements]
    while pending:
        node, known = pending.pop()
        kind = node.DESCRIPTOR.name
        found.note(kind, node)
        if kind in _SKIPPED:
            continue
        if kind in _QUERIES and known is None:
            known = frozenset()
        if kind == "RangeVar":
            if known is not None and (node.schemaname or node.relname not in known):
                found.relations.add(spell(node))
            continue
        if kind == "ExplainStmt" and not _analyzes(node):
            explained = find_access([node.query])
            found.relations |= explained.relations | explained.targets
            found.functions |= explained.functions
            continue
        left_out = found.write(kind, node)
        if kind == "CopyStmt" and not node.is_from:
            known = frozenset()
        pending.extend(descend(node, known, left_out))
    return Access(
        kind=_kind(statements, found.targets),
        relations=frozenset(found.relations),
        targets=frozenset(found.targets),
        functions=frozenset(found.functions),
        ends_transaction=found.ends,
        operators=frozenset(found.operators),
        events=found.events,
        opaque=found.opaque,
        unsteady=found.unsteady,
        rows=find_rows(statements, text),
        reads_unnamed=found.reads_unnamed,
    )


def _name_opaque(statement: Node) -> str:
    """Of a whole statement: what it is called, "" if its targets are all that it changes."""
    kind = statement.WhichOneof("node") or "select_stmt"
    if kind in _OPEN or kind == "create_table_as_stmt":  # which its node says
        return ""
    if kind == "create_stmt" and statement.create_stmt.relation.relpersistence == "t":
        return ""
    words = kind.removesuffix("_stmt").replace("_", " ").upper()
    return str(words)


def _find_opaque(kind: str, node: Node) -> str:
    if kind == "IntoClause" and node.rel.relpersistence == "t":
        return ""
    if kind == "TransactionStmt" and enum_name(node, "kind") == "TRANS_STMT_COMMIT_PREPARED":
        return "COMMIT PREPARED"
    return _OPAQUE.get(kind, "")


def _find_events(kind: str, node: Node) -> int:
    events = _EVENTS.get(kind, INSERTS)
    if kind == "InsertStmt" and enum_name(node.on_conflict_clause, "action") == "ONCONFLICT_UPDATE":
        events |= UPDATES
    if kind == "TruncateStmt" and enum_name(node, "behavior") == "DROP_CASCADE":
        events |= CASCADES
    return events


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
    for item, value in node.ListFields():
        if item.message_type is None or item.name in ("with_clause", left_out):
            continue
        if hasattr(value, "ListFields"):
            yield value, known
        else:
            yield from ((child, known) for child in value)


def spell(relation: Node) -> str:
    """A RangeVar's name as `Access` has it."""
    name = quote(relation.relname)
    return f"{quote(relation.schemaname)}.{name}" if relation.schemaname else name


def quote(name: str) -> str:
    """A name that holds a dot would be taken for two."""
    return '"' + name.replace('"', '""') + '"' if "." in name or '"' in name else name


def _target_field(kind: str, node: Node) -> str:
    if kind == "CopyStmt":
        return "relation" if node.is_from else ""
    return _TARGETS.get(kind, "")


def _targets(node: Node, name: str) -> list[Node]:
    if not name:
        return []
    value = getattr(node, name)
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
