"""What is told of a Redis that does not answer, and how often."""

from dbproxy.net.contact import QUIET, Contact


def test_it_is_told_once_a_minute_and_that_it_is_over_once():
    contact = Contact(1000.0)
    assert [contact.fail("gone", 1000.0 + second) for second in range(5)] == [
        True,
        False,
        False,
        False,
        False,
    ]
    assert (contact.since, contact.error) == (1000.0, "gone")
    assert contact.fail("gone", 1000.0 + QUIET)
    assert contact.succeed()
    assert (contact.since, contact.error) == (None, "")
    assert not contact.succeed()


def test_what_comes_and_goes_within_a_minute_is_told_of_neither_way():
    contact = Contact(1000.0)
    assert contact.fail("gone", 1001.0)
    assert contact.succeed()
    assert not contact.fail("gone again", 1002.0)
    assert (contact.since, contact.error) == (1002.0, "gone again")
    assert not contact.succeed()
