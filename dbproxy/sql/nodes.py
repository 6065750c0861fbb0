"""What each kind of node in PostgreSQL's parse tree does to the session.

The tree is walked whole, without recursion: each node is offered to the handler for its kind, and its children follow
unless the handler answers SKIP. So a function is found wherever it is called, also where it may not run (a default,
a view, EXPLAIN): the safe side. The names of nodes and fields are PostgreSQL's (parsenodes.h).
"""

from collections.abc import Callable

from dbproxy.sql.access import LEAVES
from dbproxy.sql.constants import judge_cast, judge_comparison
from dbproxy.sql.findings import Findings
from dbproxy.sql.functions import RELATIONS, SET_CONFIG
from dbproxy.sql.setters import SKIP, TEMP, Node, enum_name, literal, set_config, variable_set
from dbproxy.sql.settings import TOKEN, fold
from dbproxy.sql.source import defines_functions, listened_channels
from dbproxy.sql.statement import (
    CHANGES,
    CLOSES,
    CREATES_TEMP,
    DEALLOCATES,
    DISCARDS,
    DROPS,
    EXECUTES,
    HOLDS,
    LISTENS,
    LOADS,
    NOTIFIES,
    PREPARES,
    SETS_UNKNOWN,
    SHOWS_TOKEN,
    UNLOCKS,
    Listen,
)

Visited = list[tuple[str, Node]]  # the nodes of a tree with their kinds, but for LEAVES

