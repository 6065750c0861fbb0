"""The fields of a class: its own and those of its bases inside the package.

A field is what a method assigns to `self`, what the class body annotates (of dataclasses, named tuples, models), what
`__slots__` names, and what the `.pxd` declares. It is boolean if it is declared so, or if a method assigns it what can
only be a boolean. A `Protocol` has none: it says what others have.
"""

import ast
import re
from collections.abc import Iterator

from tests.form.imports import imported_names
from tests.form.source import Function, Module

# In a .pxd: a class with the lines that are indented under it, and an attribute there.
CLASS = re.compile(r"^cdef class (\w+).*:\n((?:[ \t]+.*\n|\n)*)", re.MULTILINE)
ATTRIBUTE = re.compile(r"^[ \t]+cdef (?:public |readonly )?(\w[\w. \[\]]*) (\w+(?:, *\w+)*)$", re.MULTILINE)

Field = tuple[str, bool]  # its name, and whether it is boolean


def find_classes(package: dict[str, Module]) -> Iterator[tuple[Module, ast.ClassDef]]:
    """Those at the top of the modules."""
    for module in package.values():
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef):
                yield module, node


def fields_of(package: dict[str, Module], module: Module, node: ast.ClassDef) -> dict[str, bool]:
    """Own and inherited ones by name; whether each is boolean."""
    fields: dict[str, bool] = {}
    for name, boolean in _fields(package, module, node):
        fields[name] = fields.get(name, False) or boolean
    return fields


def _fields(package: dict[str, Module], module: Module, node: ast.ClassDef) -> Iterator[Field]:
    names = imported_names(module)
    bases = [ast.unparse(base) for base in node.bases]
    if any(re.fullmatch(r"(\w+\.)?Protocol(\[.*\])?", base) for base in bases):
        return
    for base in bases:
        home, _, name = names.get(base, f"{module.name}.{base}").rpartition(".")
        for parent in package[home].tree.body if home in package else ():
            if isinstance(parent, ast.ClassDef) and parent.name == name:
                yield from _fields(package, package[home], parent)
    yield from _declared(module.pxd, node.name)
    yield from _annotated(node)
    methods = [part for part in node.body if isinstance(part, Function)]
    properties = {method.name for method in methods if method.decorator_list}
    for method in methods:
        yield from (field for field in _assigned(method) if field[0] not in properties)


def _declared(pxd: str, name: str) -> Iterator[Field]:
    for found in CLASS.finditer(pxd):
        if found[1] == name:
            for kind, attributes in ATTRIBUTE.findall(found[2]):
                yield from ((attribute, kind == "bint") for attribute in re.split(", *", attributes))


def _annotated(node: ast.ClassDef) -> Iterator[Field]:
    for part in node.body:
        match part:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind) if "ClassVar" not in ast.unparse(
                kind
            ):
                yield name, ast.unparse(kind) == "bool"
            case ast.Assign(targets=[ast.Name(id="__slots__")], value=ast.Tuple(elts=names)):
                yield from ((str(name.value), False) for name in names if isinstance(name, ast.Constant))


def _assigned(method: Function) -> Iterator[Field]:
    arguments = method.args.posonlyargs + method.args.args + method.args.kwonlyargs
    flags = {argument.arg for argument in arguments if _is_bool(argument.annotation)}
    for node in ast.walk(method):
        match node:
            case ast.Assign(targets=targets, value=value):
                yield from ((name, _is_boolean(value, flags)) for target in targets for name in _own(target))
            case ast.AnnAssign(target=target, annotation=kind):
                yield from ((name, _is_bool(kind)) for name in _own(target))


def _own(target: ast.expr) -> Iterator[str]:
    """Which attributes of `self` are assigned by it."""
    match target:
        case ast.Tuple(elts=targets):
            for part in targets:
                yield from _own(part)
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            yield name


def _is_bool(annotation: ast.expr | None) -> bool:
    return annotation is not None and ast.unparse(annotation) == "bool"


def _is_boolean(value: ast.expr, flags: set[str]) -> bool:
    match value:
        case ast.Constant(value=bool()) | ast.Compare() | ast.UnaryOp(op=ast.Not()):
            return True
        case ast.Name(id=name):
            return name in flags
    return False
