from dbproxy.pool.states import ACTIVE, CLOSED, IDLE, LOGIN, MOVES, NAMES


def test_each_state_has_a_name_and_its_moves():
    assert len(NAMES) == len(MOVES) == CLOSED + 1
    assert len(set(NAMES)) == len(NAMES)


def test_every_open_connection_can_be_closed_and_a_closed_one_stays_so():
    assert all(CLOSED in MOVES[state] for state in range(CLOSED))
    assert not MOVES[CLOSED]


def test_nothing_goes_back_to_its_login():
    assert not any(LOGIN in targets for targets in MOVES.values())


def test_every_open_state_leads_back_to_a_loan():
    for state in range(CLOSED):
        assert ACTIVE in MOVES[state]
        assert IDLE in MOVES[state] or state == IDLE
