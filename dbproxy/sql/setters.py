"""Nodes of PostgreSQL's parse tree that set a setting: SET, RESET and calls of set_config."""

from typing import Any

from dbproxy.sql.findings import Findings
from dbproxy.sql.settings import TRANSACTIONS, fold, names_set
from dbproxy.sql.statement import LOCAL, SEEDS, SETS_PARAMETER, SETS_UNKNOWN, UNKNOWN

Node = Any  # a protobuf message of libpg_query's, which publishes no types

SKIP = True  # a handler's answer: the children don't count
TEMP = "pg_temp"  # also pg_temp_3
_TRUE = frozenset({"t", "true", "y", "yes", "on", "1"})


def variable_set(findings: Findings, node: Node) -> bool:
    if node.name == "search_path":
        _search(findings, *map(literal, node.args))
    kind = enum_name(node, "kind")
    if node.is_local or node.name in TRANSACTIONS:
        _set_locally(findings, fold(node.name))
        return SKIP
    if kind == "VAR_SET_MULTI":
        if node.name == "SESSION CHARACTERISTICS":
            findings.set([f"default_{item.def_elem.defname}" for item in node.args])
        return SKIP
    name = fold(node.name)
    if name == "seed":
        findings.effects |= SEEDS
    elif kind in ("VAR_SET_VALUE", "VAR_SET_CURRENT"):
        findings.set(names_set(name))
        findings.wish(name, spell(node.args[0]) if len(node.args) == 1 else None)
    else:
        findings.reset(names_set(name) if name else ())
    return SKIP


def _search(findings: Findings, *schemas: str | None) -> None:
    findings.varies = True
    if any(TEMP in (schema or "") for schema in schemas):
        findings.effects |= UNKNOWN  # tables may be temporary without saying so


def set_config(findings: Findings, arguments: Node) -> None:
    findings.varies = True
    setting, new_value, is_local = set_arguments(arguments)
    name = literal(setting)
    value = literal(new_value)
    if name is not None and fold(name) == "search_path":
        _search(findings, value)
    if is_true(literal(is_local) or ""):
        _set_locally(findings, fold(name or ""))
        return
    if name is not None:
        _set_setting(findings, fold(name))
        findings.wish(fold(name), spell(new_value))
    elif _kind(setting) == "param_ref":
        findings.effects |= SETS_PARAMETER
    else:
        findings.effects |= SETS_UNKNOWN


def set_arguments(arguments: Node) -> tuple[Node, Node, Node]:
    """Of a call of set_config: its setting_name, new_value and is_local; None for what is missing."""
    names = ("setting_name", "new_value", "is_local")
    given = dict(zip(names, arguments, strict=False))
    for argument in arguments:
        if argument.WhichOneof("node") == "named_arg_expr":
            given[argument.named_arg_expr.name] = argument.named_arg_expr.arg
    setting, value, is_local = (given.get(name) for name in names)
    return setting, value, is_local


def is_true(value: str) -> bool:
    """Whether a boolean setting is on by this value."""
    return value.strip().lower() in _TRUE


def _set_locally(findings: Findings, name: str) -> None:
    findings.effects |= LOCAL
    findings.local.update(names_set(name))
    if name == "search_path":  # equal words mean other tables now
        findings.settings.add(name)


def _set_setting(findings: Findings, name: str) -> None:
    if name == "seed":
        findings.effects |= SEEDS
    elif name not in TRANSACTIONS:
        findings.set(names_set(name))


def _uncast(node: Node) -> Node:
    while node is not None and node.WhichOneof("node") == "type_cast":
        node = node.type_cast.arg
    return node


def _kind(node: Node) -> str | None:
    node = _uncast(node)
    return None if node is None else node.WhichOneof("node")


def literal(node: Node) -> str | None:
    """The text of a string or boolean literal, casts or not; None if it is neither."""
    if _kind(node) != "a_const":
        return None
    constant = _uncast(node).a_const
    which = constant.WhichOneof("val")
    if which == "boolval":
        return "true" if constant.boolval.boolval else "false"
    return constant.sval.sval if which == "sval" else None


def spell(node: Node) -> str | None:
    """A literal as a setting takes it, numbers too; None if it is none."""
    text = literal(node)
    if text is None and _kind(node) == "a_const":
        constant = _uncast(node).a_const
        which = constant.WhichOneof("val")
        text = {"ival": str(constant.ival.ival), "fval": constant.fval.fval}.get(which)
    return text


def enum_name(node: Node, field: str) -> str:
    """The name of the value that an enumeration field has."""
    name: str = node.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number[getattr(node, field)].name
    return name
