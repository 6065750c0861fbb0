"""What is told of a Redis that does not answer, and how often."""

import pytest
import structlog

from dbproxy.cache.contact import Contact


@pytest.fixture
def told() -> list[str]:
    with structlog.testing.capture_logs() as lines:
        contact = Contact()
        for _ in range(5):
            contact.fail("gone")
        contact.succeed()
        contact.succeed()
        contact.fail("gone again")
        assert (contact.since is not None, contact.error) == (True, "gone again")
        contact.succeed()
        assert (contact.since, contact.error) == (None, "")
    return [line["event"] for line in lines]


def test_it_is_told_once_a_minute_and_that_it_is_over_once(told: list[str]):
    assert told == ["kept answers are not shared", "kept answers are shared by Redis"]
