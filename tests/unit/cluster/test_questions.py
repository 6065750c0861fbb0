import pytest

from dbproxy.cluster.finding import Finding
from dbproxy.cluster.lag import PAGE
from dbproxy.cluster.questions import NoAnswer, read


@pytest.mark.parametrize(
    ("row", "question", "finding"),
    [
        (
            (True, 3 * PAGE + 24, 2, 4 * PAGE, False, 99, ""),
            0,
            Finding("replica", True, 3 * PAGE, 2, 4 * PAGE, False, 99),
        ),
        ((False, 100, 1, None, True, 0, "noon"), 0, Finding("primary", True, 100, 1, loaded="noon")),
        ((False, 100, 1, None, True, 0, ""), 0, Finding("primary", True, 100, 1)),
        ((True, None, None, None, False, 0, ""), 0, Finding("replica", True, 0, 0, 0, False)),
        ((False, 100, 0, 0, True, 99, ""), 1, Finding("primary", True, 100, 0, server=99)),
        ((True, None, 0, 0, True, 99, ""), 2, Finding("replica", False, 0, 0, server=99)),
        ((True, None, 0, 0, True, 0, ""), 3, Finding("replica", False, 0, 0)),
    ],
)
def test_what_a_server_answers_is_a_finding(row: tuple[object, ...], question: int, finding: Finding):
    assert read(row, question) == finding


@pytest.mark.parametrize(
    "row", [None, (), ("1",), ("t", 100, 1, None, True, 0, ""), (False, "0/0", 1, None, True, 0, "")]
)
def test_who_answers_something_else_is_no_host(row: tuple[object, ...] | None):
    with pytest.raises(NoAnswer):
        read(row, 0)
