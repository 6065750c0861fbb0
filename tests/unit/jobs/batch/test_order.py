import pytest

from dbproxy.jobs.batch.order import is_ordered

SCAN = {"Node Type": "Index Scan", "Index Name": "t_pkey", "Scan Direction": "Forward"}


def plan(*nodes: dict[str, object]) -> dict[str, object]:
    return {"Node Type": "ModifyTable", "Plans": list(nodes)}


def test_rows_that_come_from_the_index_one_by_one_are_in_its_order():
    assert is_ordered(plan(SCAN), "t_pkey")


@pytest.mark.parametrize(
    "found",
    [
        plan({**SCAN, "Index Name": "other"}),
        plan({**SCAN, "Scan Direction": "Backward"}),
        plan({"Node Type": "Bitmap Heap Scan", "Plans": [{"Node Type": "Bitmap Index Scan"}]}),
        plan({"Node Type": "Seq Scan"}),
        plan({"Node Type": "Nested Loop", "Plans": [SCAN, SCAN]}),
        plan(SCAN, SCAN),
        {"Node Type": "Index Scan"},
    ],
)
def test_rows_of_any_other_plan_are_not(found: dict[str, object]):
    assert not is_ordered(found, "t_pkey")
