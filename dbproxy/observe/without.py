"""Libraries that others import where they are there, and do not need."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without(*names: str) -> Iterator[None]:
    """They cannot be imported meanwhile. What was imported of them, or will be, is as ever."""
    modules: dict[str, Any] = sys.modules
    known = {name: modules[name] for name in names if name in modules}
    modules.update(dict.fromkeys(names))  # so Python says that there are none
    try:
        yield
    finally:
        for name in names:
            del modules[name]
        modules.update(known)
