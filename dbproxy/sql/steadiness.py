"""What makes an answer differ although data, role and settings are the same: by syntax and PostgreSQL's functions.

A function is known by its name: one overload that looks at the clock or at the server's state is enough. Allowed are
those of `builtins` that PostgreSQL calls immutable in all overloads, and the stable ones that look at nothing but their
arguments and settings; a name that is not known is not allowed. What the database has defined itself is not judged
here. Nor are literals, in which texts of one shape differ: 'now' is for `constants.judge_text`.

Not seen is a *stored* string that says `now` or `today` and is cast to a date or time, and AT TIME ZONE of a `timetz`.
"""

from collections.abc import Callable

from dbproxy.sql.builtins import BUILTINS
from dbproxy.sql.setters import Node, enum_name, literal
from dbproxy.sql.settings import TRANSACTIONS, changes_answers, fold
from dbproxy.sql.volatility import PLAIN, VOLATILE

_CLOCK = """
    clock_timestamp now pg_conf_load_time pg_postmaster_start_time statement_timestamp timeofday timetz
    transaction_timestamp
"""
# Stable functions that look at catalogs, at the server's state, or at what identifies a connection.
_STATE = """
    col_description database_to_xml database_to_xml_and_xmlschema database_to_xmlschema fmgr_c_validator
    fmgr_internal_validator fmgr_sql_validator format_type has_any_column_privilege has_column_privilege
    has_database_privilege has_foreign_data_wrapper_privilege has_function_privilege has_language_privilege
    has_largeobject_privilege has_parameter_privilege has_schema_privilege has_sequence_privilege has_server_privilege
    has_table_privilege has_tablespace_privilege has_type_privilege inet_client_addr inet_client_port inet_server_addr
    inet_server_port mxid_age obj_description oidvectortypes regclass row_security_active schema_to_xml
    schema_to_xml_and_xmlschema schema_to_xmlschema shobj_description system_user table_to_xml
    table_to_xml_and_xmlschema table_to_xmlschema to_regclass to_regcollation to_regnamespace to_regoper
    to_regoperator to_regproc to_regprocedure to_regrole to_regtype to_regtypemod ts_debug txid_current
    txid_current_if_assigned txid_current_snapshot
"""
# Of those that begin with `pg_`, what looks at nothing.
_PLAIN = """
    pg_char_to_encoding pg_client_encoding pg_collation_for pg_encoding_max_length pg_encoding_to_char pg_lsn
    pg_lsn_larger pg_lsn_smaller pg_size_bytes pg_size_pretty pg_typeof pg_wal_lsn_diff
"""
_TIMELY = frozenset(_CLOCK.split())
_UNSTEADY = _TIMELY | VOLATILE | frozenset(_STATE.split())
_STEADY = frozenset(
    name
    for name in BUILTINS - _UNSTEADY
    if not name.startswith(("pg_", "binary_upgrade_")) or name in _PLAIN.split()
)
_SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax"})  # of a row's version, not of the row
_REFERRING = """
    regclass regcollation regconfig regdictionary regnamespace regoper regoperator regproc regprocedure regrole regtype
"""
_OF_TIME = ("SVFOP_CURRENT_DATE", "SVFOP_CURRENT_TIME", "SVFOP_LOCALTIME")  # and what begins with these


def is_steady(function: str) -> bool:
    """Whether a function of PostgreSQL's, whatever its arguments, says the same while data and settings do."""
    return function in _STEADY


def find_unsteady(kind: str, node: Node) -> str:
    """Why the answer may differ by this node of the given kind alone; "" if it does not."""
    judge = _JUDGES.get(kind)
    return judge(node) if judge is not None else ""


def reads_unnamed(kind: str, node: Node) -> bool:
    """Whether it may read what no relation is named for: the catalogs, the server's state, what a function is told."""
    if kind == "TypeCast":
        return bool(_refers(node))
    if kind != "FuncCall":
        return False
    *qualifiers, name = [part.string.sval for part in node.funcname]
    if (qualifiers and qualifiers[-1] != "pg_catalog") or (not qualifiers and name not in BUILTINS):
        return False  # the database's own
    return not (is_steady(name) or name in _TIMELY or name in PLAIN or name == "age")


def _func_call(node: Node) -> str:
    *qualifiers, name = [part.string.sval for part in node.funcname]
    if qualifiers and qualifiers[-1] != "pg_catalog":
        return ""
    if name in _TIMELY or (name == "age" and len(node.args) == 1):
        return f"function {name}() depends on the time"
    if name in VOLATILE:
        return f"function {name}() is volatile"
    if name == "current_setting":
        return _setting(literal(node.args[0]) if node.args else None)
    if is_steady(name) or (not qualifiers and name not in BUILTINS):  # the database's own
        return ""
    return f"function {name}() depends on the server's state"


def _setting(name: str | None) -> str:
    """Sessions that differ in it alone are told the same."""
    if name is None:
        return "a setting whose name is computed"
    if fold(name) in TRANSACTIONS:  # outside of one, or in another, it says something else
        return "a setting of the transaction"
    return "" if changes_answers(fold(name)) else f"setting {fold(name)}"


def _value_function(node: Node) -> str:
    name = enum_name(node, "op")
    return name.removeprefix("SVFOP_").removesuffix("_N") if name.startswith(_OF_TIME) else ""


def _column(node: Node) -> str:
    parts = node.fields if node.DESCRIPTOR.name == "ColumnRef" else node.indirection
    names = [part.string.sval for part in parts]
    return next((f"column {name}" for name in names if name in _SYSTEM_COLUMNS), "")


def _cast(node: Node) -> str:
    name = _type(node)
    return _refers(node) or ("a cast to timetz depends on the time" if name == "timetz" else "")


def _refers(node: Node) -> str:
    name = _type(node)
    return f"a cast to {name} depends on the server's state" if name in _REFERRING.split() else ""


def _type(node: Node) -> str:
    """The last part of its name."""
    names = [part.string.sval for part in node.type_name.names]
    return names[-1] if names else ""


def _word(text: str) -> Callable[[Node], str]:
    return lambda node: text


_JUDGES: dict[str, Callable[[Node], str]] = {
    "FuncCall": _func_call,
    "SQLValueFunction": _value_function,
    "ColumnRef": _column,
    "A_Indirection": _column,
    "TypeCast": _cast,
    "RangeTableSample": _word("TABLESAMPLE"),
    "ExplainStmt": _word("EXPLAIN"),
    "VariableShowStmt": _word("SHOW"),
    "CopyStmt": _word("COPY"),
}
