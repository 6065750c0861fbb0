"""A pytest plugin for the run of asyncpg's tests: hands them our server, and writes down what became of each.

They can take a server from PGHOST, but then leave out all that put a bad line before it. So ours is handed over as
the cluster that they would have started themselves; those that need to start another are skipped.
"""

import json
import os
import platform
import sys
import unittest
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest
from asyncpg import _testbase, cluster

RESULTS = Path(os.environ["COMPAT_RESULTS"])
SERVER = json.loads(os.environ["COMPAT_SERVER"])  # host, port, user, database


def refuse(**_: object) -> NoReturn:
    raise unittest.SkipTest("needs a server with other files, other authentication, or a replica")


def write(name: str, outcome: str) -> None:
    """A line at once: what is known survives whatever comes next."""
    with RESULTS.open("a") as results:
        results.write(json.dumps([name, outcome]) + "\n")


def pytest_configure() -> None:
    distro = ModuleType("distro")  # one test asks it whether this is Alpine; that is not worth a package
    distro.id = lambda: platform.freedesktop_os_release().get("ID", "")  # type: ignore[attr-defined]
    sys.modules.setdefault("distro", distro)
    cluster.TempCluster = cluster.HotStandbyCluster = refuse
    _testbase._default_cluster = cluster.RunningCluster(**SERVER)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        write(report.nodeid, "error")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        write(report.nodeid, "failed" if report.when == "call" else "error")
    elif report.skipped or report.when == "call":
        write(report.nodeid, report.outcome)
