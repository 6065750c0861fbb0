"""Cyclomatic complexity: one, and one more for each place where the flow of a function may part.

Those are branches, loops, handlers, cases, conditional expressions, each operand of a boolean operator but the first,
and the loops and conditions of comprehensions. A function inside another counts for both.
"""

import ast
from collections.abc import Iterator

from tests.form.source import Function

PARTINGS = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)


def find_functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """All functions below `node`, with their qualified names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | Function):
            name = f"{prefix}{child.name}"
            if isinstance(child, Function):
                yield name, child
            yield from find_functions(child, f"{name}.")
        else:
            yield from find_functions(child, prefix)


def complexity(function: Function) -> int:
    return 1 + sum(map(_partings, ast.walk(function)))


def _partings(node: ast.AST) -> int:
    match node:
        case ast.BoolOp():
            return len(node.values) - 1
        case ast.comprehension():
            return 1 + len(node.ifs)
    return int(isinstance(node, PARTINGS))
