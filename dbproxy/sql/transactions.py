"""What statements are to a transaction that only reads, on a replica (session.opening).

`ends`: COMMIT, ROLLBACK, PREPARE TRANSACTION, but not with AND CHAIN: what follows is judged by itself.
`chains`: so many COMMIT and ROLLBACK AND CHAIN: what was read before does not count any more.
`repeats`: BEGIN, SAVEPOINT, SET, SHOW, a SELECT of constants: another server can carry it out again, unnoticed.
`needs_primary`: a hot standby refuses it, or does it for itself alone, though READ ONLY allows it. PostgreSQL: "Hot
Standby", "User's Overview".
"""

from dbproxy.sql.findings import Findings
from dbproxy.sql.nodes import Visited
from dbproxy.sql.relations import is_own, is_replicated
from dbproxy.sql.setters import Node, enum_name, is_true, set_arguments, spell
from dbproxy.sql.settings import TRANSACTIONS, fold
from dbproxy.sql.statement import (
    CREATES_TEMP,
    HOLDS,
    KEEPS,
    LISTENS,
    LOADS,
    LOCKS,
    NOTIFIES,
    RECALLS,
    SEEDS,
)
from dbproxy.sql.volatility import answers_anywhere

_AT_HOME = LOCKS | CREATES_TEMP | HOLDS | LISTENS | NOTIFIES | LOADS | SEEDS | RECALLS | KEEPS
_ENDS = frozenset({"TRANS_STMT_COMMIT", "TRANS_STMT_ROLLBACK", "TRANS_STMT_PREPARE"})
_REPEATS = frozenset(
    f"TRANS_STMT_{kind}" for kind in ("BEGIN", "START", "SAVEPOINT", "RELEASE", "ROLLBACK_TO")
)
_CONSTANT = frozenset({"Node", "SelectStmt", "ResTarget", "TypeCast", "FuncCall"})
_CALLED = frozenset({"set_config", "current_setting"})  # by what is constant: they belong to the session


def judge_transactions(findings: Findings, statements: list[tuple[Node, Visited]]) -> None:
    """Note all four, of the text as a whole."""
    for root, visited in statements:
        kind = root.WhichOneof("node")
        if findings.ends and kind not in ("select_stmt", "variable_show_stmt"):
            findings.needs_primary = True  # who knows what it is, in a transaction of its own
        if kind == "transaction_stmt":
            _transaction(findings, root.transaction_stmt)
        elif kind == "lock_stmt" or any(_is_at_home(findings, name, node) for name, node in visited):
            findings.needs_primary = True
    findings.needs_primary |= bool(findings.effects & _AT_HOME)
    if len(statements) == 1:
        findings.repeats = _repeats(*statements[0])


def _transaction(findings: Findings, node: Node) -> None:
    kind = enum_name(node, "kind")
    findings.chains += node.chain
    findings.ends |= kind in _ENDS and not node.chain
    findings.needs_primary |= kind == "TRANS_STMT_PREPARE"


def find_end(root: Node) -> str:
    """COMMIT or ROLLBACK, if that is what the statement does where nothing was written; ""."""
    if root.WhichOneof("node") != "transaction_stmt" or root.transaction_stmt.chain:
        return ""
    kind = enum_name(root.transaction_stmt, "kind").removeprefix("TRANS_STMT_")
    return {"COMMIT": "COMMIT", "PREPARE": "COMMIT", "ROLLBACK": "ROLLBACK"}.get(kind, "")


def _repeats(root: Node, visited: Visited) -> bool:
    kind = root.WhichOneof("node")
    if kind == "transaction_stmt":
        return enum_name(root.transaction_stmt, "kind") in _REPEATS or root.transaction_stmt.chain
    if kind == "select_stmt":
        calls = [node for name, node in visited if name == "FuncCall"]
        return {name for name, _ in visited} <= _CONSTANT and all(_is_constant(call) for call in calls)
    return kind in ("variable_set_stmt", "variable_show_stmt")


def _is_constant(call: Node) -> bool:
    return call.funcname[-1].string.sval in _CALLED and all(spell(given) is not None for given in call.args)


def _is_at_home(findings: Findings, kind: str, node: Node) -> bool:
    """Whether it is the primary's: by a function or relation that is the server's own, or for what it sets."""
    if kind == "RangeVar":
        return is_own(node.schemaname, node.relname) and not is_replicated(node.schemaname, node.relname)
    if kind == "VariableSetStmt":
        return _sets(findings, node)
    if kind != "FuncCall":
        return False
    *qualifiers, name = [part.string.sval for part in node.funcname]
    if qualifiers and qualifiers[-1] != "pg_catalog":
        return False
    if name == "set_config":
        setting, value, _ = set_arguments(node.args)
        return _wants_more(findings, fold(spell(setting) or ""), spell(value))
    return not answers_anywhere(name)


def _sets(findings: Findings, node: Node) -> bool:
    if node.name == "TRANSACTION SNAPSHOT":  # exported by the primary
        return True
    if node.name == "TRANSACTION":
        given = {item.def_elem.defname: spell(item.def_elem.arg) for item in node.args}
        return any(_wants_more(findings, name, value) for name, value in given.items())
    value = spell(node.args[0]) if len(node.args) == 1 else None
    return _wants_more(findings, fold(node.name), value)


def _wants_more(findings: Findings, name: str, value: str | None) -> bool:
    """Whether a setting of the transaction is given a value that a hot standby does not take."""
    if name not in TRANSACTIONS:
        return False
    findings.varies = True
    if name == "transaction_read_only":
        return value is None or not is_true(value)
    return name == "transaction_isolation" and (value is None or value.strip().lower() == "serializable")
