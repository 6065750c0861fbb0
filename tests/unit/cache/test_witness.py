"""What the fence learns of a stream of everybody's writes."""

import pytest

from dbproxy.cache.fence import Fence
from dbproxy.cache.witness import Witness

ITEMS = 16384


@pytest.fixture
def witness() -> Witness:
    made = Witness(Fence(), lambda: None)
    made.began(0)
    return made


def test_table_is_closed_until_a_snapshot_sees_the_commit(witness: Witness):
    table = witness.fence.find(ITEMS)
    witness.committed(700, 1, frozenset({ITEMS}))
    witness.see("699:702:700")
    assert table.committing
    witness.see("702:702:")
    assert not table.committing
    assert table.generation == 1


def test_commit_that_the_next_primary_may_never_have_closes_no_table_for_ever(witness: Witness):
    """While no stream has begun nothing is current; the next begins when all that was told is seen."""
    fence, table = witness.fence, witness.fence.find(ITEMS)
    witness.committed(700, 1, frozenset({ITEMS}))
    witness.lost("failover")
    assert fence.whole.committing
    assert not table.committing
    assert table.generation == 1
    witness.began(2)
    assert not witness.pending
    assert not fence.whole.committing


def test_what_is_told_counts_for_the_fence_that_it_was_moved_to(witness: Witness):
    before, fence = witness.fence, Fence()
    witness.lost("restarted")
    witness.move(fence)
    assert not before.whole.committing
    assert fence.whole.committing
    witness.began(0)
    witness.committed(700, 1, None)
    assert fence.whole.committing
    assert not before.whole.committing
