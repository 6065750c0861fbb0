"""The conditions are compared with Python's own order of tuples, by a database that is a list."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbproxy.jobs.batch import bounds
from dbproxy.jobs.batch.key import Column, Key

ONE = Key("public.t", "i", (Column("id", "bigint"),))
TWO = Key("public.t", "i", (Column("tenant", "uuid"), Column("n", "integer")))
MIXED = Key(
    "public.t", "i", (Column("a", "integer"), Column("b", "integer", descending=True), Column("c", "integer"))
)


def test_one_column_is_compared_as_it_is():
    assert (
        bounds.spell_range(ONE, "t", begins=False)
        == 't."id" > CAST($2::pg_catalog.text AS bigint) AND t."id" <= CAST($1::pg_catalog.text AS bigint)'
    )


def test_first_range_has_no_beginning():
    assert bounds.spell_range(ONE, "t", begins=True) == 't."id" <= CAST($1::pg_catalog.text AS bigint)'


def test_several_columns_are_compared_as_a_row():
    found = bounds.spell_range(TWO, "t", begins=False)
    assert found.startswith('(t."tenant", t."n") > (CAST($3::pg_catalog.text AS uuid), CAST($4::')


def test_descending_columns_are_compared_as_a_row_as_the_index_can_be_read_backwards():
    both = Key("t", "i", tuple(Column(name, "integer", descending=True) for name in "ab"))
    assert bounds.spell_bound(both, "t", ">", 1).startswith('(t."a", t."b") > (')
    assert bounds.spell_order(both, "t") == 't."a", t."b"'


def test_mixed_order_is_spelled_out_and_its_first_column_is_bounded_by_itself():
    assert bounds.spell_bound(MIXED, "t", ">", 1).startswith(
        '(t."a" >= CAST($1::pg_catalog.text AS integer) AND ('
    )
    assert bounds.spell_order(MIXED, "t") == 't."a", t."b" DESC, t."c"'
    assert bounds.spell_order(MIXED, "t", backwards=True) == 't."a" DESC, t."b", t."c" DESC'


def test_collation_of_the_index_is_the_one_that_compares():
    key = Key("t", "i", (Column("name", "text", collation='pg_catalog."C"'),))
    assert bounds.spell_bound(key, "t", ">", 1).startswith('t."name" COLLATE pg_catalog."C" > ')
    assert bounds.spell_order(key, "t") == 't."name" COLLATE pg_catalog."C"'


def test_names_are_quoted():
    assert bounds.quote('a"b') == '"a""b"'


Place = tuple[int, int, int]
places = st.tuples(*(st.integers(0, 3) for _ in range(3)))


def judge(sign: str, row: Place, place: Place) -> bool:
    """The SQL of a mixed key, read by Python."""
    text = bounds.spell_bound(MIXED, "t", sign, 1)
    text = re.sub(r't\."(\w)"', r"\1", text)
    text = re.sub(r"CAST\(\$(\d)::pg_catalog\.text AS integer\)", r"p\1", text)
    text = re.sub(r"(?<![<>])=", "==", text).replace(" OR ", " or ").replace(" AND ", " and ")
    values = dict(zip("abc", row, strict=True)) | {f"p{at}": value for at, value in enumerate(place, 1)}
    return bool(eval(text, {}, values))


@given(places, places)
def test_mixed_order_is_the_order_of_its_columns(row: Place, place: Place):
    def turned(it: Place) -> Place:
        return it[0], -it[1], it[2]

    assert judge(">", row, place) == (turned(row) > turned(place))
    assert judge("<=", row, place) == (turned(row) <= turned(place))


@pytest.mark.parametrize("key", [ONE, TWO, MIXED])
def test_parameters_of_the_next_place_are_numbered_behind_those_of_the_range(key: Key):
    numbers = sorted(map(int, set(re.findall(r"\$(\d+)", bounds.spell_next(key, begins=False)))))
    assert numbers == list(range(1, 2 * len(key.columns) + 2))


def test_places_are_written_where_parameters_are_and_not_into_names():
    condition = '"$1"."a""$2" > CAST($2::pg_catalog.text AS "$1") AND x <= $1'
    assert bounds.write(condition, "it's", "\\") == (
        """"$1"."a""$2" > CAST(E'\\\\'::pg_catalog.text AS "$1") AND x <= E'it''s'"""
    )
