"""What a query of the user's may give: one boolean."""

import pytest

from dbproxy.jobs.pressure.query import BOOLEAN, NoAnswer, read, refuse_shape


@pytest.mark.parametrize(
    ("types", "parameters", "said"),
    [
        ([], 0, "no column"),
        (["pg_catalog.text"], 0, "it gives text"),
        (["pg_catalog.int4"], 0, "it gives int4"),
        (["public.bool"], 0, "public.bool"),
        ([BOOLEAN, BOOLEAN], 0, "it gives bool, bool"),
        ([BOOLEAN], 1, "parameters"),
    ],
)
def test_query_of_another_shape_gives_no_answer(types: list[str], parameters: int, said: str) -> None:
    with pytest.raises(NoAnswer, match=said):
        refuse_shape(types, parameters)


def test_query_of_one_boolean_gives_one() -> None:
    refuse_shape([BOOLEAN])
    assert [read([True]), read([False])] == [True, False]


@pytest.mark.parametrize(
    ("values", "said"), [([], "no row"), ([True, True], "several rows"), ([None], "NULL")]
)
def test_answer_that_is_not_one_boolean_is_none(values: list[bool | None], said: str) -> None:
    with pytest.raises(NoAnswer, match=said):
        read(values)
