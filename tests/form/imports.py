"""Which module imports which, and where that makes a circle.

Every import counts: at the top, inside a function, for types only (`TYPE_CHECKING`), and a `cimport` in the `.pxd`.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping

from tests.form.source import Module

CIMPORT = re.compile(r"^from ([\w.]+) cimport ", re.MULTILINE)

Edge = tuple[str, str]  # who imports, and what
Graph = Mapping[str, Iterable[str]]


def imported_names(module: Module) -> dict[str, str]:
    """What names in it stand for, by `from … import …`: `{"Link": "dbproxy.net.link.Link"}`."""
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def find_imports(package: dict[str, Module]) -> dict[Edge, int]:
    """Every import of one module by another, and its first line (0: in the `.pxd` only)."""
    edges: dict[Edge, int] = {}
    for module in package.values():
        for name, line in _imports(module):
            target = name if name in package else name.rpartition(".")[0]  # or a name in it
            if target in package and target != module.name:
                edges.setdefault((module.name, target), line)
    return edges


def _imports(module: Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
    yield from ((name, 0) for name in CIMPORT.findall(module.pxd))


def find_circle(edges: Iterable[Edge]) -> list[str]:
    """The modules of a shortest circle, in order; [] if there is none."""
    graph: dict[str, list[str]] = {}
    for source, target in edges:
        graph.setdefault(source, []).append(target)
    circles = filter(None, (way(graph, target, source) for source in graph for target in graph[source]))
    return min(circles, key=len, default=[])


def way(graph: Graph, source: str, target: str) -> list[str]:
    """A shortest way along the imports, with both ends; [] if there is none."""
    before: dict[str, str] = {source: ""}
    for name in (reached := [source]):
        if name == target:
            steps = [name]
            while name := before[name]:
                steps.append(name)
            return steps[::-1]
        for following in graph.get(name, ()):
            if following not in before:
                before[following] = name
                reached.append(following)
    return []
