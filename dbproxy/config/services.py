"""Connections by name, as libpq keeps them: ~/.pg_service.conf (libpq: "The Connection Service File").

A section is `[name]`, a line in it `parameter=value`; what the connection string says itself weighs more.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from dbproxy.config.conninfo import LIBPQ

SYSTEM_FOLDER = "/etc/postgresql-common"  # Debian's; PGSYSCONFDIR names another
NAME = "pg_service.conf"


def read_service(name: str, file: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The parameters of this service. ValueError, without its name, if there is none or it cannot be read."""
    looked = list(_list_files(file, environ))
    for path in looked:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError):
            raise ValueError(f"names a service, but {path} cannot be read") from None
        found = _find_section(name, lines, path)
        if found is not None:
            return found
    raise ValueError(f"names a service that is not in {' or '.join(map(str, looked))}")


def _list_files(file: str, environ: Mapping[str, str]) -> Iterator[Path]:
    own = file or environ.get("PGSERVICEFILE", "")
    yield Path(own) if own else Path(environ.get("HOME", ""), f".{NAME}")
    yield Path(environ.get("PGSYSCONFDIR") or SYSTEM_FOLDER, NAME)


def _find_section(name: str, lines: list[str], path: Path) -> dict[str, str] | None:
    found: dict[str, str] | None = None
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            if found is not None:
                break
            found = {} if line == f"[{name}]" else None
        elif found is not None:
            parameter, equals, value = line.partition("=")
            if not equals or parameter not in LIBPQ or parameter in ("service", "servicefile"):
                raise ValueError(f"names a service, but {path}:{number} is no parameter=value of libpq's")
            found.setdefault(parameter, value)
    return found
