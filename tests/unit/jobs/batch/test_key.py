import pytest

from dbproxy.errors import JobRefused
from dbproxy.jobs.batch.key import Column, Index, Key, choose

ID = Column("id", "bigint")
TENANT, N = Column("tenant", "uuid"), Column("n", "integer", descending=True)
PRIMARY = Index("t_pkey", (ID,), primary=True)
PAIR = Index("t_pair", (TENANT, N))


def test_primary_key_serves_where_none_is_named():
    assert choose("t", [PAIR, PRIMARY], ()) == Key("t", "t_pkey", (ID,))


def test_columns_are_taken_in_the_order_of_the_index():
    assert choose("t", [PRIMARY, PAIR], ("n", "tenant")).names == ("tenant", "n")


@pytest.mark.parametrize("wanted", [("n",), ("tenant",), ("id", "n"), ("nowhere",)])
def test_columns_without_a_unique_index_over_just_them_are_refused(wanted: tuple[str, ...]):
    with pytest.raises(JobRefused) as raised:
        choose("t", [PRIMARY, PAIR], wanted)
    assert raised.value.hint == "Its unique indexes: t_pkey (id); t_pair (tenant, n)."


def test_table_without_a_unique_index_is_refused():
    with pytest.raises(JobRefused, match="no unique index over a primary key"):
        choose("t", [], ())


def test_key_that_may_be_null_is_refused():
    nullable = Index("t_a", (Column("a", "text", nullable=True),))
    with pytest.raises(JobRefused, match="may be NULL"):
        choose("t", [nullable], ("a",))


def test_index_of_some_rows_alone_is_refused():
    with pytest.raises(JobRefused, match="partial"):
        choose("t", [Index("t_a", (ID,), usable=False)], ("id",))


def test_usable_one_of_two_indexes_is_taken():
    unusable = Index("a", (ID,), usable=False)
    assert choose("t", [unusable, PRIMARY], ("id",)).index == "t_pkey"


@pytest.mark.parametrize(
    ("key", "random"),
    [
        (Key("t", "i", (ID,), 0.99), False),
        (Key("t", "i", (ID,), -0.99), False),
        (Key("t", "i", (ID,), 0.1), True),
        (Key("t", "i", (ID,), None), False),
        (Key("t", "i", (TENANT, N), 1.0), True),
    ],
)
def test_order_in_which_new_rows_come_anywhere_is_known(key: Key, random: bool):
    assert key.is_random is random


def test_order_tells_all_that_decides_it():
    key = Key("t", "i", (Column("a", "text", collated='"C"'), N))
    assert key.order == ['a text COLLATE "C"', "n integer DESC"]
