"""JavaScript by Node.js, with packages from npm; without them tests skip."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

TIMEOUT = 60


def install(place: Path, *packages: str) -> Path:
    """The folder, with the packages in it; skip where that cannot be."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("Node.js is not installed (node and npm)")
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-save", *packages]
    try:
        done = subprocess.run(
            command, cwd=place, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm install {' '.join(packages)} did not end within a minute")
    if done.returncode:
        pytest.skip(f"npm install {' '.join(packages)} failed: {done.stderr.strip()[-300:]}")
    return place


def run_async(
    folder: Path, imports: str, body: str, dsn: str, environment: Mapping[str, str] | None = None
) -> Any:
    """Run the body of an async function, which knows `dsn`; what it returned, by way of JSON."""
    script = folder / "script.js"
    script.write_text(
        f"{imports}\nconst dsn = process.argv[2];\n(async () => {{\n{body}\n}})().then(\n"
        "  result => console.log(JSON.stringify(result)), error => { console.error(error); process.exit(1); });\n"
    )
    command = ["node", script, dsn]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert not done.returncode, done.stderr
    return json.loads(done.stdout.splitlines()[-1])  # knex writes warnings there, too
