import pytest

from dbproxy.jobs.batch.session import choose_timeouts, list_settings


@pytest.mark.parametrize("deadlock", [0.1, 1.0, 5.0])
def test_chunk_ends_before_anybody_who_waits_for_it_looks_for_a_deadlock(deadlock: float):
    found = choose_timeouts(deadlock, 0.2, adaptive=True)
    assert found.lock < found.statement < deadlock


def test_chunk_whose_size_is_fixed_has_the_time_it_takes():
    assert choose_timeouts(1.0, 0.2, adaptive=False).statement == 30.0


def test_settings_are_in_milliseconds():
    found = list_settings(choose_timeouts(1.0, 0.2, adaptive=True))
    assert (found["statement_timeout"], found["lock_timeout"]) == ("900", "200")
