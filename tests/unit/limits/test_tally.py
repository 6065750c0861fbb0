"""What is counted by tier."""

from dbproxy.limits.tally import OUTCOMES, Tally


def test_each_outcome_has_its_number():
    tally = Tally("free")
    tally.rejected += 2
    assert {name: getattr(tally, name) for name in OUTCOMES} == dict.fromkeys(OUTCOMES, 0) | {"rejected": 2}
