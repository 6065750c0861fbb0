"""What the pages for those who change the code name is there: files, modules, functions, attributes.

And every event of the log is in a page for those who run the proxy.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from dbproxy.config.keys import walk_keys
from tests.form.imports import imported_names
from tests.form.objects import fields_of, find_classes
from tests.form.source import Function, Module, read_package

ROOT = Path(__file__).parents[2]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PAGES = [ARCHITECTURE, ROOT / "docs" / "glossary.md", ROOT / "CONTRIBUTING.md"]

QUOTED = re.compile(r"(?<!`)`([^`\n]+)`")
FILE = re.compile(r"[\w.-]+(/[\w.-]+)*\.(py|pxd|toml|md)")
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
ROW = re.compile(r"^\| (`.+?) \| (.+) \|$", re.MULTILINE)
MODULE = re.compile(r"`(\w+)`(\\\*)?")


@cache
def package() -> dict[str, Module]:
    return read_package(ROOT / "dbproxy")


@cache
def members() -> dict[str, set[str]]:
    """What is found behind a dot, by what may stand before it: a class, or a module by its last name or whole."""
    found: dict[str, set[str]] = {}
    for module in package().values():
        names = {node.name for node in module.tree.body if isinstance(node, ast.ClassDef | Function)}
        for node in module.tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for target in filter(None, targets):
                names |= {part.id for part in ast.walk(target) if isinstance(part, ast.Name)}
        for key in (module.name, module.name.removeprefix("dbproxy."), module.name.rpartition(".")[2]):
            found.setdefault(key, set()).update(names)
    for module, node in find_classes(package()):
        names = set(attributes(module, node))
        for key in (node.name, module.name.rpartition(".")[2]):  # `client.settings` is of a Client
            found.setdefault(key, set()).update(names)
    return found


def attributes(module: Module, node: ast.ClassDef) -> Iterator[str]:
    """Methods and fields, inherited ones too."""
    yield from fields_of(package(), module, node)
    yield from (part.name for part in node.body if isinstance(part, Function))
    names = imported_names(module)
    for base in map(ast.unparse, node.bases):
        home, _, name = names.get(base, f"{module.name}.{base}").rpartition(".")
        for parent in package()[home].tree.body if home in package() else ():
            if isinstance(parent, ast.ClassDef) and parent.name == name:
                yield from attributes(package()[home], parent)


def is_there(name: str) -> bool:
    """Whether a dotted name is a module, or leads from a module or class to what it has; or a key of the settings."""
    if name in {key for key, _ in walk_keys()} or f"dbproxy.{name}" in package() or name in package():
        return True
    owner, _, member = name.rpartition(".")
    return member in members().get(owner, members().get(owner.rpartition(".")[2], set()))


def missing(text: str) -> Iterator[str]:
    for quoted in QUOTED.findall(text):
        name = quoted.removesuffix("()")
        if FILE.fullmatch(name):
            if not any((folder / name).exists() for folder in (ROOT, ROOT / "dbproxy")):
                yield name
        elif DOTTED.fullmatch(name) and is_ours(name.partition(".")[0]) and not is_there(name):
            yield name


def is_ours(first: str) -> bool:
    """Whether a dotted name that begins so must be there: other words are other programs'."""
    return first[0].isupper() or first in {key.partition(".")[0] for key in members()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_the_page_names_is_there(page):
    assert list(missing(page.read_text())) == []


def test_a_name_that_is_gone_is_missed():
    text = "`session/requests.py`, `Client.request`, `Routed.choose`, `pool.relay`, `Relay.feed`, `client.settings`"
    assert list(missing(text)) == ["session/requests.py", "Client.request", "Routed.choose"]


def test_the_house_names_every_module_once_and_marks_the_compiled_ones():
    told = []
    for floor, text in ROW.findall(section("The house")):
        folder = QUOTED.findall(floor)[0]
        prefix = "" if folder == "dbproxy" else f"{folder}."
        told += [f"dbproxy.{prefix}{name}{star}" for name, star in MODULE.findall(text)]
    modules = [module for module in package().values() if module.path.stem not in ("__init__", "__main__")]
    assert sorted(told) == sorted(module.name + (r"\*" if module.pxd else "") for module in modules)


def section(title: str) -> str:
    """Of the architecture, under this heading."""
    return ARCHITECTURE.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
