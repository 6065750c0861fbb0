"""The modules of a package, read and not imported."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module(NamedTuple):
    """One file; `pxd` is the text of the declarations beside it, "" without."""

    name: str
    path: Path
    tree: ast.Module
    pxd: str = ""

    def place(self, line: int) -> str:
        return f"{self.path}:{line}"


def read_package(folder: Path) -> dict[str, Module]:
    """All modules in a package's folder, by their names; paths are relative if `folder` is."""
    return {module.name: module for module in _read(folder)}


def _read(folder: Path) -> Iterator[Module]:
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        pxd = path.with_suffix(".pxd")
        yield Module(name, path, ast.parse(path.read_text()), pxd.read_text() if pxd.exists() else "")
