from dbproxy.jobs.progress import Progress


def test_speed_and_time_left_are_those_of_the_last_moments():
    progress = Progress(1000).at(0, 0.0).at(100, 1.0).at(200, 2.0)
    assert (progress.speed, progress.eta, progress.ratio) == (100.0, 8.0, 0.2)


def test_nothing_is_foreseen_before_anything_was_seen():
    assert Progress(1000).eta is None
    assert Progress(1000).at(0, 0.0).eta is None
    assert Progress(0).at(0, 0.0).at(5, 1.0).eta is None


def test_waiting_does_not_make_it_slower():
    """Working seconds stand still in the meantime."""
    progress = Progress(1000).at(0, 0.0).at(100, 1.0).at(100, 1.0).at(200, 2.0)
    assert progress.speed == 100.0


def test_samples_are_few_however_often_it_is_looked_at():
    progress = Progress(1000)
    for moment in range(10_000):
        progress = progress.at(moment, min(moment / 100, 50.0))
    assert len(progress.samples) < 70


def test_slow_beginning_is_forgotten():
    progress = Progress(100_000).at(0, 0.0).at(10, 60.0)
    for second in range(61, 121):
        progress = progress.at(1000 * (second - 60), float(second))
    assert progress.speed == 1000.0


def test_more_rows_than_were_thought_are_all_of_them():
    progress = Progress(100).at(0, 0.0).at(150, 1.0)
    assert (progress.ratio, progress.eta) == (1.0, 0.0)
