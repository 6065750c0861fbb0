import gc

from hypothesis import given
from hypothesis import strategies as st

from dbproxy.pool.parameters import NOTHING, Parameters, ParameterSets

settings = st.dictionaries(st.sampled_from(["timezone", "search_path", "ext.name"]), st.text(max_size=8))


def test_equal_settings_are_one_object():
    sets = ParameterSets()
    assert sets.find({"a": "1", "b": "2"}) is not sets.find({"a": "1"})
    one = sets.find({"a": "1", "b": "2"})
    assert sets.find({"b": "2", "a": "1"}) is one
    assert sets.find({}) is NOTHING


def test_settings_that_nobody_has_any_more_are_forgotten():
    sets = ParameterSets()
    kept = sets.find({"a": "1"})
    for number in range(100):
        sets.find({"a": str(number), "b": "x"})
    gc.collect()
    assert list(sets.known.values()) == [kept]


def test_what_they_lead_to_is_unknown_until_a_server_says_so():
    assert Parameters({"a": "1"}).reported is None
    assert NOTHING.reported == {}


def test_difference_is_exactly_what_has_to_change():
    old = Parameters({"timezone": "UTC", "search_path": "x", "jit": "off"})
    new = Parameters({"timezone": "Europe/Berlin", "search_path": "x", "extra.key": "1"})
    assert new.difference(old) == (
        "RESET \"jit\"; SELECT set_config('timezone', 'Europe/Berlin', false), set_config('extra.key', '1', false)"
    )
    assert NOTHING.difference(new) == 'RESET "timezone"; RESET "search_path"; RESET "extra"."key"'


@given(settings)
def test_equal_settings_differ_in_nothing(values: dict[str, str]):
    assert Parameters(values).difference(Parameters(values)) == ""


def test_values_are_quoted_whatever_standard_conforming_strings_says():
    sql = Parameters({"a": "it's", "b": "back\\slash'", "c'd": "x"}).difference(NOTHING)
    assert "set_config('a', 'it''s', false)" in sql
    assert "set_config('b', E'back\\\\slash''', false)" in sql
    assert "set_config('c''d', 'x', false)" in sql
    assert Parameters({}).difference(Parameters({'we"ird': "x"})) == 'RESET "we""ird"'
