"""Judge the form of dbproxy; 0 if nothing is larger than it may be: `python -m tests.form`.

What may be larger is in exceptions.toml, with the reason. An exception that is larger than needed fails, too, so that
the list only shrinks; `--shrink` lowers them, and takes out those that are not needed.
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path

from tests.form.judgement import LIMITS, Exceptions, judge, judge_imports, measure
from tests.form.source import read_package

ROOT = Path(__file__).parents[2]
LISTED = Path(__file__).with_name("exceptions.toml").relative_to(ROOT)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.form", description=__doc__)
    parser.add_argument("--shrink", action="store_true", help="lower the exceptions to what is needed")
    arguments = parser.parse_args()
    package = read_package(Path("dbproxy"))
    if arguments.shrink:
        counts = {(what, name): number for _, name, what, number in measure(package)}
        LISTED.write_text(shrink(LISTED.read_text(), counts))
    listed = tomllib.loads(LISTED.read_text())
    exceptions: Exceptions = {
        what: {name: limit for name, (limit, _reason) in listed.get(what, {}).items()} for what in LIMITS
    }
    allowed = [tuple(edge.split(" -> ")) for edge in listed.get("imports", {})]
    lines = [*judge(measure(package), exceptions, LISTED), *judge_imports(package, allowed, LISTED)]
    print("\n".join(lines) or f"{len(package)} modules are in form")
    return bool(lines)


def shrink(text: str, counts: dict[tuple[str, str], int]) -> str:
    """The list with no number larger than what is counted, and without those under the limit."""
    kept, what = [], ""
    for line in text.splitlines(keepends=True):
        if section := re.match(r"\[(\w+)\]", line):
            what = section[1]
        if entry := re.match(r'"([^"]+)" = \[(\d+), ', line):
            count = min(int(entry[2]), counts.get((what, entry[1]), 0))
            line = line.replace(f"[{entry[2]}, ", f"[{count}, ", 1)
            if count <= LIMITS[what]:
                continue
        kept.append(line)
    return "".join(kept)


if __name__ == "__main__":
    sys.exit(main())
