"""The units are what systemd takes, and fit the proxy's own settings."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dbproxy.config import Settings
from dbproxy.net.activation import ENTRIES

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = ("dbproxy.service", "dbproxy.socket")
EXPOSURE = 20  # tenths: how much `systemd-analyze security` finds open, of 100

with_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed (Debian: systemd)"
)


def read(unit: str) -> list[tuple[str, str]]:
    text = (FOLDER / unit).read_text()
    return [(key, value) for key, value in re.findall(r"^(\w+)=(.*)$", text, re.M)]


def value(unit: str, key: str) -> str:
    (found,) = [value for name, value in read(unit) if name == key]
    return found


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A copy, with a program that is there."""
    for unit in UNITS:
        text = (FOLDER / unit).read_text().replace("/opt/dbproxy/bin/dbproxy", sys.executable)
        (tmp_path / unit).write_text(text)
    return tmp_path


def analyze(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def complaints(folder: Path) -> list[str]:
    """Of `systemd-analyze verify` about our units; others of this machine are not ours to judge."""
    done = analyze(folder, "verify", "--man=no", *(f"./{unit}" for unit in UNITS))
    assert done.returncode == 0 or done.stderr, done
    return [line for line in done.stderr.splitlines() if "dbproxy" in line]


@with_systemd
def test_units_are_what_systemd_takes(units: Path):
    assert complaints(units) == []


@with_systemd
def test_verification_knows_what_systemd_does_not_take(units: Path):
    service = units / "dbproxy.service"
    service.write_text(service.read_text().replace("WatchdogSec", "WatchdogSecs"))
    assert any("WatchdogSecs" in line for line in complaints(units))


@with_systemd
def test_service_is_open_to_little(units: Path):
    security = ("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}", "./dbproxy.service")
    done = analyze(units, *security)
    assert done.returncode == 0, done.stdout + done.stderr
    service = units / "dbproxy.service"
    service.write_text(re.sub(r"^(Protect|Restrict)\w+=.*\n", "", service.read_text(), flags=re.M))
    assert analyze(units, *security).returncode != 0


def test_service_fits_the_proxy():
    settings = Settings()
    assert value("dbproxy.service", "Type") == "notify"
    assert float(value("dbproxy.service", "WatchdogSec")) >= 10
    assert float(value("dbproxy.service", "TimeoutStopSec")) > settings.pool.shutdown_timeout
    assert int(value("dbproxy.service", "LimitNOFILE")) > settings.pool.max_client_conn
    assert value("dbproxy.service", "RestartPreventExitStatus") == "2"
    assert value("dbproxy.service", "StateDirectory") == "dbproxy"


def test_socket_is_named_as_an_entry_and_is_where_clients_look():
    settings = Settings()
    assert value("dbproxy.socket", "FileDescriptorName") in ENTRIES
    addresses = [value for key, value in read("dbproxy.socket") if key == "ListenStream"]
    assert addresses == [
        f"{settings.listen.host[0]}:{settings.listen.port}",
        f"/run/postgresql/.s.PGSQL.{settings.listen.port}",
    ]
    assert int(value("dbproxy.socket", "Backlog")) == settings.listen.backlog
