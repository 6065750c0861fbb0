"""docs/caching.md names every reason why an answer is not kept, and every column that there is to read."""

from pathlib import Path

import pytest

from dbproxy.admin.caches import CACHE, TABLES
from dbproxy.cache import cases, fill, gate, keyring, terms
from dbproxy.cache.tally import OUTCOMES

PAGE = (Path(__file__).parents[3] / "docs" / "caching.md").read_text()
REASONS = [
    cases.NO_READ,
    cases.SEVERAL,
    gate.NOT_WHOLE,
    keyring.OTHER_FORM,
    gate.NOT_FOLLOWED,
    cases.STARTING,
    keyring.FOR_HOST,
    gate.HOLDING,
    keyring.SERIALIZABLE,
    keyring.TURNED_OFF,
    cases.QUARANTINED,
    terms.FORBIDDEN,
    terms.BY_RULE,
    terms.BAD_HINT,
]


@pytest.mark.parametrize("reason", REASONS)
def test_reason_why_it_is_not_looked_for_is_explained(reason: str) -> None:
    assert f"`{reason}`" in PAGE


@pytest.mark.parametrize("reason", [fill.RACED, fill.TOO_LARGE, fill.TOO_OLD])
def test_reason_why_it_is_not_kept_is_explained(reason: str) -> None:
    assert reason in PAGE


def test_what_show_cache_counts_is_explained() -> None:
    told = {name for name, _, _ in (*CACHE, *TABLES)}
    assert {f"{name}s" for name in ("hit", "would_hit")} <= told
    for name in told - {"database", "user", "mode", "percent", "table"}:
        assert f"`{name}`" in PAGE or f" {name} " in PAGE or f"{name}\n" in PAGE, name
    assert len(OUTCOMES) == 5
