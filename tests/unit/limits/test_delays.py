from dbproxy.limits.delays import BOUNDS, Delays


def test_each_delay_is_counted_below_its_bound():
    delays = Delays()
    for seconds in (0.001, 0.0011, 1.0, 61.0):
        delays.note(seconds)
    assert delays.buckets[:2] == [1, 1]
    assert delays.buckets[BOUNDS.index(1.0)] == 1
    assert delays.buckets[-1] == 1
    assert delays.seconds == 62.0021
