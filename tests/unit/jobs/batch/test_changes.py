"""From when on settings count that are changed while a batch runs."""

import pytest

from dbproxy.config.batch import BatchSettings
from dbproxy.errors import JobRefused
from dbproxy.jobs.batch.changes import refuse_late, tell
from dbproxy.jobs.batch.ledger import Job, Totals


def job(totals: Totals) -> Job:
    return Job("b", "run", "…", "public.t", ("id",), {}, {}, totals=totals)


@pytest.mark.parametrize("totals", [Totals(open=1), Totals(chunks=3)])
@pytest.mark.parametrize("key", ["workers", "sweep"])
def test_what_its_parts_are_made_by_is_refused_once_there_are_some(totals: Totals, key: str) -> None:
    with pytest.raises(JobRefused, match=f"{key} is settled when a batch begins"):
        refuse_late(job(totals), ["chunk_size", key])


def test_workers_can_be_changed_until_it_is_divided() -> None:
    refuse_late(job(Totals()), ["workers", "chunk_size"])
    refuse_late(job(Totals(chunks=3)), ["chunk_size", "throttle.max_lag"])


@pytest.mark.parametrize(
    ("key", "adaptive", "said"),
    [
        ("lock_timeout", True, "from its next connection on"),
        ("synchronous_commit", True, "from its next connection on"),
        ("chunk_size", True, "follow chunk_time up to max_chunk"),
        ("chunk_size", False, "from its next chunk on"),
        ("max_errors", True, "from its next chunk on"),
        ("throttle.query", True, "from its next look on"),
    ],
)
def test_from_when_on_a_setting_counts_is_told(key: str, adaptive: bool, said: str) -> None:
    told = tell(key, BatchSettings(adaptive=adaptive))
    assert said in told
    assert ("max_chunk" in told) == (key == "chunk_size" and adaptive)
