import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.pool.parameters import BE_YOURSELF, NOTHING, Parameters, ParameterSets, identifier, literal

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
        "RESET \"jit\"; SELECT pg_catalog.set_config('timezone', 'Europe/Berlin', false), "
        "pg_catalog.set_config('extra.key', '1', false)"
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


# --- roles --------------------------------------------------------------------------------------------------


def test_roles_are_set_behind_what_they_might_not_be_allowed_and_the_user_first():
    """SET SESSION AUTHORIZATION takes the role back."""
    new = Parameters({"role": "r", "session_authorization": "u", "work_mem": "9MB"})
    assert new.difference(NOTHING) == (
        "SELECT pg_catalog.set_config('work_mem', '9MB', false); SET SESSION AUTHORIZATION 'u'; SET ROLE 'r'"
    )


def test_whoever_is_somebody_else_is_itself_again_first():
    old = Parameters({"role": "r", "work_mem": "9MB"})
    assert NOTHING.difference(old) == f'{BE_YOURSELF}; RESET "work_mem"'
    assert Parameters({"role": "s", "work_mem": "9MB"}).difference(old) == f"{BE_YOURSELF}; SET ROLE 's'"
    assert Parameters({**old.values, "jit": "off"}).difference(old) == (
        f"{BE_YOURSELF}; SELECT pg_catalog.set_config('jit', 'off', false); SET ROLE 'r'"
    )


def test_equal_roles_differ_in_nothing_whatever_their_order():
    one = {"role": "r", "session_authorization": "u", "jit": "off"}
    assert Parameters(one).difference(Parameters(dict(reversed(one.items())))) == ""


# --- literals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("", "''"),
        ("plain", "'plain'"),
        ("it's", "'it''s'"),
        (r"back\slash", r"E'back\\slash'"),
        (r"\'", r"E'\\'''"),
        ("ß", r"E'\U000000df'"),
        ("\U0001f418'", r"E'\U0001f418'''"),
        (b"\xff\xdf".decode(errors="surrogateescape"), r"E'\xff\xdf'"),  # LATIN1, say
        ("\x7f", "'\x7f'"),
        ("\x80", r"E'\U00000080'"),
    ],
)
def test_literal_is_ascii_and_means_the_same_in_every_session(text: str, spelled: str):
    assert literal(text) == spelled


@given(st.text())
def test_literal_is_one_constant_whatever_it_says(text: str):
    spelled = literal(text)
    assert spelled.isascii()
    assert ("\\" in spelled) == spelled.startswith("E")  # so standard_conforming_strings does not matter
    inside = spelled[spelled.index("'") + 1 : -1].replace(r"\\", "").replace("''", "")
    assert "'" not in inside


def test_identifier_is_quoted():
    assert identifier(b'we"ird') == '"we""ird"'
    assert identifier("ß".encode()) == '"ß"'
    assert identifier(b"\xff").encode(errors="surrogateescape") == b'"\xff"'


@pytest.mark.parametrize(
    ("value", "hasty"),
    [
        ("1ms", True),
        ("999", True),
        ("500us", True),
        ("0", False),
        ("1000", False),
        ("1s", False),
        ("5min", False),
        (" 900  ms ", True),
        ("9" * 5000, False),  # PostgreSQL refuses it
        ("1" + " " * 9000 + "x", False),  # so that: not after the square of its length
    ],
)
def test_timeout_under_a_second_makes_settings_hasty(value: str, hasty: bool) -> None:
    assert Parameters({"statement_timeout": value}).hasty is hasty
    assert not Parameters({"lock_timeout": value}).hasty


def test_what_is_given_back_is_one_statement_whatever_it_is():
    values = {"work_mem": "9MB", "app.who": "ada", "role": "r", "session_authorization": "u"}
    sql = Parameters(values).restoration()
    assert ";" not in sql
    places = [sql.index(f"set_config('{name}', '{value}', false)") for name, value in values.items()]
    assert places[0] < places[1] < places[3] < places[2]
