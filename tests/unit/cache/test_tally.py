"""What is counted of one database and user."""

from dbproxy.cache.tally import HIT, MISS, OTHER, REASONS, Tally


def test_hit_rate_is_of_what_could_have_been_a_hit() -> None:
    tally = Tally()
    assert tally.hit_rate() == 0
    tally.outcomes.update({HIT: 3, MISS: 1})
    tally.bypass("no read")
    assert tally.hit_rate() == 0.75


def test_reasons_beyond_a_number_are_counted_together() -> None:
    tally = Tally()
    for number in range(REASONS + 5):
        tally.bypass(f'unknown relation "t{number}"')
    tally.bypass('unknown relation "t0"')
    assert len(tally.bypassed) == REASONS + 1
    assert tally.bypassed[OTHER] == 5
    assert tally.bypassed['unknown relation "t0"'] == 2
