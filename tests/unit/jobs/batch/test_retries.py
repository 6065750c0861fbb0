import pytest

from dbproxy.jobs.batch.retries import LONGEST, SHORTEST, Verdict, backoff, judge


@pytest.mark.parametrize(
    ("codes", "verdict"),
    [
        ("40001 40P01 55P03", Verdict.AGAIN),
        ("08000 08003 08006 08007 57P01 57P02 57P03 25006 40003 53300", Verdict.RECONNECT),
        ("53100 53200 58030", Verdict.WAIT),
        ("57014", Verdict.PAUSE),
        (
            "23502 23503 23505 23514 23P01 22001 22003 22012 22P02 P0001 54000 44000 20000 21000 39004 U0001",
            Verdict.DATA,
        ),
        ("42P01 42703 42501 42601 0A000 28000 3F000 XX000 55000 53400 57P04 F0000 HV000 72000", Verdict.STOP),
    ],
)
def test_what_follows_from_an_error(codes: str, verdict: Verdict):
    assert {judge(code) for code in codes.split()} == {verdict}


def test_timeout_is_told_from_a_cancel_by_its_time():
    assert judge("57014", timed_out=True) is Verdict.HALVE
    assert judge("57014", timed_out=False) is Verdict.PAUSE


def test_tries_come_later_and_later_and_not_all_at_once():
    assert SHORTEST / 2 <= backoff(0, 0.0) < backoff(0, 1.0) <= SHORTEST
    assert backoff(1000, 1.0) == LONGEST
    assert [backoff(tries, 1.0) for tries in range(3)] == [0.05, 0.1, 0.2]
