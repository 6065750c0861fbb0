"""dbproxy: a PostgreSQL sidecar proxy.

The hot modules (those with a `.pxd` beside them) are compiled at install. `DBPROXY_PURE=1` in the environment
runs their `.py` instead, for debugging, profiling and testing both builds; the two behave the same.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
)
from pathlib import Path
from types import ModuleType

__version__ = "0.1.0"  # also true in a checkout that was never installed; a test compares pyproject.toml

PURE = bool(os.environ.get("DBPROXY_PURE"))


class SourceFinder(PathFinder):
    """Finds this package's modules as `.py` only, where the usual finder would prefer the compiled one."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None or not fullname.startswith(f"{__name__}."):
            return None
        finders = (FileFinder(entry, (SourceFileLoader, SOURCE_SUFFIXES)) for entry in path)
        return next(filter(None, (finder.find_spec(fullname, target) for finder in finders)), None)


if PURE:
    sys.meta_path.insert(0, SourceFinder)


def compiled() -> bool:
    """Whether every hot module runs compiled; False is the slow build, worth a line in the start-up log."""
    hot = [pxd for pxd in Path(__file__).parent.rglob("*.pxd") if pxd.stem != "__init__"]
    built = (any(pxd.with_suffix(suffix).exists() for suffix in EXTENSION_SUFFIXES) for pxd in hot)
    return not PURE and bool(hot) and all(built)
