"""The two builds of one package: compiled where a compiler was at hand, plain Python on request."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

import dbproxy

ROOT = Path(__file__).parents[2]
HOT = sorted(
    ".".join(pxd.relative_to(ROOT).with_suffix("").parts)
    for pxd in (ROOT / "dbproxy").rglob("*.pxd")
    if pxd.stem != "__init__"
)
REPORT = """
import importlib, json, sys, dbproxy
loaders = {name: type(importlib.import_module(name).__spec__.loader).__name__ for name in sys.argv[1:]}
print(json.dumps([dbproxy.compiled(), loaders]))
"""


def loaders(pure: str) -> tuple[bool, dict[str, str]]:
    """`compiled()` and the loader of each hot module, in a new interpreter."""
    command = [sys.executable, "-c", REPORT, *HOT]
    environment = {**os.environ, "DBPROXY_PURE": pure}
    answer = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    compiled, found = json.loads(answer.stdout)
    return compiled, found


def test_pure_mode_ignores_every_compiled_module():
    compiled, found = loaders(pure="1")
    assert not compiled
    assert found == dict.fromkeys(HOT, "SourceFileLoader")


@pytest.mark.skipif(not (shutil.which("cc") or shutil.which("gcc")), reason="no C compiler")
def test_every_hot_module_runs_compiled_where_there_is_a_compiler():
    compiled, found = loaders(pure="")
    assert found == dict.fromkeys(HOT, "ExtensionFileLoader")
    assert compiled


def test_no_compiled_module_is_older_than_its_sources():
    """Python would run the old one and say nothing; `make venv` compiles anew."""
    for built in (ROOT / "dbproxy").rglob(f"*{sysconfig.get_config_var('EXT_SUFFIX')}"):
        base = built.with_name(built.name.split(".")[0])
        sources = (base.with_suffix(".py"), base.with_suffix(".pxd"))
        assert all(source.exists() for source in sources), f"{built} is left over: remove it"
        assert built.stat().st_mtime >= max(source.stat().st_mtime for source in sources), built


def test_pure_mode_leaves_other_packages_alone():
    assert dbproxy.SourceFinder.find_spec("json.decoder", [str(Path(json.__file__).parent)]) is None


def test_version_is_the_one_that_is_released():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert dbproxy.__version__ == project["version"]
