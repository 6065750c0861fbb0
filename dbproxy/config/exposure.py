"""Whether a configuration file that everybody may read holds a password."""

import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dbproxy.config.written import Path as Key
from dbproxy.config.written import dotted

_SECRETS = frozenset({"password", "token"})
_HEADERS = ("tracing", "headers")  # a text, a list, or a table
_URLS = frozenset({"url", "redis_url", "replicas"})
_PASSWORD = re.compile(r"://[^\s/:@]*:[^@]+@|\bpassword\s*=\s*[^\s&]", re.IGNORECASE)


def is_open_to_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def list_exposed(path: Path | None, values: Mapping[str, Any]) -> tuple[str, ...]:
    """What to say of the file at `path`, in which these `values` were written; nothing, or one warning."""
    if path is None or not is_open_to_all(path):
        return ()
    keys = ", ".join(dotted(key) for key in find_secrets(values))
    return (f"{path}: everybody on this machine may read {keys} in it; chmod o-rwx {path}",) if keys else ()


def find_secrets(value: object, key: Key = ()) -> Iterator[Key]:
    """Where in a tree of raw values there are passwords and the like."""
    name = next((part for part in reversed(key) if isinstance(part, str)), "")
    if value and (key == _HEADERS or (name in _SECRETS and not isinstance(value, Mapping))):
        yield key
    elif isinstance(value, Mapping):
        for part, inner in value.items():
            yield from find_secrets(inner, (*key, part))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from find_secrets(inner, (*key, number))
    elif isinstance(value, str) and name in _URLS and _PASSWORD.search(value):
        yield key
