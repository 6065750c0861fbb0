"""What was asked for lately, and what of that is worth being kept."""

from dbproxy.cache.admission import ROOM, SPAN, Sightings
from dbproxy.cache.case import Case
from tests.unit.cache.fakes import shape_of


def test_key_is_known_the_second_time() -> None:
    sightings = Sightings()
    assert not sightings.note(b"a", 1.0)
    assert not sightings.note(b"b", 1.0)
    assert sightings.note(b"a", 1.0)


def test_key_is_known_into_the_next_span_and_no_longer() -> None:
    sightings = Sightings()
    sightings.note(b"a", 1.0)
    assert sightings.note(b"a", 1.0 + 1.5 * SPAN)
    assert not sightings.note(b"a", 1.0 + 10 * SPAN)


def test_key_that_was_seen_long_ago_is_not_known() -> None:
    sightings = Sightings()
    sightings.note(b"a", 1.0)
    sightings.note(b"b", 1.0 + SPAN)
    assert not sightings.note(b"a", 1.0 + 2 * SPAN)


def test_many_keys_take_no_more_memory_and_few_are_taken_for_others() -> None:
    sightings = Sightings()
    known = sum([sightings.note(b"%d" % number, 1.0) for number in range(2 * ROOM)])
    assert known < 2 * ROOM / 5
    assert sightings.count <= ROOM
    assert len(sightings.recent) == len(sightings.former) == 1 << 17


def test_statement_is_chosen_from_once_it_is_seldom_a_hit_and_no_more_once_it_is_again() -> None:
    case = Case(shape_of("SELECT a FROM items"))
    for _ in range(100):
        case.miss()
    assert not case.is_choosy()
    for _ in range(100):
        case.miss()
    assert case.is_choosy()
    for _ in range(20):
        case.hit()
    assert not case.is_choosy()


def test_hint_keeps_what_is_asked_for_once() -> None:
    case = Case(shape_of("SELECT a FROM items"))
    case.wanted = True
    for _ in range(1000):
        case.miss()
    assert not case.is_choosy()
