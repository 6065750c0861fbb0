"""A plan for the log: EXPLAIN's JSON as lines, as its text format has them, without literals.

What names something (a node, a relation, an index) and numbers are shown; every other text (conditions, keys, a remote
server's SQL) without what it compares with. JSON, since in the text format a literal may go on in the next line.
"""

from collections.abc import Iterator
from typing import Any

from dbproxy.sql.shape import redact

SHOWN = 8_000  # characters
_DEEPEST = 50
_IN_HEAD = frozenset({
    "Node Type", "Relation Name", "Schema", "Alias", "Index Name", "CTE Name", "Function Name", "Startup Cost",
    "Total Cost", "Plan Rows", "Plan Width", "Plans", "Parent Relationship", "Async Capable", "Parallel Aware",
})  # fmt: skip
_NAMES = frozenset({
    "Join Type", "Strategy", "Partial Mode", "Scan Direction", "Operation", "Command", "Subplan Name", "Sort Method",
    "Conflict Resolution", "Conflict Arbiter Indexes", "Cache Mode",
})  # fmt: skip


def show_plan(explained: Any) -> str:
    """Of what EXPLAIN (FORMAT JSON) has answered, decoded."""
    roots = [entry["Plan"] for entry in explained if isinstance(entry, dict) and "Plan" in entry]
    text = "\n".join(line for root in roots for line in _lines(root, 0))
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _lines(node: dict[str, Any], depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        yield "…"
        return
    yield "  " * depth + _head(node)
    for key, value in node.items():
        if key not in _IN_HEAD and value not in (None, "", False, []):
            yield f"{'  ' * depth}  {key}: {_show(key, value)}"
    for child in node.get("Plans", ()):
        yield from _lines(child, depth + 1)


def _head(node: dict[str, Any]) -> str:
    head = str(node.get("Node Type", "?"))
    if index := node.get("Index Name"):
        head += f" using {index}"
    if name := node.get("Relation Name") or node.get("Function Name") or node.get("CTE Name"):
        head += f" on {name}"
    if (alias := node.get("Alias")) and alias != name:
        head += f" {alias}"
    cost = f"cost={node.get('Startup Cost')}..{node.get('Total Cost')}"
    return f"{head}  ({cost} rows={node.get('Plan Rows')} width={node.get('Plan Width')})"


def _show(key: str, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_show(key, item) for item in value)
    if isinstance(value, dict):
        return "…"
    if isinstance(value, bool | int | float) or key in _NAMES:
        return str(value)
    return redact(str(value).encode()).decode(errors="replace")
