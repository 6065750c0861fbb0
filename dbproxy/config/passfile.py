r"""Passwords kept in a file, as libpq keeps them: ~/.pgpass (libpq: "The Password File").

A line is `host:port:database:user:password`; each of the first four may be `*`, a `:` or `\` in one has a `\` before.
The first line that fits counts. A file that others may read is not used.
"""

import re
import stat
from collections.abc import Mapping
from pathlib import Path

GROUP_OR_OTHERS = 0o077
SOCKET_FOLDERS = ("/tmp", "/run/postgresql", "/var/run/postgresql")  # noqa: S108  # one of them libpq's default, as built

_LINE = re.compile(r"((?:[^\\:]|\\.)*):" * 4 + "(.*)")


def find_passfile(environ: Mapping[str, str]) -> Path:
    """Where the file is if nothing else is said."""
    return Path(environ.get("PGPASSFILE") or Path(environ.get("HOME", ""), ".pgpass"))


def explain_unusable(path: Path) -> str:
    """Why the file is not used, though it is there; "" if it is used, or not there."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    if not stat.S_ISREG(mode):
        return f"{path} is no plain file"
    if mode & GROUP_OR_OTHERS:
        return f"{path} may be read by others, so no password is taken from it: chmod 0600 {path}"
    return ""


def look_up(path: Path, host: str, port: int, database: str, user: str) -> str | None:
    """The password of this login; None if it is not there, or the file may not be used."""
    try:
        if explain_unusable(path):
            return None
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    hosts = {host, "localhost"} if host in SOCKET_FOLDERS else {host}
    wanted = (hosts, {str(port)}, {database}, {user})
    for line in lines:
        match = _LINE.fullmatch(line) if not line.startswith("#") else None
        if match is not None:
            *names, password = match.groups()
            if all(
                name == "*" or _unescape(name) in those for name, those in zip(names, wanted, strict=True)
            ):
                return _unescape(password)
    return None


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
