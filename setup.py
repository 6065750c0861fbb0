"""Compiles the hot modules where Cython and a C compiler are at hand; without them the plain Python runs.

Everything else about the package is in pyproject.toml. A module is hot when a `.pxd` lies beside it.
"""

import os
from pathlib import Path

from setuptools import Extension, setup

CPUS = os.cpu_count() or 1


def hot_modules() -> list[Extension]:
    """One extension for each `.py` with a `.pxd` beside it; `optional`: a failed build leaves the `.py`."""
    if os.environ.get("DBPROXY_PURE"):
        return []
    from Cython.Build import cythonize  # type: ignore[import-untyped, unused-ignore]  # publishes no types

    extensions = [
        Extension(
            ".".join(pxd.with_suffix("").parts),
            [str(pxd.with_suffix(".py"))],
            extra_compile_args=["-O2", "-g0", "-fno-plt"],
        )
        for pxd in sorted(Path("dbproxy").rglob("*.pxd"))
        if pxd.stem != "__init__"
    ]
    directives = {"language_level": 3, "annotation_typing": False, "binding": False}
    options = {"compiler_directives": directives, "build_dir": "build/cython", "quiet": True}
    built = list(cythonize(extensions, nthreads=CPUS, **options))
    for extension in built:
        extension.optional = True  # cythonize drops it when given to Extension
    return built


if __name__ == "__main__":  # the processes of cythonize may import this file
    setup(ext_modules=hot_modules(), options={"build_ext": {"parallel": CPUS}})
