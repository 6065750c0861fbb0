"""What is measured, what is allowed, and what to say where the two differ."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.form.functions import complexity, find_functions
from tests.form.imports import Edge, find_circle, find_imports
from tests.form.objects import fields_of, find_classes
from tests.form.source import Module

LIMITS = {"fields": 20, "booleans": 4, "complexity": 15}

Exceptions = dict[str, dict[str, int]]  # what is counted: whose: how many it may have
Package = dict[str, Module]


class Measure(NamedTuple):
    """How many of something one object has; `place` is its file and line."""

    place: str
    name: str
    what: str
    number: int


def measure(package: Package) -> Iterator[Measure]:
    """All of it, also what is as it should be."""
    for module, node in find_classes(package):
        place, name = module.place(node.lineno), f"{module.name}:{node.name}"
        fields = fields_of(package, module, node)
        yield Measure(place, name, "fields", len(fields))
        yield Measure(place, name, "booleans", sum(fields.values()))
    for module in package.values():
        for name, function in find_functions(module.tree):
            place = module.place(function.lineno)
            yield Measure(place, f"{module.name}:{name}", "complexity", complexity(function))


def judge(measures: Iterator[Measure], exceptions: Exceptions, listed: Path) -> Iterator[str]:
    """A line for each breach, and for each exception that is larger than it must be."""
    unused = {(what, name) for what in LIMITS for name in exceptions.get(what, {})}
    for place, name, what, number in measures:
        allowed = exceptions.get(what, {}).get(name, LIMITS[what])
        unused.discard((what, name))
        if number > allowed:
            yield f"{place}: {name}: {what} {number}, limit {allowed}"
        elif number < allowed > LIMITS[what]:
            need = f"needs {number}" if number > LIMITS[what] else "is no longer needed"
            yield f"{listed}: {name}: exception of {what} {allowed} {need}"
    yield from (
        f"{listed}: {name}: exception of {what} for what is not there" for what, name in sorted(unused)
    )


def judge_imports(package: Package, allowed: list[Edge], listed: Path) -> Iterator[str]:
    """A line for each circle, and for each import that is allowed and closes none."""
    edges = find_imports(package)
    rest = edges.keys() - set(allowed)
    for edge in allowed:
        if edge not in edges or not find_circle(rest | {edge}):
            yield f"{listed}: {' -> '.join(edge)}: exception of an import that closes no circle"
    while circle := find_circle(sorted(rest)):
        closing = (circle[-1], circle[0])
        place = package[closing[0]].place(edges[closing])
        what = f"closes a circle of {len(circle)} imports, limit 0: {' -> '.join(circle)}"
        yield f"{place}: {' -> '.join(closing)}: {what}"
        rest.remove(closing)