_CURSOR_OPT_HOLD = 0x20
_PLAIN = frozenset({"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "drop_stmt"})
# Statements that leave what other statements mean as it is: all others are DDL.
_KEEPING = frozenset(
    (
        "select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "transaction_stmt",
        "variable_set_stmt", "variable_show_stmt", "explain_stmt", "copy_stmt", "declare_cursor_stmt",
        "fetch_stmt", "close_portal_stmt", "prepare_stmt", "execute_stmt", "deallocate_stmt", "discard_stmt",
        "listen_stmt", "unlisten_stmt", "notify_stmt", "lock_stmt", "check_point_stmt", "load_stmt", "do_stmt",
        "call_stmt", "constraints_set_stmt", "truncate_stmt", "vacuum_stmt", "refresh_mat_view_stmt",
        "reindex_stmt", "cluster_stmt", "comment_stmt", "grant_stmt",
    )
)  # fmt: skip
_MODIFYING = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_FUNCTION_OWNERS = frozenset(
    f"OBJECT_{kind}"
    for kind in ("FUNCTION", "PROCEDURE", "ROUTINE", "AGGREGATE", "EXTENSION", "SCHEMA", "TRIGGER")
)


def judge(findings: Findings, statement: Node) -> Visited:
    """Note what a whole statement does. One that defines something in pg_temp creates a temporary object."""
    if statement.WhichOneof("node") not in _PLAIN and _names_temp(statement):
        findings.effects |= CREATES_TEMP
    if statement.WhichOneof("node") not in _KEEPING:
        findings.effects |= CHANGES
    visited = walk(findings, statement)
    inside = (kind for kind, _ in visited[2:])  # behind the statement itself
    findings.modifies_within |= any(kind in _MODIFYING for kind in inside)
    return visited


def walk(findings: Findings, root: Node) -> Visited:
    """Note what is found in a tree; its nodes."""
    visited: Visited = []
    pending = [root]
    while pending:
        node = pending.pop()
        kind = node.DESCRIPTOR.name
        if kind in LEAVES:
            continue
        visited.append((kind, node))
        if kind.startswith("Drop"):
            findings.effects |= DROPS
        handle = _HANDLERS.get(kind)
        if handle is None or not handle(findings, node):
            pending.extend(children(node))
    return visited


def children(node: Node) -> list[Node]:
    found: list[Node] = []
    for field, value in node.ListFields():
        if field.message_type is not None:
            found.extend((value,) if hasattr(value, "ListFields") else value)
    found.reverse()  # the first is popped first
    return found


def _names_temp(root: Node) -> bool:
    pending = [root]
    while pending:
        node = pending.pop()
        kind = node.DESCRIPTOR.name
        if kind in ("VariableSetStmt", "A_Const", "DefElem"):  # hold no name of what is created
            continue
        if (kind == "RangeVar" and node.schemaname.startswith(TEMP)) or (
            kind == "String" and node.sval.startswith(TEMP)
        ):
            return True
        pending.extend(node.type_name if kind == "CreateEnumStmt" else children(node))  # its labels are text
    return False


def _func_call(findings: Findings, node: Node) -> bool:
    *qualifiers, name = [part.string.sval for part in node.funcname]
    if name == SET_CONFIG:
        set_config(findings, node.args)
    elif name == "current_setting":
        findings.varies = True
        _show(findings, literal(node.args[0]) if node.args else None)
    findings.call(name, qualifiers[-1] if qualifiers else "")
    return False


def _variable_show(findings: Findings, node: Node) -> bool:
    _show(findings, node.name)
    return False


def _show(findings: Findings, name: str | None) -> None:
    if fold(name or "") == TOKEN:
        findings.effects |= SHOWS_TOKEN


def _range_var(findings: Findings, node: Node) -> bool:
    findings.effects |= RELATIONS.get(node.relname, 0)
    if node.relpersistence == "t":  # the word TEMP, not what the table is
        findings.effects |= CREATES_TEMP
    return False


def _into_clause(findings: Findings, node: Node) -> bool:
    findings.effects |= CHANGES
    if node.rel.schemaname.startswith(TEMP):
        findings.effects |= CREATES_TEMP
    return False


def _update(findings: Findings, node: Node) -> bool:
    if node.relation.relname == "pg_settings":  # the view's rule calls set_config
        findings.effects |= SETS_UNKNOWN
    return False


def _create_function(findings: Findings, node: Node) -> bool:
    findings.varies = True
    findings.defines.add(node.funcname[-1].string.sval)
    bodies = findings.bodies = findings.bodies or Findings()
    for option in node.options:
        if option.def_elem.defname == "as":
            bodies.add_source("\n".join(part.string.sval for part in option.def_elem.arg.list.items))
    walk(bodies, node.sql_body)
    for parameter in node.parameters:
        walk(findings, parameter)
    return SKIP


def _do(findings: Findings, node: Node) -> bool:
    for argument in node.args:
        if argument.def_elem.defname == "as":
            source = argument.def_elem.arg.string.sval
            findings.add_source(source)
            findings.listens += [Listen(channel, begins=True) for channel in listened_channels(source)]
            if defines_functions(source):
                findings.defines.add("")
    return SKIP


def _listen(findings: Findings, node: Node) -> bool:
    findings.effects |= LISTENS
    findings.listens.append(Listen(node.conditionname, begins=node.DESCRIPTOR.name == "ListenStmt"))
    return False


def _explain(findings: Findings, node: Node) -> bool:
    """Whether it carries the statement out may be said by a literal."""
    options = [option.def_elem for option in node.options]
    findings.varies |= any(option.defname == "analyze" and option.HasField("arg") for option in options)
    return False


def _declare(findings: Findings, node: Node) -> bool:
    if node.options & _CURSOR_OPT_HOLD:
        findings.effects |= HOLDS
    return False


def _prepare(findings: Findings, node: Node) -> bool:
    findings.effects |= PREPARES
    findings.prepares.append(node.name)
    return False


def _execute(findings: Findings, node: Node) -> bool:
    findings.effects |= EXECUTES
    findings.executes.append(node.name)
    return False


def _deallocate(findings: Findings, node: Node) -> bool:
    findings.effects |= DEALLOCATES
    findings.deallocates.append("" if node.isall else node.name)
    return False


def _discard(findings: Findings, node: Node) -> bool:
    target = enum_name(node, "target")
    if target == "DISCARD_ALL":
        findings.effects |= DISCARDS | DROPS | UNLOCKS | CLOSES | DEALLOCATES
        findings.reset()
        findings.deallocates.append("")
    elif target == "DISCARD_TEMP":
        findings.effects |= DROPS
    return False


def _change_object(findings: Findings, node: Node) -> bool:
    """DROP, RENAME, SET SCHEMA: of a function, or of what may hold one."""
    field = {"DropStmt": "remove_type", "RenameStmt": "rename_type"}.get(node.DESCRIPTOR.name, "object_type")
    if enum_name(node, field) in _FUNCTION_OWNERS:
        findings.defines.add("")
    return False


def _leave_database(findings: Findings, node: Node) -> bool:
    """PostgreSQL waits until nobody is connected to it."""
    if node.DESCRIPTOR.name == "RenameStmt":
        if enum_name(node, "rename_type") == "OBJECT_DATABASE":
            findings.databases.append(node.subname)
        return _change_object(findings, node)
    if node.DESCRIPTOR.name == "CreatedbStmt":
        options = {option.def_elem.defname: option.def_elem.arg for option in node.options}
        if "template" in options:
            findings.databases.append(options["template"].string.sval)
        return SKIP
    findings.databases.append(node.dbname)
    return False


def _move(findings: Findings, node: Node) -> bool:
    findings.effects |= DROPS
    if node.newschema.startswith(TEMP):
        findings.effects |= CREATES_TEMP
    return _change_object(findings, node)


def _redefine(findings: Findings, node: Node) -> bool:
    findings.defines.add("")
    return SKIP


def _cast(findings: Findings, node: Node) -> bool:
    findings.constants |= judge_cast(node)
    return False


def _operator(findings: Findings, node: Node) -> bool:
    findings.constants |= judge_comparison(node)
    return False


def _skip(findings: Findings, node: Node) -> bool:
    return SKIP


def _note(effect: int) -> Callable[[Findings, Node], bool]:
    def handle(findings: Findings, node: Node) -> bool:
        findings.effects |= effect
        return False

    return handle


_HANDLERS: dict[str, Callable[[Findings, Node], bool]] = {
    "VariableSetStmt": variable_set,
    "AlterSystemStmt": _skip,  # the settings of others: of new sessions
    "AlterRoleSetStmt": _skip,
    "AlterDatabaseSetStmt": _skip,
    "FuncCall": _func_call,
    "VariableShowStmt": _variable_show,
    "TypeCast": _cast,
    "A_Expr": _operator,
    "RangeVar": _range_var,
    "IntoClause": _into_clause,
    "UpdateStmt": _update,
    "CreateFunctionStmt": _create_function,
    "AlterFunctionStmt": _redefine,
    "CreateExtensionStmt": _redefine,
    "AlterExtensionStmt": _redefine,
    "AlterExtensionContentsStmt": _redefine,
    "CreateTrigStmt": _redefine,
    "CreateEventTrigStmt": _redefine,
    "DropStmt": _change_object,
    "RenameStmt": _leave_database,
    "DropdbStmt": _leave_database,
    "CreatedbStmt": _leave_database,
    "AlterObjectSchemaStmt": _move,
    "ReassignOwnedStmt": _note(DROPS),
    "ExplainStmt": _explain,
    "DeclareCursorStmt": _declare,
    "ClosePortalStmt": _note(CLOSES),
    "PrepareStmt": _prepare,
    "ExecuteStmt": _execute,
    "DeallocateStmt": _deallocate,
    "DiscardStmt": _discard,
    "ListenStmt": _listen,
    "UnlistenStmt": _listen,
    "NotifyStmt": _note(NOTIFIES),
    "LoadStmt": _note(LOADS),
    "DoStmt": _do,
}
