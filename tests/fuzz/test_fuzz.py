"""A short run of what `make fuzz` does a million times: the same inputs each time."""

from pathlib import Path

import pytest

from tests.fuzz.changes import play
from tests.fuzz.targets import TARGETS, open_target

FINDINGS = sorted((Path(__file__).parent / "findings").iterdir())  # inputs that once did what none may do

SHORT = {"parsers": 3000, "client": 400, "server": 400, "tls-client": 200, "tls-server": 200, "http": 400}


@pytest.mark.parametrize("name", TARGETS)
def test_changed_recordings(name: str) -> None:
    run = play(name, SHORT[name], "test")
    assert run.is_clean(), str(run)


@pytest.mark.parametrize("name", TARGETS)
def test_recordings_as_they_are(name: str) -> None:
    with open_target(name) as target:
        for seed in target.seeds:
            target.run(seed)


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda path: path.name)
def test_what_was_found_is_mended(finding: Path) -> None:
    name = next(name for name in TARGETS if finding.name.startswith(f"{name}-"))
    with open_target(name) as target:
        target.run(finding.read_bytes())
