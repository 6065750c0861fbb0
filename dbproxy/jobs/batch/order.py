"""In which order a statement meets the rows that it changes.

Two that take the same rows in the same order never deadlock. Where the plan reads the key's index forwards and changes
each row as it comes, that is so already; of any other the rows have to be taken in order first.
"""

import json
from collections.abc import Mapping
from typing import Any

from dbproxy.jobs.primary import Connection

Plan = Mapping[str, Any]  # a node of EXPLAIN (FORMAT JSON)
INDEX_SCANS = ("Index Scan", "Index Only Scan")


async def explain(connection: Connection, sql: str, *values: object) -> Plan:
    """The plan's root."""
    text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", *values)
    plan: Plan = json.loads(text)[0]["Plan"]
    return plan


def is_ordered(plan: Plan, index: str) -> bool:
    """Whether the changed rows come from the index one after another; `index` without its schema."""
    if plan["Node Type"] != "ModifyTable":
        return False
    children = plan.get("Plans", ())
    return len(children) == 1 and _is_scan(children[0], index)


def _is_scan(node: Plan, index: str) -> bool:
    kind = node["Node Type"]
    if kind in INDEX_SCANS:
        return bool(node.get("Index Name") == index.strip('"') and node.get("Scan Direction") == "Forward")
    return False
