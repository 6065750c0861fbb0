"""Every event that the code logs is on the page for operators, and no other; every area has its level."""

import pytest
from pydantic import ValidationError

from dbproxy.config import Settings
from dbproxy.config.monitoring import AREAS, LogSettings
from dbproxy.observe.events import EVENTS, PAGE, find_events, write_page


def test_every_event_is_explained_and_nothing_else_is() -> None:
    assert sorted(find_events()) == sorted(EVENTS)


def test_the_page_is_not_stale() -> None:
    page = PAGE.read_text()
    assert page == write_page(page), "run: python -m dbproxy.observe.events"


def test_every_package_that_logs_has_a_level_of_its_own() -> None:
    assert {area for logged in find_events().values() for area in logged.areas} == set(AREAS)
    assert set(AREAS) <= LogSettings.model_fields.keys()


def test_an_area_has_the_level_that_it_was_given() -> None:
    given = LogSettings.model_validate({"level": "warning", "pool": "debug"})
    assert given.areas() == {"pool": "debug"}
    assert Settings().log.areas() == {}
    with pytest.raises(ValidationError):
        LogSettings.model_validate({"pool": "loud"})
