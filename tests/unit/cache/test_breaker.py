"""Three failures in a row, then one a second."""

from dbproxy.cache.breaker import FAILURES, PAUSE, Breaker


def test_some_failures_open_it_for_a_while():
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker.fail(10.0)
    assert not breaker.is_open(10.0)
    breaker.fail(10.0)
    assert breaker.is_open(10.0)
    assert not breaker.is_open(10.0 + PAUSE)


def test_next_failure_opens_it_again():
    breaker = Breaker()
    for now in (1.0, 1.0, 1.0, 3.0):
        breaker.fail(now)
    assert breaker.is_open(3.5)


def test_answer_closes_it():
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker.fail(1.0)
    breaker.succeed()
    breaker.fail(1.0)
    assert not breaker.is_open(1.0)
