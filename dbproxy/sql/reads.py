"""Which statements are reads: a replica may answer them as the primary would.

That is what syntax and PostgreSQL's own functions and relations tell; the functions of the database that a read calls
and the relations that it reads are for the router to look up (`Statement.functions`, `calls`, `relations`). In doubt
a statement is no read: it goes to the primary, where it would have gone anyway.

    a read            SELECT, VALUES, TABLE, SHOW, COPY … TO STDOUT, EXPLAIN of one, with or without ANALYZE
    none, if in it    INSERT, UPDATE, DELETE, MERGE (in WITH); INTO; FOR UPDATE, FOR SHARE …; a function that is
                      volatile or asks its own server or session; a view of the server's state; a temporary table
"""

from collections.abc import Callable, Iterable, Iterator

from dbproxy.sql.access import LEAVES, Known, descend
from dbproxy.sql.builtins import BUILTINS
from dbproxy.sql.findings import Findings
from dbproxy.sql.nodes import Visited
from dbproxy.sql.relations import is_own, is_replicated
from dbproxy.sql.setters import Node, enum_name, literal, spell
from dbproxy.sql.settings import fold
from dbproxy.sql.statement import SHOWS_TOKEN
from dbproxy.sql.volatility import answers_anywhere

_KINDS = frozenset({"select_stmt", "variable_show_stmt", "explain_stmt", "copy_stmt"})
_NODES = frozenset({"SelectStmt", "VariableShowStmt", "ExplainStmt", "CopyStmt"})
_NEVER = frozenset({"IntoClause", "LockingClause"})
_BEGINS = frozenset({"TRANS_STMT_BEGIN", "TRANS_STMT_START"})
# Settings that tell one server from another; drivers look for the primary by the first two. The others, by how they
# begin, are of a whole server, not of a session: a replica may have to have values of its own.
_OF_A_SERVER = frozenset(("transaction_read_only", "in_hot_standby", "all"))
_OF_SERVERS = (
    "archive_", "authentication_", "autovacuum", "bgwriter_", "bonjour", "checkpoint_", "cluster_name", "config_file",
    "data_", "event_source", "external_pid_file", "file_extend_", "fsync", "full_page_", "hba_file", "hot_standby",
    "huge_page", "ident_file", "idle_replication_", "io_", "krb_", "listen_addresses", "log_", "logging_", "max_",
    "min_", "multixact_", "notify_", "port", "primary_", "recovery_", "reserved_", "restore_", "serializable_buffers",
    "shared_", "ssl", "subtransaction_", "summarize_", "superuser_", "sync", "syslog_", "track_", "transaction_buffers",
    "unix_", "wal_",
)  # fmt: skip


def judge_reads(findings: Findings, statements: list[tuple[Node, Visited]]) -> None:
    """Note whether all these statements are reads, what they call and read; and whether one begins to read only."""
    if len(statements) == 1:
        _judge_modes(findings, statements[0][0])
    if statements and not findings.effects & ~SHOWS_TOKEN:
        findings.reads = all(_is_read(findings, root, visited) for root, visited in statements)


def _judge_modes(findings: Findings, root: Node) -> None:
    """Of BEGIN and SET TRANSACTION. A hot standby has no serializable transactions."""
    kind = root.WhichOneof("node")
    if kind == "variable_set_stmt" and root.variable_set_stmt.name == "TRANSACTION":
        findings.modes = _read_modes(root.variable_set_stmt.args)
    elif kind == "transaction_stmt" and enum_name(root.transaction_stmt, "kind") in _BEGINS:
        findings.modes = _read_modes(root.transaction_stmt.options)
        modes = dict(findings.modes)
        if modes.get("transaction_isolation") != "serializable":
            findings.begins = "transaction_read_only" not in modes
            findings.begins_read_only = modes.get("transaction_read_only") == "1"


def _read_modes(options: Iterable[Node]) -> tuple[tuple[str, str], ...]:
    """Of equal options the last counts."""
    given = {option.def_elem.defname: spell(option.def_elem.arg) or "" for option in options}
    return tuple(sorted(given.items()))


def _is_read(findings: Findings, root: Node, visited: Visited) -> bool:
    kinds = {kind for kind, _ in visited}
    if root.WhichOneof("node") not in _KINDS or kinds & _NEVER:
        return False
    if any(kind.endswith("Stmt") for kind in kinds - _NODES):
        return False
    if not all(_JUDGES[kind](findings, node) for kind, node in visited if kind in _JUDGES):
        return False
    tables = (
        _find_tables(root)
        if "WithClause" in kinds
        else [node for kind, node in visited if kind == "RangeVar"]
    )
    return all(_reads_table(findings, node.schemaname, node.relname) for node in tables)


def _find_tables(root: Node) -> Iterator[Node]:
    """The tree's RangeVars that are no names of WITH; it is walked with those that are known so far."""
    pending: list[tuple[Node, Known]] = [(root, frozenset())]
    while pending:
        node, known = pending.pop()
        kind = node.DESCRIPTOR.name
        if kind == "RangeVar" and (node.schemaname or node.relname not in (known or ())):
            yield node
        if kind not in LEAVES:
            pending.extend(descend(node, known))


def _reads_table(findings: Findings, schema: str, name: str) -> bool:
    if is_own(schema, name):
        return is_replicated(schema, name)
    findings.relations.add(name)
    return True


def _func_call(findings: Findings, node: Node) -> bool:
    *qualifiers, name = [part.string.sval for part in node.funcname]
    if qualifiers and qualifiers[-1] != "pg_catalog":
        return True  # one of the database's: in `functions`
    if name == "current_setting":
        setting = literal(node.args[0]) if node.args else None
        return setting is not None and not _is_of_a_server(setting)
    if name in BUILTINS and not qualifiers:
        findings.calls.add(name)
    return answers_anywhere(name)


def _operator(findings: Findings, node: Node) -> bool:
    names = node.name if node.DESCRIPTOR.name == "A_Expr" else node.oper_name
    findings.calls.update(part.string.sval for part in names[-1:])
    return True


def _copy(findings: Findings, node: Node) -> bool:
    """To the client: a file or program would be on the server's host."""
    return not (node.is_from or node.is_program or node.filename)


def _show(findings: Findings, node: Node) -> bool:
    return not _is_of_a_server(node.name)


def _is_of_a_server(setting: str) -> bool:
    name = fold(setting)
    return name in _OF_A_SERVER or name.startswith(_OF_SERVERS)


_JUDGES: dict[str, Callable[[Findings, Node], bool]] = {
    "FuncCall": _func_call,
    "A_Expr": _operator,
    "SubLink": _operator,
    "CopyStmt": _copy,
    "VariableShowStmt": _show,
}
