"""Which statements are reads: a replica may answer them as the primary would.

That is what syntax and PostgreSQL's own functions and relations tell; the functions of the database that a read calls
and the relations that it reads are for the router to look up (`Statement.functions`, `calls`, `relations`). In doubt
a statement is no read: it goes to the primary, where it would have gone anyway.

    a read            SELECT, VALUES, TABLE, SHOW, COPY … TO STDOUT, EXPLAIN of one, with or without ANALYZE
    none, if in it    INSERT, UPDATE, DELETE, MERGE (in WITH); INTO; FOR UPDATE, FOR SHARE …; a function that is
                      volatile or asks its own server or session; a view of the server's state; a temporary table
"""

from collections.abc import Callable, Iterable, Iterator

from dbproxy.sql.builtins import BUILTINS
from dbproxy.sql.findings import Findings
from dbproxy.sql.nodes import children
from dbproxy.sql.relations import is_own, is_replicated
from dbproxy.sql.setters import Node, enum_name, literal
from dbproxy.sql.settings import fold
from dbproxy.sql.volatility import answers_anywhere

Names = frozenset[str]

_KINDS = frozenset({"select_stmt", "variable_show_stmt", "explain_stmt", "copy_stmt"})
_NODES = frozenset({"SelectStmt", "VariableShowStmt", "ExplainStmt", "CopyStmt"})
_BEGINS = frozenset({"TRANS_STMT_BEGIN", "TRANS_STMT_START"})
# Settings that tell one server from another; drivers look for the primary by the first two.
_OF_A_SERVER = frozenset(
    (
        "transaction_read_only", "in_hot_standby", "all", "cluster_name", "config_file", "data_directory",
        "external_pid_file", "hba_file", "ident_file", "listen_addresses", "port", "primary_conninfo",
        "primary_slot_name", "unix_socket_directories",
    )
)  # fmt: skip


def judge_reads(findings: Findings, statements: Iterable[Node]) -> None:
    """Note whether all these statements are reads, what they call and read; and whether one begins to read only."""
    roots = [raw.stmt for raw in statements]
    if len(roots) == 1 and roots[0].WhichOneof("node") == "transaction_stmt":
        findings.begins_read_only = _begins_read_only(roots[0].transaction_stmt)
    if roots and not findings.effects:
        findings.reads = all(root.WhichOneof("node") in _KINDS and _is_read(findings, root) for root in roots)


def _begins_read_only(node: Node) -> bool:
    """A hot standby has no serializable transactions. Of equal options the last counts."""
    options = {option.def_elem.defname: option.def_elem.arg.a_const for option in node.options}
    isolation, read_only = (options.get(f"transaction_{name}") for name in ("isolation", "read_only"))
    if enum_name(node, "kind") not in _BEGINS or read_only is None:
        return False
    return bool(read_only.ival.ival) and (isolation is None or isolation.sval.sval != "serializable")


def _is_read(findings: Findings, root: Node) -> bool:
    """The tree is walked with the names that WITH has made known so far."""
    pending: list[tuple[Node, Names]] = [(root, frozenset())]
    while pending:
        node, known = pending.pop()
        kind = node.DESCRIPTOR.name
        if kind.endswith("Stmt") and kind not in _NODES:
            return False
        judge = _JUDGES.get(kind)
        if judge is not None and not judge(findings, node, known):
            return False
        if kind == "SelectStmt" and node.HasField("with_clause"):
            pending.extend(_with_names(node, known))
        else:
            pending.extend((child, known) for child in children(node))
    return True


def _with_names(node: Node, known: Names) -> Iterator[tuple[Node, Names]]:
    """The children of a SELECT with WITH: a query in it knows those before it, with RECURSIVE all of them."""
    queries = node.with_clause.ctes
    every = known.union(query.common_table_expr.ctename for query in queries)
    for query in queries:
        yield query, every if node.with_clause.recursive else known
        known |= {query.common_table_expr.ctename}
    for child in children(node):
        if child.DESCRIPTOR.name != "WithClause":
            yield child, every


def _range_var(findings: Findings, node: Node, known: Names) -> bool:
    if not node.schemaname and node.relname in known:
        return True
    if is_own(node.schemaname, node.relname):
        return is_replicated(node.schemaname, node.relname)
    findings.relations.add(node.relname)
    return True


def _func_call(findings: Findings, node: Node, known: Names) -> bool:
    *qualifiers, name = [part.string.sval for part in node.funcname]
    if qualifiers and qualifiers[-1] != "pg_catalog":
        return True  # one of the database's: in `functions`
    if name == "current_setting":
        findings.varies = True
        setting = literal(node.args[0]) if node.args else None
        return setting is not None and fold(setting) not in _OF_A_SERVER
    if name in BUILTINS and not qualifiers:
        findings.calls.add(name)
    return answers_anywhere(name)


def _operator(findings: Findings, node: Node, known: Names) -> bool:
    names = node.name if node.DESCRIPTOR.name == "A_Expr" else node.oper_name
    findings.calls.update(part.string.sval for part in names[-1:])
    return True


def _copy(findings: Findings, node: Node, known: Names) -> bool:
    """To the client: a file or program would be on the server's host."""
    return not (node.is_from or node.is_program or node.filename)


def _show(findings: Findings, node: Node, known: Names) -> bool:
    return fold(node.name) not in _OF_A_SERVER


def _no_read(findings: Findings, node: Node, known: Names) -> bool:
    return False


_JUDGES: dict[str, Callable[[Findings, Node, Names], bool]] = {
    "RangeVar": _range_var,
    "FuncCall": _func_call,
    "A_Expr": _operator,
    "SubLink": _operator,
    "CopyStmt": _copy,
    "VariableShowStmt": _show,
    "IntoClause": _no_read,
    "LockingClause": _no_read,
}
