"""What each kind of node in PostgreSQL's parse tree does to the session.

The tree is walked whole, without recursion: each node is offered to the handler for its kind, and its children follow
unless the handler answers SKIP. So a function is found wherever it is called, also where it may not run (a default,
a view, EXPLAIN): the safe side. The names of nodes and fields are PostgreSQL's (parsenodes.h).
"""

from collections.abc import Callable
from typing import Any

from dbproxy.sql.findings import Findings
from dbproxy.sql.functions import RELATIONS, SET_CONFIG
from dbproxy.sql.settings import TRANSACTIONS, fold, names_set
from dbproxy.sql.source import defines_functions
from dbproxy.sql.statement import (
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
    RESETS,
    SEEDS,
    SETS,
    SETS_PARAMETER,
    SETS_UNKNOWN,
    UNKNOWN,
    UNLOCKS,
)

Node = Any  # a protobuf message of libpg_query's, which publishes no types

SKIP = True  # a handler's answer: the children don't count
_TEMP = "pg_temp"  # also pg_temp_3
_CURSOR_OPT_HOLD = 0x20
_TRUE = frozenset({"t", "true", "y", "yes", "on", "1"})
_PLAIN = frozenset({"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "drop_stmt"})
_FUNCTION_OWNERS = frozenset(
    f"OBJECT_{kind}"
    for kind in ("FUNCTION", "PROCEDURE", "ROUTINE", "AGGREGATE", "EXTENSION", "SCHEMA", "TRIGGER")
)


def judge(findings: Findings, statement: Node) -> None:
    """Note what a whole statement does. One that defines something in pg_temp creates a temporary object."""
    if statement.WhichOneof("node") not in _PLAIN and _names_temp(statement):
        findings.effects |= CREATES_TEMP
    _walk(findings, statement)


def _walk(findings: Findings, root: Node) -> None:
    pending = [root]
    while pending:
        node = pending.pop()
        kind = node.DESCRIPTOR.name
        if kind.startswith("Drop"):
            findings.effects |= DROPS
        handle = _HANDLERS.get(kind)
        if handle is None or not handle(findings, node):
            pending.extend(_children(node))


def _children(node: Node) -> list[Node]:
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
        if (kind == "RangeVar" and node.schemaname.startswith(_TEMP)) or (
            kind == "String" and node.sval.startswith(_TEMP)
        ):
            return True
        pending.extend(_children(node))
    return False


def _variable_set(findings: Findings, node: Node) -> bool:
    if node.name == "search_path":
        _search(findings, *map(_literal, node.args))
    kind = _enum(node, "kind")
    if node.is_local or node.name in TRANSACTIONS:
        return SKIP
    if kind == "VAR_SET_MULTI":
        if node.name == "SESSION CHARACTERISTICS":
            findings.effects |= SETS
            findings.settings.update(f"default_{item.def_elem.defname}" for item in node.args)
        return SKIP
    name = fold(node.name)
    findings.effects |= SETS if kind in ("VAR_SET_VALUE", "VAR_SET_CURRENT") else RESETS
    if name == "seed":
        findings.effects = findings.effects & ~SETS | SEEDS
    elif name:
        findings.settings.update(names_set(name))
    return SKIP


def _search(findings: Findings, *schemas: str | None) -> None:
    findings.varies = True
    if any(_TEMP in (schema or "") for schema in schemas):
        findings.effects |= UNKNOWN  # tables may be temporary without saying so


def _func_call(findings: Findings, node: Node) -> bool:
    *qualifiers, name = [part.string.sval for part in node.funcname]
    if name == SET_CONFIG:
        _set_config(findings, node.args)
    findings.call(name, qualifiers[-1] if qualifiers else "")
    return False


def _set_config(findings: Findings, arguments: Node) -> None:
    findings.varies = True
    given = dict(zip(("setting_name", "new_value", "is_local"), arguments, strict=False))
    for argument in arguments:
        if argument.WhichOneof("node") == "named_arg_expr":
            given[argument.named_arg_expr.name] = argument.named_arg_expr.arg
    name = _literal(given.get("setting_name"))
    value = _literal(given.get("new_value"))
    if name is not None and fold(name) == "search_path":
        _search(findings, value)
    if (_literal(given.get("is_local")) or "").strip().lower() in _TRUE:
        return
    if name is not None:
        _set_setting(findings, fold(name))
    elif _kind(given.get("setting_name")) == "param_ref":
        findings.effects |= SETS_PARAMETER
    else:
        findings.effects |= SETS_UNKNOWN


def _set_setting(findings: Findings, name: str) -> None:
    if name == "seed":
        findings.effects |= SEEDS
    elif name not in TRANSACTIONS:
        findings.effects |= SETS
        findings.settings.update(names_set(name))


def _uncast(node: Node) -> Node:
    while node is not None and node.WhichOneof("node") == "type_cast":
        node = node.type_cast.arg
    return node


def _kind(node: Node) -> str | None:
    node = _uncast(node)
    return None if node is None else node.WhichOneof("node")


def _literal(node: Node) -> str | None:
    """The text of a string or boolean literal, casts or not; None if it is neither."""
    if _kind(node) != "a_const":
        return None
    constant = _uncast(node).a_const
    which = constant.WhichOneof("val")
    if which == "boolval":
        return "true" if constant.boolval.boolval else "false"
    return constant.sval.sval if which == "sval" else None


def _range_var(findings: Findings, node: Node) -> bool:
    findings.effects |= RELATIONS.get(node.relname, 0)
    if node.relpersistence == "t":  # the word TEMP, not what the table is
        findings.effects |= CREATES_TEMP
    return False


def _into_clause(findings: Findings, node: Node) -> bool:
    if node.rel.schemaname.startswith(_TEMP):
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
    _walk(bodies, node.sql_body)
    for parameter in node.parameters:
        _walk(findings, parameter)
    return SKIP


def _do(findings: Findings, node: Node) -> bool:
    for argument in node.args:
        if argument.def_elem.defname == "as":
            source = argument.def_elem.arg.string.sval
            findings.add_source(source)
            if defines_functions(source):
                findings.defines.add("")
    return SKIP


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
    target = _enum(node, "target")
    if target == "DISCARD_ALL":
        findings.effects |= DISCARDS | RESETS | DROPS | UNLOCKS | CLOSES | DEALLOCATES
        findings.deallocates.append("")
    elif target == "DISCARD_TEMP":
        findings.effects |= DROPS
    return False


def _change_object(findings: Findings, node: Node) -> bool:
    """DROP, RENAME, SET SCHEMA: of a function, or of what may hold one."""
    field = {"DropStmt": "remove_type", "RenameStmt": "rename_type"}.get(node.DESCRIPTOR.name, "object_type")
    if _enum(node, field) in _FUNCTION_OWNERS:
        findings.defines.add("")
    return False


def _move(findings: Findings, node: Node) -> bool:
    findings.effects |= DROPS
    if node.newschema.startswith(_TEMP):
        findings.effects |= CREATES_TEMP
    return _change_object(findings, node)


def _enum(node: Node, field: str) -> str:
    name: str = node.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number[getattr(node, field)].name
    return name


def _redefine(findings: Findings, node: Node) -> bool:
    findings.defines.add("")
    return SKIP


def _skip(findings: Findings, node: Node) -> bool:
    return SKIP


def _note(effect: int) -> Callable[[Findings, Node], bool]:
    def handle(findings: Findings, node: Node) -> bool:
        findings.effects |= effect
        return False

    return handle


_HANDLERS: dict[str, Callable[[Findings, Node], bool]] = {
    "VariableSetStmt": _variable_set,
    "AlterSystemStmt": _skip,  # the settings of others: of new sessions
    "AlterRoleSetStmt": _skip,
    "AlterDatabaseSetStmt": _skip,
    "FuncCall": _func_call,
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
    "RenameStmt": _change_object,
    "AlterObjectSchemaStmt": _move,
    "ReassignOwnedStmt": _note(DROPS),
    "DeclareCursorStmt": _declare,
    "ClosePortalStmt": _note(CLOSES),
    "PrepareStmt": _prepare,
    "ExecuteStmt": _execute,
    "DeallocateStmt": _deallocate,
    "DiscardStmt": _discard,
    "ListenStmt": _note(LISTENS),
    "UnlistenStmt": _note(LISTENS),
    "NotifyStmt": _note(NOTIFIES),
    "LoadStmt": _note(LOADS),
    "DoStmt": _do,
}
