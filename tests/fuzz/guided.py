"""Inputs led by coverage (atheris, LibFuzzer): `python -m tests.fuzz.guided client -runs=10000`, over the plain Python.

What is new in an input's path through the code makes it one to change further. Changes are ours (tests.fuzz.mutation)
or LibFuzzer's own. An input that fails is kept as `.fuzz/TARGET-crash-…`; given as an argument it is run again.
"""

import os
import sys
from pathlib import Path
from random import Random

os.environ["DBPROXY_PURE"] = "1"
import atheris

import dbproxy  # ahead of the rest: its own finder of sources must not be asked before atheris's

KEPT = Path(".fuzz")
LONGEST = 20_000  # bytes

assert dbproxy.PURE
with atheris.instrument_imports(include=["dbproxy"]):
    from tests.fuzz.targets import open_target


def main(name: str, *options: str) -> None:
    corpus = KEPT / name
    corpus.mkdir(parents=True, exist_ok=True)
    with open_target(name) as target:
        for number, seed in enumerate(target.seeds):
            (corpus / f"seed-{number}").write_bytes(seed)

        def change(data: bytes, most: int, seed: int) -> bytes:
            random = Random(seed)
            if random.random() < 0.3:
                return atheris.Mutate(data, most)
            return target.mutate(data or target.seeds[0], random)[:most]

        known = [
            f"-artifact_prefix={KEPT}/{name}-",
            f"-max_len={LONGEST}",
            "-timeout=20",
            "-rss_limit_mb=1500",
        ]
        runs = [option for option in options if not option.startswith("-")]  # files
        given = [option for option in options if option.startswith("-")]
        atheris.Setup(
            [sys.argv[0], *known, *given, *(runs or [str(corpus)])], target.run, custom_mutator=change
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
