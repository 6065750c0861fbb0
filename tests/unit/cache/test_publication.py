"""Which tables are published: those whose UPDATE and DELETE PostgreSQL would go on to take."""

import pytest

from dbproxy.cache.publication import Candidate, Choice, choose, read_published, spell_publication
from dbproxy.errors import ProtocolViolation, ServerUnavailable


def table(name: str, *, root: str = "", identified: bool = True, partitioned: bool = False) -> Candidate:
    return Candidate(name, root or name, partitioned, identified)


def test_table_without_a_replica_identity_is_left_out() -> None:
    assert choose([table("a"), table("b", identified=False)]) == Choice(("a",), ("b",))


def test_partitioned_table_is_published_with_partitions_to_come() -> None:
    parted = [table("p", partitioned=True), table("p1", root="p"), table("p2", root="p")]
    assert choose(parted) == Choice(("p",), ())


def test_partition_without_an_identity_keeps_the_others_from_being_published_as_one() -> None:
    parted = [table("p", partitioned=True), table("p1", root="p"), table("p2", root="p", identified=False)]
    assert choose(parted) == Choice(("p1",), ("p2",))


def test_partitions_may_have_an_identity_where_the_partitioned_table_has_none() -> None:
    parted = [
        table("p", partitioned=True, identified=False),
        table("q", root="p", partitioned=True),
        table("q1", root="p"),
    ]
    assert choose(parted) == Choice(("q1",), ())


def test_statements_that_make_it_so() -> None:
    name = "dbproxy_cache"
    assert spell_publication(["a", "s.b"], exists=False) == [
        f"CREATE PUBLICATION {name} FOR TABLE ONLY a, ONLY s.b"
    ]
    assert spell_publication([], exists=False) == [f"CREATE PUBLICATION {name}"]
    assert spell_publication([], exists=True) == [f"DROP PUBLICATION {name}", f"CREATE PUBLICATION {name}"]
    refreshed = spell_publication(["a"], exists=True)
    assert refreshed[0] == f"ALTER PUBLICATION {name} SET TABLE ONLY a"
    assert "publish_via_partition_root = false" in refreshed[1]


def test_published_tables_are_read() -> None:
    assert read_published([[b"t", b"1 22 333"]]) == {1, 22, 333}
    assert read_published([[b"t", b""]]) == frozenset()


@pytest.mark.parametrize(("rows", "why"), [([], "no publication"), ([[b"f", b"1"]], "all kinds of changes")])
def test_publication_that_does_not_tell_all_is_refused_with_what_to_do(
    rows: list[list[bytes]], why: str
) -> None:
    with pytest.raises(ServerUnavailable, match=why) as refused:
        read_published(rows)
    assert refused.value.hint == "Run: dbproxy cache install"


@pytest.mark.parametrize("rows", [[[b"t"]], [[b"t", b"x"]], [[]]])
def test_answer_that_makes_no_sense_is_refused(rows: list[list[bytes]]) -> None:
    with pytest.raises(ProtocolViolation):
        read_published(rows)
