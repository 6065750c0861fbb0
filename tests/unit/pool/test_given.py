"""Names that a server knows as its client does."""

from dbproxy.pool.given import Given


def test_names_are_taken_away_once():
    given = Given()
    given.names[b'odd "name"'] = []
    given.empty.add(b'odd "name"')
    assert given.take_away() == ['DEALLOCATE "odd ""name"""']
    assert (given.names, given.empty, given.take_away()) == ({}, set(), [])


def test_deallocating_all_is_over_with_the_request_and_contested_names_with_the_loan():
    given = Given()
    given.deallocating_all = given.contested = True
    given.end_request()
    assert (given.deallocating_all, given.contested) == (False, True)
