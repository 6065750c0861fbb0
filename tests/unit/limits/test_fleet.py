"""When Redis counts as gone, and when as there again."""

from dbproxy.limits.fleet import Fleet


def there(proxies: int = 1) -> Fleet:
    fleet = Fleet(graceful=True)
    fleet.succeed()
    fleet.see(proxies)
    return fleet


def test_first_answer_is_enough_at_the_start():
    fleet = Fleet(graceful=True)
    assert fleet.degraded
    assert fleet.succeed()
    assert not fleet.degraded


def test_one_failure_is_enough_and_three_answers_in_a_row_end_it():
    fleet = there()
    fleet.fail()
    assert [fleet.succeed() for _ in range(2)] == [False, False]
    fleet.fail()
    assert [fleet.succeed() for _ in range(2)] == [False, False]
    assert fleet.degraded
    assert fleet.succeed()
    assert not fleet.degraded


def test_who_was_away_with_redis_still_counts_until_all_have_had_time_to_be_back():
    fleet = there(4)
    fleet.fail()
    fleet.see(1)
    assert fleet.proxies == 4
    for _ in range(3):
        fleet.succeed()
    fleet.see(3)
    assert fleet.proxies == 3


def test_limits_that_are_shared_no_more_are_whole():
    fleet = there(4)
    fleet.leave()
    assert (fleet.degraded, fleet.graceful, fleet.proxies) == (True, True, 1)
